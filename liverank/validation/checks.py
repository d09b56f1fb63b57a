"""What is checked: every check by name, what it asks of a row or a table, and what happens when it fails."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from liverank.config.validation import Severity
from liverank.errors import ConfigError
from liverank.validation import flags, joins

Kind = Literal["row", "answer", "schema", "volume", "trend", "rejected", "expectation"]
"""row: by a row and the accepted rows before it; answer: by what a row has to do with others that are accepted; volume
and trend: by the accepted table as a whole, trend against the last accepted data; expectation: a suite of the user."""


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
    query: str = ""
    """Of a row or answer check without a flag: SQL that gives the failing rows (see `joins`)."""
    kind: Kind = "row"
    shown: tuple[str, ...] = ()
    """Columns of the failing rows that the report shows; user ids are never among them."""
    of_rows: bool = True
    """Whether it can name the rows that fail."""

    @property
    def bars(self) -> bool:
        """Whether a failing row is set aside: what stops the run is too, so that accepted rows obey the contract."""
        return self.of_rows and self.severity != "warn"


@dataclass(frozen=True)
class Rule:
    """A check but for its table."""

    name: str
    severity: Severity
    about: str
    flag: str = ""
    query: str = ""
    kind: Kind = "row"


SHOWN: Final = {
    "items": ("item_id", "title", "category"),
    "users": ("attributes",),
    "impressions": ("impression_id", "timestamp", "surface", "shown"),
    "interactions": ("event_id", "item_id", "type", "timestamp", "value", "impression_id"),
}
"""Table -> columns of failing rows that the report shows."""


def _checks(table: str, *rules: Rule) -> tuple[Check, ...]:
    about = "The table has the contract's columns and types."
    schema = Check(f"{table}-schema", table, "stop", about, kind="schema", of_rows=False)
    shown = SHOWN[table]
    rows = (Check(one.name, table, one.severity, one.about, one.flag, one.query, one.kind, shown) for one in rules)
    return (schema, *rows)


def _identified(kind: str, table: str, column: str) -> tuple[Rule, Rule]:
    unique = joins.repeated_ids(table, column)
    return (
        Rule(f"{kind}-id-present", "set-aside", "The id has 1 to 256 characters.", flags.identifier(column)),
        Rule(f"{kind}-id-unique", "set-aside", "No id occurs twice; its first row is kept.", query=unique),
    )


def _timed(kind: str) -> tuple[Rule, ...]:
    latest, earliest = flags.not_after("$latest"), flags.not_before("$earliest")
    return (
        Rule(f"{kind}-time-present", "set-aside", "The timestamp is there.", "(timestamp IS NOT NULL)"),
        Rule(f"{kind}-time-past", "set-aside", "The timestamp is not in the future.", latest),
        Rule(f"{kind}-time-plausible", "set-aside", "The timestamp is not absurdly old.", earliest),
    )


def _list_rules() -> tuple[Rule, ...]:
    return (
        Rule("shown-present", "set-aside", "The list shows at least one item.", "(coalesce(len(shown), 0) > 0)"),
        Rule("shown-ids-present", "set-aside", "Each line names its item.", flags.each_shown("line.item_id <> ''")),
        Rule("shown-ids-unique", "set-aside", "The list shows no item twice.", flags.distinct_shown()),
        Rule("shown-positions", "set-aside", "Positions count from 1.", flags.each_shown("line.position >= 1")),
        Rule("shown-contiguous", "warn", "Positions are 1, 2, ... without a gap.", flags.contiguous_positions()),
        Rule(
            "shown-incoming",
            "set-aside",
            "Incoming positions, where given, count from 1.",
            flags.incoming_positions(),
        ),
        Rule("shown-propensities", "set-aside", "Propensities, where given, lie in (0, 1].", flags.propensities()),
        Rule(
            "shown-propensities-complete",
            "warn",
            "All lines of a list have a propensity, or none.",
            flags.propensities_complete(),
        ),
        Rule("shown-items-known", "warn", "The catalogue knows every item shown.", query=joins.strange_lists()),
    )


def _event_rules() -> tuple[Rule, ...]:
    known = joins.unknown("interactions", "item_id", "items")
    lost = joins.unknown("interactions", "impression_id", "impressions")
    received = flags.not_after("$latest", "received_at")
    return (
        Rule("event-user-present", "set-aside", "The event has a user.", flags.identifier("user_id")),
        Rule("event-item-present", "set-aside", "The event has an item.", flags.identifier("item_id")),
        Rule("event-item-known", "set-aside", "The catalogue knows the item.", query=known),
        Rule("event-type-present", "set-aside", "The event has a type.", flags.filled("type")),
        Rule("event-type-known", "set-aside", "data.event_weights has the type.", flags.listed("type", "$types")),
        *_timed("event"),
        Rule("event-arrival", "warn", "The event arrived no earlier than it happened.", flags.arrived_after()),
        Rule("event-arrival-past", "set-aside", "The arrival, where given, is not in the future.", received),
        Rule("event-value-finite", "set-aside", "The value, where given, is a finite number.", flags.finite("value")),
        # Prices, ratings and times are none below 0; rewards and dislikes may be, so that the row stays.
        Rule("event-value-sign", "warn", "The value, where given, is not below 0.", flags.no_less_than("value", 0)),
        Rule("event-impression-known", "warn", "The list that the event answers was recorded.", query=lost),
    )


def _answer_rules() -> tuple[Rule, ...]:
    def answer(name: str, about: str, condition: str) -> Rule:
        return Rule(name, "warn", about, query=joins.answers(condition), kind="answer")

    repeated, machines = joins.repeated_events(), joins.machines("$per_hour")
    return (
        answer("event-impression-user", "The list was shown to the event's user.", "event.user_id = list.user_id"),
        answer(
            "event-impression-item", "The list showed the event's item.", "list_contains(list.items, event.item_id)"
        ),
        answer("event-after-impression", "The event comes after its list.", "event.timestamp >= list.timestamp"),
        Rule("event-once", "warn", "No event is there twice under two ids.", query=repeated, kind="answer"),
        Rule("event-human-pace", "warn", "No user acts at a machine's pace.", query=machines, kind="answer"),
    )


def _whole(name: str, table: str, severity: Severity, about: str, kind: Kind = "volume") -> Check:
    return Check(name, table, severity, about, kind=kind, of_rows=False)


CHECKS: Final[tuple[Check, ...]] = (
    *_checks(
        "items",
        *_identified("item", "items", "item_id"),
        Rule("item-title-present", "warn", "The item has a title to show and to learn from.", flags.filled("title")),
        Rule("item-title-length", "warn", "The title is not too long.", flags.no_longer_than("title", "$title_length")),
        Rule("item-text-length", "warn", "The text is not too long.", flags.no_longer_than("text", "$text_length")),
        Rule(
            "item-script",
            "warn",
            "The item is written in one of validation.scripts.",
            query=joins.foreign_scripts("$scripts"),
        ),
    ),
    *_checks("users", *_identified("user", "users", "user_id")),
    *_checks(
        "impressions",
        *_identified("impression", "impressions", "impression_id"),
        Rule("impression-user-present", "set-aside", "The list was shown to a user.", flags.identifier("user_id")),
        *_timed("impression"),
        *_list_rules(),
    ),
    *_checks("interactions", *_identified("event", "interactions", "event_id"), *_event_rules(), *_answer_rules()),
    Check(
        "rows-expressed",
        "source",
        "set-aside",
        "Ingest could express every row of the source.",
        kind="rejected",
        of_rows=False,
    ),
    _whole("items-volume", "items", "stop", "Enough items are accepted."),
    _whole("interactions-volume", "interactions", "stop", "Enough interactions are accepted."),
    _whole("set-aside-share", "interactions", "stop", "Not too large a share is set aside."),
    _whole("item-language", "items", "warn", "The items are written in validation.languages, but for a small share."),
    _whole("days-complete", "interactions", "warn", "No day between the first and the last is empty."),
    _whole("events-fresh", "interactions", "warn", "The newest interaction is not too old."),
    _whole("events-in-time", "interactions", "warn", "Not too large a share of the events arrived late."),
    _whole("rows-steady", "interactions", "warn", "About as many rows as in the last accepted runs.", "trend"),
    _whole("days-steady", "interactions", "warn", "New days have about as many rows as days before.", "trend"),
    _whole("types-steady", "interactions", "warn", "Event types have the shares that they had.", "trend"),
    _whole("categories-steady", "items", "warn", "Categories have the shares of events that they had.", "trend"),
    _whole("scripts-steady", "items", "warn", "Items are written in the scripts that they were.", "trend"),
    _whole("languages-steady", "items", "warn", "Items are written in the languages that they were.", "trend"),
    _whole("words-known", "items", "warn", "The words of titles are mostly those of before.", "trend"),
)
"""Every check, in the order of the report; suites of the user come after them."""


_REQUIRED: Final = {check.name for check in CHECKS if check.name.endswith("-present") and check.severity != "warn"}
"""What a record cannot be without: their rows are always set aside."""


def configured(severities: Mapping[str, Severity], more: Sequence[Check] = ()) -> tuple[Check, ...]:
    """The checks, and `more` after them, with the configured severities.

    Raises:
        ConfigError: a name that no check has (the nearest is named), or a severity that the check cannot have.
    """
    known = (*CHECKS, *more)
    names = [check.name for check in known]
    for name in severities:
        if name not in names:
            raise ConfigError(f"validation.severities: there is no check '{name}'{_nearest(name, names)}")
    checks = tuple(replace(check, severity=severities.get(check.name, check.severity)) for check in known)
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
    if check.kind == "rejected":
        return ("stop", "set-aside"), "the rows it counts could not become records"
    if not check.of_rows:
        return ("stop", "warn"), "it judges the table, not a row"
    if check.name in _REQUIRED:
        return ("stop", "set-aside"), "a row without it is no record of the contract"
    return ("stop", "set-aside", "warn"), ""
