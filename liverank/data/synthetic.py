"""The synthetic world as a dataset folder: deterministic by seed, and always called synthetic."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa

from liverank import columns as c
from liverank.data.browsing import Browsing, browse
from liverank.data.dataset import Dataset, write_dataset
from liverank.data.dirt import add_dirt
from liverank.data.tastes import Ints, SyntheticSettings, Tastes
from liverank.data.vocabulary import LANGUAGES
from liverank.events import ARROW_SCHEMAS, ITEM_SCHEMA, SHOWN_ITEM, USER_SCHEMA

START: Final = datetime(2026, 1, 1, tzinfo=UTC)
START_MICROSECONDS: Final = int(START.timestamp()) * 1_000_000
DAY_MICROSECONDS: Final = 86_400_000_000
DEVICES: Final = ("mobile", "desktop", "tablet")
SURFACES: Final = ("home", "search", "explore")
EVENT_TYPES: Final = ("view", "click", "cart", "purchase")


def generate(settings: SyntheticSettings, out: Path) -> Dataset:
    """Writes a synthetic dataset folder and returns what it holds.

    With `dirt`, the folder also holds rows that break the contract; those that it cannot express at all are among the
    rejected rows.
    """
    dataset = synthetic_dataset(settings)
    write_dataset(dataset, out)
    return dataset


def synthetic_dataset(settings: SyntheticSettings) -> Dataset:
    """The synthetic world in memory."""
    tastes = Tastes(settings)
    browsing = browse(tastes)
    dataset = Dataset(
        tables={
            "items": items_table(tastes),
            "users": users_table(tastes),
            "impressions": impressions_table(browsing, settings.seed),
            "interactions": interactions_table(browsing, settings.seed),
        },
        notes=["Synthetic data: every item, user and event is invented."],
        source=f"synthetic, seed {settings.seed}",
        format="synthetic",
        synthetic=True,
        generator=settings.model_dump(mode="json"),
    )
    if settings.dirt:
        add_dirt(dataset, settings.dirt, settings.seed)
    return dataset


def item_ids(numbers: Ints) -> pa.Array:
    """Ids of items by their number."""
    return _ids("item", numbers, 5)


def user_ids(numbers: Ints) -> pa.Array:
    """Ids of users by their number."""
    return _ids("user", numbers, 6)


def _ids(prefix: str, numbers: Ints, width: int) -> pa.Array:
    # Each id is written once and then looked up.
    names = [f"{prefix}-{number:0{width}d}" for number in range(int(numbers.max(initial=-1)) + 1)]
    return pa.array(names, pa.string()).take(pa.array(numbers))


def items_table(tastes: Tastes) -> pa.Table:
    """The catalogue: text that names the topic of each item and, for some, its hidden style."""
    settings = tastes.settings
    rng = np.random.default_rng([settings.seed, 5])
    chinese = rng.random(settings.items) < settings.chinese_share
    shows = rng.random(settings.items) < settings.style_in_text
    prices = np.round(np.exp(rng.normal(2.5, 0.7, settings.items)), 2)
    rows = [_item_text(rng, tastes, i, "zh" if chinese[i] else "en", bool(shows[i])) for i in range(settings.items)]
    launch = START_MICROSECONDS + (tastes.launch * DAY_MICROSECONDS).astype(np.int64)
    launch = np.where(tastes.launch == 0, START_MICROSECONDS - 30 * DAY_MICROSECONDS, launch)
    return pa.table(
        {
            c.ITEM_ID: item_ids(np.arange(settings.items)),
            c.TITLE: [title for title, _, _ in rows],
            c.TEXT: [text for _, text, _ in rows],
            c.CATEGORY: [topic for _, _, topic in rows],
            c.ATTRIBUTES: [
                [("price", f"{price:.2f}"), ("language", "zh" if zh else "en")]
                for price, zh in zip(prices, chinese, strict=True)
            ],
            c.AVAILABLE_FROM: pa.array(launch, pa.timestamp("us", tz="UTC")),
        },
        schema=ITEM_SCHEMA,
    )


def _item_text(rng: np.random.Generator, tastes: Tastes, item: int, code: str, shows: bool) -> tuple[str, str, str]:
    """Title, text and category; the category is the topic's English name in both languages."""
    language, topic = LANGUAGES[code], int(tastes.topic[item])
    words = language.topics[topic]
    style = language.styles[int(tastes.style[item])] if shows else ""
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


