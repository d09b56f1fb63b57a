"""What is checked: every check by name, what it asks of a row or a table, and what happens when it fails."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal

from liverank.config.validation import Severity
from liverank.errors import ConfigError
from liverank.validation import flags

Kind = Literal["row", "schema", "volume", "rejected"]


@dataclass(frozen=True)
class Check:
    """One rule on one table."""

    name: str
    table: str
    severity: Severity
    about: str
    """What holds when the check passes, as a sentence for the report."""
    flag: str = ""
    """Of a row check: SQL, never null, true where the row is as it should be (see `flags`)."""
    kind: Kind = "row"
    shown: tuple[str, ...] = ()
    """Columns of the failing rows that the report shows; user ids are never among them."""


Rule = tuple[str, Severity, str, str]


def _checks(table: str, shown: tuple[str, ...], *rules: Rule) -> tuple[Check, ...]:
    schema = Check(f"{table}-schema", table, "stop", "The table has the contract's columns and types.", kind="schema")
    rows = (Check(name, table, severity, about, flag, shown=shown) for name, severity, about, flag in rules)
    return (schema, *rows)


def _identified(kind: str, column: str) -> tuple[Rule, Rule]:
    present, unique = f"{kind}-id-present", f"{kind}-id-unique"
    return (
        (present, "set-aside", "The id has 1 to 256 characters.", flags.identifier(column)),
        (unique, "set-aside", "No id occurs twice; its first row is kept.", flags.first(column)),
    )


def _timed(kind: str) -> tuple[Rule, ...]:
    return (
        (f"{kind}-time-present", "set-aside", "The timestamp is there.", "(timestamp IS NOT NULL)"),
        (f"{kind}-time-past", "set-aside", "The timestamp is not in the future.", flags.not_after("$latest")),
        (f"{kind}-time-plausible", "set-aside", "The timestamp is not absurdly old.", flags.not_before("$earliest")),
    )


CHECKS: Final[tuple[Check, ...]] = (
    *_checks(
        "items",
        ("item_id", "title", "category"),
        *_identified("item", "item_id"),
        ("item-title-present", "warn", "The item has a title to show and to learn from.", flags.filled("title")),
    ),
    *_checks("users", ("attributes",), *_identified("user", "user_id")),
    *_checks(
        "impressions",
        ("impression_id", "timestamp", "surface", "shown"),
        *_identified("impression", "impression_id"),
        ("impression-user-present", "set-aside", "The list was shown to a user.", flags.identifier("user_id")),
        *_timed("impression"),
        ("shown-present", "set-aside", "The list shows at least one item.", "(coalesce(len(shown), 0) > 0)"),
        ("shown-ids-present", "set-aside", "Each line names its item.", flags.each_shown("line.item_id <> ''")),
        ("shown-ids-unique", "set-aside", "The list shows no item twice.", flags.distinct_shown()),
        ("shown-positions", "set-aside", "Positions count from 1.", flags.each_shown("line.position >= 1")),
        ("shown-incoming", "set-aside", "Incoming positions, where given, count from 1.", flags.incoming_positions()),
        ("shown-propensities", "set-aside", "Propensities, where given, lie in (0, 1].", flags.propensities()),
        ("shown-items-known", "warn", "The catalogue knows every item shown.", flags.no_strangers()),
    ),
    *_checks(
        "interactions",
        ("event_id", "item_id", "type", "timestamp", "value", "impression_id"),
        *_identified("event", "event_id"),
        ("event-user-present", "set-aside", "The event has a user.", flags.identifier("user_id")),
        ("event-item-present", "set-aside", "The event has an item.", flags.identifier("item_id")),
        ("event-item-known", "set-aside", "The catalogue knows the item.", flags.among("item_id", "known_items")),
        ("event-type-present", "set-aside", "The event has a type.", flags.filled("type")),
        ("event-type-known", "set-aside", "data.event_weights has the type.", flags.listed("type", "$types")),
        *_timed("event"),
        ("event-value-finite", "set-aside", "The value, where given, is a finite number.", flags.finite("value")),
        (
            "event-impression-known",
            "warn",
            "The list that the event answers was recorded.",
            flags.among("impression_id", "known_impressions"),
        ),
    ),
    Check("rows-expressed", "source", "set-aside", "Ingest could express every row of the source.", kind="rejected"),
    Check("items-volume", "items", "stop", "Enough items are accepted.", kind="volume"),
    Check("interactions-volume", "interactions", "stop", "Enough interactions are accepted.", kind="volume"),
    Check("set-aside-share", "interactions", "stop", "Not too large a share is set aside.", kind="volume"),
)
"""Every check, in the order of the report."""


_REQUIRED: Final = {check.name for check in CHECKS if check.name.endswith("-present") and check.severity != "warn"}
"""What a record cannot be without: their rows are always set aside."""


def configured(severities: Mapping[str, Severity]) -> tuple[Check, ...]:
    """The checks with the configured severities.

    Raises:
        ConfigError: a name that no check has (the nearest is named), or a severity that the check cannot have.
    """
    names = [check.name for check in CHECKS]
    for name in severities:
        if name not in names:
            raise ConfigError(f"validation.severities: there is no check '{name}'{_nearest(name, names)}")
    checks = tuple(replace(check, severity=severities.get(check.name, check.severity)) for check in CHECKS)
    for check in checks:
        _possible(check)
    return checks


def _nearest(name: str, names: list[str]) -> str:
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.4)
    return f"; did you mean '{near[0]}'?" if near else f"; the checks are {', '.join(names)}."


def _possible(check: Check) -> None:
    choices, why = _choices(check)
    if check.severity not in choices:
        raise ConfigError(
            f"validation.severities: '{check.name}' cannot be '{check.severity}': {why}.",
            f"It can be {' or '.join(choices)}.",
        )


def _choices(check: Check) -> tuple[tuple[Severity, ...], str]:
    if check.kind == "schema":
        return ("stop",), "without the contract's columns nothing can be checked"
    if check.kind == "volume":
        return ("stop", "warn"), "it judges the table, not a row"
    if check.kind == "rejected":
        return ("stop", "set-aside"), "the rows it counts could not become records"
    if check.name in _REQUIRED:
        return ("stop", "set-aside"), "a row without it is no record of the contract"
    return ("stop", "set-aside", "warn"), ""
