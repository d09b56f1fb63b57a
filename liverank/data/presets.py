"""Settings with which the synthetic world takes after a kind of real data; docs/synthetic.md compares the shapes.

A sleeping half of the items is hardly bought, hence about twice as many items as the real sets have.
"""

from __future__ import annotations

from typing import Any, Final

from liverank.errors import ConfigError

PRESETS: Final[dict[str, dict[str, Any]]] = {
    # A wholesaler's year: large baskets, much of them bought before (UCI Online Retail), by purchases.
    "shop": {
        "users": 4300,
        "items": 7400,
        "days": 373,
        "impressions_per_user": 24,
        "most_impressions": 1200,
        "activity": "lognormal",
        "activity_spread": 1.2,
        "session_lists": 6.5,
        "shown": 30,
        "last_arrival": 1,
        "arrival_power": 3,
        "year_season": 0.3,
        "click_logit": -3.6,
        "cart_rate": 0.9,
        "purchase_rate": 0.9,
        "repeat_share": 1,
        "new_items": 0.1,
        "popularity_power": 0.3,
        "proposer_head": 2.5,
    },
    # Reviews of bought games: a handful a user, nothing twice (Amazon Video Games), by purchases.
    "reviews": {
        "users": 15_300,
        "items": 15_400,
        "days": 365,
        "impressions_per_user": 8,
        "least_impressions": 4,
        "most_impressions": 600,
        "activity": "lognormal",
        "activity_spread": 1.4,
        "session_lists": 1,
        "shown": 15,
        "last_arrival": 0.9,
        "arrival_power": 1,
        "click_logit": -4.2,
        "cart_rate": 0.8,
        "purchase_rate": 0.8,
        "again_share": 0,
        "hide_seen": True,
        "popularity_power": 0.7,
        "proposer_head": 2.2,
    },
    # News: many readers, a skewed and short-lived catalogue, nothing read twice (MIND), by clicks.
    "feed": {
        "users": 4500,
        "items": 32_000,
        "days": 28,
        "impressions_per_user": 13.5,
        "most_impressions": 600,
        "activity": "lognormal",
        "activity_spread": 1.2,
        "session_lists": 2,
        "shown": 30,
        "click_logit": -4.6,
        "logged": ("view", "click"),
        "again_share": 0,
        "hide_seen": True,
        "new_items": 0.6,
        "popularity_power": 1.4,
        "popularity_drift": 2,
        "week_season": 0.2,
    },
}


def preset(name: str) -> dict[str, Any]:
    """The settings of a preset; none for no name.

    Raises:
        ConfigError: there is no such preset.
    """
    if not name:
        return {}
    if name not in PRESETS:
        raise ConfigError(f"There is no preset {name}.", f"There are {', '.join(PRESETS)}.")
    return dict(PRESETS[name])