def users_table(tastes: Tastes) -> pa.Table:
    """Users with the device that they mostly use."""
    numbers = np.arange(tastes.settings.users)
    return pa.table(
        {
            c.USER_ID: user_ids(numbers),
            c.ATTRIBUTES: [[("device", DEVICES[d])] for d in devices(numbers, tastes.settings.seed)],
        },
        schema=USER_SCHEMA,
    )


def devices(users: Ints, seed: int) -> Ints:
    """Index into DEVICES for each user number."""
    rng = np.random.default_rng([seed, 6])
    return rng.choice(len(DEVICES), p=[0.6, 0.3, 0.1], size=int(users.max(initial=0)) + 1)[users]


def _instants(microseconds: Ints) -> pa.Array:
    return pa.array(microseconds, pa.timestamp("us", tz="UTC"))


def _session_ids(browsing: Browsing, rows: Ints) -> pa.Array:
    return _ids("session", browsing.session[rows], 7)


def _contexts(device: Ints) -> pa.Array:
    one = [[("device", name)] for name in DEVICES]
    return pa.array(one, pa.map_(pa.string(), pa.string())).take(pa.array(device))


def impressions_table(browsing: Browsing, seed: int) -> pa.Table:
    """The shown lists; propensity is the chance of the pick at its position, given those above it.

    Nothing re-orders between the proposer and the user here: where an item was shown is where it came in.
    """
    n, wide = browsing.shown.shape
    there = browsing.shown.ravel() >= 0
    sizes = (browsing.shown >= 0).sum(axis=1)
    position = pa.array(np.tile(np.arange(1, wide + 1, dtype=np.int32), n)[there])
    score = pa.array(browsing.scores.ravel()[there])
    flat = pa.StructArray.from_arrays(
        [
            item_ids(browsing.shown.ravel()[there]),
            position,
            score,
            pa.array(browsing.propensity.ravel()[there]),
            position,
            score,
        ],
        fields=list(SHOWN_ITEM),
    )
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)
    rows = np.arange(n)
    return pa.table(
        {
            c.IMPRESSION_ID: _ids("imp", rows, 7),
            c.USER_ID: user_ids(browsing.user),
            c.TIMESTAMP: _instants(browsing.time),
            c.SHOWN: pa.ListArray.from_arrays(pa.array(offsets), flat),
            c.SESSION_ID: _session_ids(browsing, rows),
            c.SURFACE: pa.array(SURFACES).take(pa.array(browsing.surface)),
            c.CONTEXT: _contexts(devices(browsing.user, seed)),
            c.MODEL_VERSION: pa.repeat(pa.scalar("upstream"), n),
            c.DEGRADED: pa.array([[]] * n, pa.list_(pa.string())),
        },
        schema=ARROW_SCHEMAS["impressions"],
    )


def interactions_table(browsing: Browsing, seed: int) -> pa.Table:
    """What users did with the shown items."""
    event = browsing.events
    users = browsing.user[event.impression]
    return pa.table(
        {
            c.EVENT_ID: _ids("event", np.arange(len(event.item)), 8),
            c.USER_ID: user_ids(users),
            c.ITEM_ID: item_ids(event.item),
            c.TYPE: pa.array(EVENT_TYPES).take(pa.array(event.type)),
            c.TIMESTAMP: _instants(event.time),
            c.VALUE: pa.array(np.ones(len(event.item))),
            c.IMPRESSION_ID: _ids("imp", event.impression, 7),
            c.SESSION_ID: _session_ids(browsing, event.impression),
            c.CONTEXT: _contexts(devices(users, seed)),
            c.RECEIVED_AT: pa.nulls(len(event.item), pa.timestamp("us", tz="UTC")),
        },
        schema=ARROW_SCHEMAS["interactions"],
    )
