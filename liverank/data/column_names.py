"""How people name the columns that the data contract needs, in several languages; compared without case and marks."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from typing import Final

from liverank import columns as c

Names = Mapping[str, tuple[str, ...]]

_USER: Final = (
    "user_id user uid usr_id customer_id customer cust_id client_id client visitor_id visitor member_id "
    "account_id buyer_id person_id shopper_id reviewer_id subscriber_id player_id viewer_id reader_id "
    "learner_id student_id session_user anonymous_id account login username user_name user_uuid uuid cookie_id "
    "device_id kunde kunden_id kundennummer kunden_nr nutzer nutzer_id "
    "benutzer benutzer_id utilisateur id_utilisateur utilisateur_id id_client usuario usuario_id id_usuario "
    "cliente cliente_id id_cliente utente id_utente gebruiker klant klant_id kullanici kullanici_id musteri "
    "uzytkownik klient 用户 用户id 用户编号 会员 会员id 客户 客户id 顾客id 買家id ユーザー ユーザーid 顧客id "
    "会員id 사용자 사용자id 회원 회원번호 고객id пользователь id_пользователя клиент id_клиента"
)
_ITEM: Final = (
    "item_id item iid product_id product prod_id sku sku_id article_id article asin parent_asin content_id "
    "content movie_id movie book_id news_id doc_id document_id stock_code goods_id video_id song_id track_id "
    "course_id post_id offer_id listing_id recipe_id artikel artikel_id artikelnummer artikel_nr produkt "
    "produkt_id produit id_produit produit_id articulo id_articulo producto producto_id id_producto prodotto "
    "id_prodotto produto id_produto urun urun_id 商品 商品id 商品编号 商品番号 产品id 产品 物品 物品id 宝贝id "
    "視頻id アイテム アイテムid 상품 상품id 상품번호 товар id_товара артикул"
)
_TIME: Final = (
    "timestamp time ts date datetime event_time event_timestamp event_date created_at created occurred_at at "
    "when unix_time unix_review_time epoch purchase_date order_date invoice_date visit_time server_time "
    "logged_at time_stamp zeit zeitpunkt zeitstempel datum uhrzeit heure horodatage date_heure fecha hora "
    "fecha_hora data_ora data_hora 时间 时间戳 日期 下单时间 点击时间 行为时间 発生日時 日時 日付 时刻 시간 "
    "날짜 일시 время дата tarih zaman"
)
_TYPE: Final = (
    "type event event_type event_name action action_type behavior behaviour behavior_type behaviour_type "
    "interaction interaction_type feedback_type kind activity aktion ereignis ereignistyp typ evenement "
    "evento accion tipo_evento azione acao tipo 行为 行为类型 事件 事件类型 操作 動作 イベント 行動 이벤트 "
    "행동 действие событие тип olay islem"
)
_VALUE: Final = (
    "value rating score stars overall quantity qty amount count bewertung sterne menge anzahl wert valeur "
    "quantite valor cantidad calificacion puntuacion valore voto quantita quantidade avaliacao 评分 数量 金额 "
    "分数 評価 평점 수량 оценка количество puan adet"
)
_SESSION: Final = (
    "session_id session visit_id visit basket_id order_id cart_id invoice_no invoice transaction_id sitzung "
    "sitzungs_id bestellnummer sesion id_sesion sessione commande_id 会话 会话id 订单号 订单id セッション "
    "セッションid 세션 주문번호 сессия заказ"
)
_TITLE: Final = (
    "title name item_name product_name product_title headline item_title movie_title titel bezeichnung "
    "produktname artikelname titre nom nom_produit titulo nombre titolo nome 标题 名称 商品名 商品名称 "
    "商品标题 タイトル 제목 상품명 название наименование baslik urun_adi"
)
_TEXT: Final = (
    "text description desc body abstract summary overview details product_description beschreibung "
    "description_produit descripcion descrizione descricao 描述 介绍 详情 正文 説明 商品説明 설명 описание "
    "aciklama"
)
_CATEGORY: Final = (
    "category categories category_id category_name category_code genre genres department section topic "
    "product_type kategorie rubrik categorie categoria 类别 分类 类目 品类 カテゴリ カテゴリー 카테고리 "
    "категория kategori"
)

SYNONYMS: Final[Mapping[str, Names]] = {
    "interactions": {
        c.USER_ID: tuple(_USER.split()),
        c.ITEM_ID: tuple(_ITEM.split()),
        c.TIMESTAMP: tuple(_TIME.split()),
        c.TYPE: tuple(_TYPE.split()),
        c.VALUE: tuple(_VALUE.split()),
        c.SESSION_ID: tuple(_SESSION.split()),
        c.IMPRESSION_ID: ("impression_id", "impression", "request_id", "recommendation_id", "ranking_id", "list_id"),
        c.EVENT_ID: ("event_id", "interaction_id", "click_id", "log_id", "row_id"),
    },
    "items": {
        c.ITEM_ID: (*_ITEM.split(), "id"),
        c.TITLE: tuple(_TITLE.split()),
        c.TEXT: tuple(_TEXT.split()),
        c.CATEGORY: tuple(_CATEGORY.split()),
        c.AVAILABLE_FROM: (
            "available_from",
            "published_at",
            "publish_date",
            "release_date",
            "launch_date",
            "created_at",
        ),
    },
    "users": {c.USER_ID: (*_USER.split(), "id")},
}
"""Table -> field of the contract -> names that people give it, the likelier first."""


NO_IDS: Final = frozenset(
    "country city region state zip postcode postal_code land stadt ort plz language lang locale sprache device "
    "device_type browser os platform app channel source medium campaign referrer currency price preis age alter gender "
    "sex geschlecht brand marke color colour farbe size groesse status store shop ip page url path".replace(
        "_", ""
    ).split()
)
"""Names (plain) of columns whose values may look like ids, and that say neither who nor what."""


def plain(name: str) -> str:
    """A name without case, accents and anything that is no letter or digit: `Kunden-Nr.` is `kundennr`.

    >>> plain("Kunden-Nr."), plain("ID_Prodücto"), plain("userId")
    ('kundennr', 'idproducto', 'userid')
    """
    letters = unicodedata.normalize("NFKD", name.casefold().replace("ı", "i"))
    return re.sub(r"[\W_]", "", "".join(letter for letter in letters if not unicodedata.combining(letter)))
