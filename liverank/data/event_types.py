"""What event types are called, and the weight to begin with for one that the configuration does not know."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final

from liverank.config.data import DEFAULT_WEIGHTS
from liverank.data.column_names import plain

LIKE: Final = {
    "view": "view pv pageview page_view detail detail_view product_view item_view impression_view browse visit seen "
    "hover scroll watch play listen read open 浏览 查看 閲覧 조회 просмотр ansicht vue vista",
    "click": "click clk tap select 点击 クリック 클릭 клик klick clic star like fav favorite favourite save bookmark "
    "wishlist share follow subscribe comment collect 收藏 喜欢 お気に入り 좋아요 нравится download",
    "cart": "cart add_to_cart addtocart add_cart basket add_to_basket atc 加购 加入购物车 カート 장바구니 корзина "
    "warenkorb panier carrito",
    "purchase": "purchase buy bought order ordered transaction checkout checkout_success sale conversion pay paid "
    "rent enroll complete completed 购买 下单 支付 購入 구매 покупка kauf achat compra acquisto",
    "rating": "rating rate rated review score 评分 評価 평점 оценка bewertung note",
    "dislike": "dislike hide skip remove removed_from_cart remove_from_cart return refund unlike block report unstar "
    "unsubscribe not_interested bounce 不喜欢 退货 嫌い 싫어요 возврат retour",
}
"""Type that the contract names -> what it and its like are called."""
_KIND: Final = {plain(word): kind for kind, words in LIKE.items() for word in words.split()}
UNKNOWN_WEIGHT: Final = 1.0


def is_event_word(text: str) -> bool:
    """Whether a word is one that event types are called by."""
    return plain(text) in _KIND


def proposed_weight(name: str) -> float:
    """The weight of the known type that a name is like, else that of a click.

    >>> proposed_weight("AddToCart"), proposed_weight("pv"), proposed_weight("levitate")
    (2.0, 0.2, 1.0)
    """
    return DEFAULT_WEIGHTS[_KIND[plain(name)]] if plain(name) in _KIND else UNKNOWN_WEIGHT


def proposed_labels(types: Iterable[str], known: Collection[str]) -> list[str]:
    """The types that say that a user wanted the item, beside the `known` ones; any that do not speak against it where
    none else is.

    >>> proposed_labels(["buy", "pv", "levitate"], ["click"]), proposed_labels(["levitate"], ["click"])
    (['buy'], ['levitate'])
    """
    new = sorted(set(types) - set(known))
    wanted = [name for name in new if _KIND.get(plain(name)) in ("click", "cart", "purchase", "rating")]
    if wanted or set(types) & set(known):
        return wanted
    return [name for name in new if proposed_weight(name) > 0]
