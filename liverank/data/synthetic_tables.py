"""The synthetic world's rows in the contract's columns."""

from __future__ import annotations

from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from liverank import columns as c
from liverank.data.browsing import SURFACES
from liverank.data.catalogue import NOTHING, Catalogue, Ints
from liverank.data.looking import EVENT_TYPES
from liverank.data.synthetic_settings import SyntheticSettings
from liverank.data.visits import DAY, START_MICROSECONDS
from liverank.data.vocabulary import LANGUAGES
from liverank.events import ARROW_SCHEMAS, EXPERIMENT_ARM, FEATURE_VALUES, ITEM_SCHEMA, SHOWN_ITEM, USER_SCHEMA

DEVICES: Final = ("mobile", "desktop", "tablet")
_INSTANT: Final = pa.timestamp("us", tz="UTC")
_STRINGS: Final = pa.map_(pa.string(), pa.string())


def item_ids(numbers: Ints, settings: SyntheticSettings) -> pa.Array:
    """Ids of items by their number."""
    return ids("item", numbers, digits(settings.items, 5))


def user_ids(numbers: Ints, settings: SyntheticSettings) -> pa.Array:
    """Ids of users by their number."""
    return ids("user", numbers, digits(settings.users, 6))


def ids(prefix: str, numbers: Ints, width: int) -> pa.Array:
    """`prefix-000123` with `width` digits."""
    text = pc.utf8_lpad(pa.array(numbers).cast(pa.string()), width, "0")
    return pc.binary_join_element_wise(prefix, text, "-")


def digits(most: int, least: int) -> int:
    """Digits of `most` ids, at least `least`, so that their order as text is their order as numbers."""
    return max(least, len(str(most - 1)))


def items_table(catalogue: Catalogue) -> pa.Table:
    """The catalogue: text that names the topic of each item and, for some, its hidden style."""
    settings = catalogue.settings
    rng = np.random.default_rng([settings.seed, 5])
    chinese = rng.random(settings.items) < settings.chinese_share
    shows = rng.random(settings.items) < settings.style_in_text
    prices = np.round(np.exp(rng.normal(2.5, 0.7, settings.items)), 2)
    rows = [_item_text(rng, catalogue, i, "zh" if chinese[i] else "en", bool(shows[i])) for i in range(settings.items)]
    launch = START_MICROSECONDS + (catalogue.launch * DAY).astype(np.int64)
    launch = np.where(catalogue.launch == 0, START_MICROSECONDS - 30 * DAY, launch)
    return pa.table(
        {
            c.ITEM_ID: item_ids(np.arange(settings.items), settings),
            c.TITLE: [title for title, _, _ in rows],
            c.TEXT: [text for _, text, _ in rows],
            c.CATEGORY: [topic for _, _, topic in rows],
            c.ATTRIBUTES: [
                [("price", f"{price:.2f}"), ("language", "zh" if zh else "en")]
                for price, zh in zip(prices, chinese, strict=True)
            ],
            c.AVAILABLE_FROM: pa.array(launch, _INSTANT),
        },
        schema=ITEM_SCHEMA,
    )


def _item_text(rng: np.random.Generator, catalogue: Catalogue, item: int, code: str, shows: bool) -> tuple[str, ...]:
    """Title, text and category; the category is the topic's English name in both languages."""
    language, topic = LANGUAGES[code], int(catalogue.topic[item])
    words = language.topics[topic]
    style = language.styles[int(catalogue.style[item])] if shows else ""
    parts = {
        "style": style,
        "adjective": rng.choice(language.adjectives),
        "material": rng.choice(language.materials),
        "noun": rng.choice(words.nouns),
        "use": rng.choice(words.uses),
    }
    title = language.title.format(**parts).strip()
    text = language.text.format(**parts)
    if shows:
        text += (" " if code == "en" else "") + language.style_hint.format(style=style)
    return title[:1].upper() + title[1:], text, LANGUAGES["en"].topics[topic].name


def users_table(settings: SyntheticSettings, first: int, device: Ints) -> pa.Table:
    """Users from number `first` on, with the device that they mostly use."""
    names = user_ids(first + np.arange(len(device)), settings)
    return pa.table({c.USER_ID: names, c.ATTRIBUTES: contexts(device)}, schema=USER_SCHEMA)


