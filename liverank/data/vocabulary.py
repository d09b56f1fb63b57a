"""Words of the synthetic catalogue, in English and Chinese; every item made of them is invented."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Words:
    """What one language calls the things of one topic."""

    name: str
    nouns: tuple[str, ...]
    uses: tuple[str, ...]


@dataclass(frozen=True)
class Language:
    """The words of one language: by topic, the adjectives and materials of all, and one word for each style."""

    topics: tuple[Words, ...]
    adjectives: tuple[str, ...]
    materials: tuple[str, ...]
    styles: tuple[str, ...]
    title: str
    """Template with style, adjective, material, noun; an empty style leaves no trace."""
    text: str
    style_hint: str


def _words(name: str, nouns: str, uses: str) -> Words:
    return Words(name, tuple(nouns.split("|")), tuple(uses.split("|")))


ENGLISH: Final = Language(
    topics=(
        _words("kitchen", "teapot|frying pan|cake tin|mixing bowl|chopping board|mug|jar|ladle", "baking|meals|tea"),
        _words("outdoor", "tent|backpack|lantern|sleeping bag|camping stove|rope|canteen|hammock", "hiking|camping"),
        _words("books", "novel|cookbook|atlas|diary|comic|poetry book|sketchbook|guidebook", "evenings|travel|study"),
        _words("toys", "puzzle|train set|doll|kite|blocks|board game|spinning top|puppet", "children|parties"),
        _words("garden", "watering can|planter|bird feeder|trowel|bench|hose|seed box|wind chime", "balconies|herbs"),
        _words("office", "notebook|desk lamp|pen holder|stapler|calendar|folder|chair|clock", "writing|meetings"),
        _words("sports", "yoga mat|skipping rope|football|racket|dumbbell|cap|water bottle|towel", "training|running"),
        _words(
            "beauty",
            "soap|hand cream|mirror|hairbrush|candle|perfume|face mask|bath salt",
            "gifts|dry skin|rest",
        ),
    ),
    adjectives=("small", "large", "light", "sturdy", "folding", "soft", "handmade", "everyday", "simple", "bright"),
    materials=("steel", "wooden", "cotton", "ceramic", "bamboo", "glass", "leather", "recycled"),
    styles=("Nordic", "vintage", "tropical", "industrial", "floral", "minimal", "retro", "nautical"),
    title="{style} {adjective} {material} {noun}",
    text="{adjective} {noun}, {material}, made for {use}.",
    style_hint="Goes with everything {style}.",
)

CHINESE: Final = Language(
    topics=(
        _words("厨房", "茶壶|平底锅|蛋糕模|搅拌碗|砧板|马克杯|储物罐|汤勺", "烘焙|家常饭|喝茶"),
        _words("户外", "帐篷|背包|露营灯|睡袋|野营炉|登山绳|水壶|吊床", "徒步|露营|雨天"),
        _words("图书", "小说|食谱|地图册|日记本|漫画|诗集|素描本|旅行指南", "冬夜|旅行|学习"),
        _words("玩具", "拼图|小火车|布娃娃|风筝|积木|桌游|陀螺|木偶", "孩子|聚会|雨天"),
        _words("园艺", "浇水壶|花盆|喂鸟器|小铲子|长椅|水管|种子盒|风铃", "阳台|春天|香草"),
        _words("办公", "笔记本|台灯|笔筒|订书机|日历|文件夹|椅子|时钟", "写作|会议|学习"),
        _words("运动", "瑜伽垫|跳绳|足球|球拍|哑铃|运动帽|运动水瓶|毛巾", "训练|跑步|球队"),
        _words("美妆", "香皂|护手霜|镜子|发梳|香薰蜡烛|香水|面膜|浴盐", "送礼|干燥肌肤|安静时光"),
    ),
    adjectives=("小号", "大号", "轻便", "结实", "折叠", "柔软", "手工", "日常", "简单", "明亮"),
    materials=("不锈钢", "木质", "棉", "陶瓷", "竹制", "玻璃", "皮革", "再生"),
    styles=("北欧风", "复古", "热带", "工业风", "碎花", "极简", "怀旧", "航海风"),
    title="{style}{adjective}{material}{noun}",
    text="{adjective}的{noun},{material}材料,适合{use}。",
    style_hint="与一切{style}单品相配。",
)

LANGUAGES: Final = {"en": ENGLISH, "zh": CHINESE}
TOPICS: Final = len(ENGLISH.topics)
STYLES: Final = len(ENGLISH.styles)