def devices(settings: SyntheticSettings, users: int) -> Ints:
    """Index into DEVICES for each of the first `users` users."""
    rng = np.random.default_rng([settings.seed, 6])
    return rng.choice(len(DEVICES), p=[0.6, 0.3, 0.1], size=users)


def contexts(device: Ints) -> pa.Array:
    """What is known of a moment: the device."""
    return pa.array([[("device", name)] for name in DEVICES], _STRINGS).take(pa.array(device))


def instants(microseconds: Ints) -> pa.Array:
    """Times as the contract has them."""
    return pa.array(microseconds, _INSTANT)


def session_ids(numbers: Ints) -> pa.Array:
    """Ids of sessions by their number."""
    return ids("session", numbers, 7)


def impressions_table(
    names: pa.Array, users: pa.Array, device: Ints, columns: dict[str, np.ndarray], item_names: pa.Array
) -> pa.Table:
    """The shown lists; propensity is the chance of the pick at its position, given those above it.

    Nothing re-orders between the proposer and the user here: where an item was shown is where it came in.

    Args:
        names: ids of the impressions.
        users: ids of their users.
        device: of each, by number.
        columns: `time`, `session`, `surface` and, `[n, shown]`, `shown`, `scores`, `propensity`.
        item_names: id of each item by its number.
    """
    shown = columns["shown"]
    n, wide = shown.shape
    there = (shown != NOTHING).ravel()
    position = pa.array(np.tile(np.arange(1, wide + 1, dtype=np.int32), n)[there])
    score = pa.array(columns["scores"].ravel()[there])
    lines = [item_names.take(pa.array(shown.ravel()[there])), position, score]
    lines += [pa.array(columns["propensity"].ravel()[there]), position, score]
    offsets = np.concatenate([[0], np.cumsum((shown != NOTHING).sum(axis=1))]).astype(np.int32)
    none = pa.array([], pa.string())
    return pa.table(
        {
            c.IMPRESSION_ID: names,
            c.USER_ID: users,
            c.TIMESTAMP: instants(columns["time"]),
            c.SHOWN: pa.ListArray.from_arrays(
                pa.array(offsets), pa.StructArray.from_arrays(lines, fields=list(SHOWN_ITEM))
            ),
            c.SESSION_ID: session_ids(columns["session"]),
            c.SURFACE: pa.array(SURFACES).take(pa.array(columns["surface"])),
            c.CONTEXT: contexts(device),
            c.MODEL_VERSION: pa.repeat(pa.scalar("upstream"), n),
            c.DEGRADED: pa.ListArray.from_arrays(pa.array(np.zeros(n + 1, np.int32)), none),
            c.HISTORY_DIGEST: pa.repeat(pa.scalar(""), n),
            c.FEATURE_VALUES: pa.nulls(n, FEATURE_VALUES),
            c.EXPERIMENT_ARM: pa.nulls(n, EXPERIMENT_ARM),
        },
        schema=ARROW_SCHEMAS["impressions"],
    )


def interactions_table(
    names: pa.Array,
    users: pa.Array,
    device: Ints,
    impressions: pa.Array,
    columns: dict[str, np.ndarray],
    item_names: pa.Array,
) -> pa.Table:
    """What users did with the shown items; `columns` has `item`, `type`, `time` and `session`."""
    n = len(columns["item"])
    return pa.table(
        {
            c.EVENT_ID: names,
            c.USER_ID: users,
            c.ITEM_ID: item_names.take(pa.array(columns["item"])),
            c.TYPE: pa.array(EVENT_TYPES).take(pa.array(columns["type"])),
            c.TIMESTAMP: instants(columns["time"]),
            c.VALUE: pa.array(np.ones(n)),
            c.IMPRESSION_ID: impressions,
            c.SESSION_ID: session_ids(columns["session"]),
            c.CONTEXT: contexts(device),
            c.RECEIVED_AT: pa.nulls(n, _INSTANT),
        },
        schema=ARROW_SCHEMAS["interactions"],
    )
