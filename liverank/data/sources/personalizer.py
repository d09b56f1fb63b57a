"""Reads the logs of Azure Personalizer (DSJSON, Vowpal Wabbit's format of decisions): one decision a line."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from liverank import columns as c
from liverank.config.data import SourceConfig
from liverank.data.locations import Location
from liverank.data.sources.folder import files_of, some_of
from liverank.data.sources.latest import Latest
from liverank.data.sources.lines import Aside, first_lines
from liverank.data.sources.parts import Format, Note, Part, Parts
from liverank.data.sources.rows import Pairs, Row, Rows, begins, instant_of, objects, pairs_of, text_of
from liverank.errors import DataError

ROWS: Final = 10_000
IMPRESSION: Final = (c.IMPRESSION_ID, c.USER_ID, c.TIMESTAMP, c.SHOWN, c.CONTEXT)
INTERACTION: Final = (c.EVENT_ID, c.USER_ID, c.ITEM_ID, c.TYPE, c.TIMESTAMP, c.VALUE, c.IMPRESSION_ID)
USER_NAMES: Final = ("userid", "user_id", "customerid", "customer_id", "visitorid", "visitor_id")
LABELS: Final = ("_label_cost", "_outcomes", "_labelIndex", "_label_Action")


class Refusal(ValueError):
    """Why a decision is no record of the contract."""


@dataclass(frozen=True)
class Choice:
    """One slot of a decision: the action that was shown there, how likely that was, what it brought."""

    action: int
    """Index into the actions, from 0."""
    propensity: float
    reward: float


def recognises(config: SourceConfig) -> bool:
    """Whether a file of the source begins with a decision."""
    return any(_is_log(file) for file in some_of(config))


def _is_log(file: Location) -> bool:
    if begins(file, lambda row: any(name in row for name in LABELS) and isinstance(row.get("c"), dict)):
        return True
    # A line of many actions may be longer than what is looked at.
    return any('"_label_cost"' in line and '"_multi"' in line for line in first_lines(file))


def read(config: SourceConfig) -> Parts:
    """Decisions as impressions of what was shown, rewards as events of them, actions as items.

    Raises:
        DataError: there are no decisions.
    """
    files = files_of(config)
    logs = [file for file in files if _is_log(file)]
    if not logs:
        raise DataError(
            f"{config.source} holds no log of Azure Personalizer.",
            'Expected JSON lines with "_label_cost", "_label_probability", "a", "p" and "c".',
        )
    rest = [file.name for file in files if file not in logs]
    if rest:
        yield Note(f"Not read, for they hold no decisions: {', '.join(rest)}.")
    yield Note(
        "Only the action that a decision put first is taken as shown, with its propensity: the log says nothing of "
        "where the others stood. A reward above 0 is a click, one below 0 a dislike, its size the value."
    )
    yield from _Decisions(config.mapping.get("impressions", {}).get(c.USER_ID, "")).read(logs)


@dataclass
class _Decisions:
    """Reads decisions; the actions are known only at the end."""

    user_path: str
    """Where a decision's context names its user, with dots; empty: a feature called user_id or the like."""
    actions: Latest = field(default_factory=lambda: Latest("items"))
    anonymous: int = 0
    nameless: set[str] = field(default_factory=set)

    def read(self, files: list[Location]) -> Iterator[Part]:
        for file in files:
            yield from self._file(file)
        yield from self.actions.take()
        if self.anonymous:
            yield Note(
                f"{self.anonymous:,} decisions name no user: each is a user of its own, so that nothing can be learnt "
                "of anybody's past. If a feature holds the user, set data.format to personalizer and "
                "data.mapping.impressions.user_id to where it stands, such as c.User.id."
            )
        if self.nameless:
            yield Note(f"{len(self.nameless):,} actions have no _tag and no id: a hash of their features names them.")

    def _file(self, file: Location) -> Iterator[Part]:
        aside = Aside("impressions", file.name)
        lists, events = Rows("impressions", IMPRESSION, file.name), Rows("interactions", INTERACTION, file.name)
        for found in objects(file, aside, ROWS):
            for line, text, decision in found:
                try:
                    self._decision(decision, line, lists, events)
                except Refusal as problem:
                    aside.put(line, text, str(problem))
            yield from aside.take()
            yield from lists.take()
            yield from events.take()

    def _decision(self, decision: Row, line: int, lists: Rows, events: Rows) -> None:
        number, at, context = _head(decision)
        choices = _choices(decision)
        names = self._learn(context["_multi"], at)
        if any(choice.action >= len(names) for choice in choices):
            raise Refusal("the label names an action that the decision did not have")
        user = self._user(decision, number)
        shown = [
            {c.ITEM_ID: names[choice.action], c.POSITION: place, c.PROPENSITY: choice.propensity}
            for place, choice in enumerate(choices, 1)
        ]
        shared = {name: value for name, value in context.items() if name not in ("_multi", "_slots")}
        lists.add(line, number, user, at, shown, _features(shared))
        for place, choice in enumerate(choices, 1):
            if choice.reward:
                kind = "click" if choice.reward > 0 else "dislike"
                events.add(0, f"{number}:{place}", user, names[choice.action], kind, at, abs(choice.reward), number)

    def _learn(self, actions: list[Row], at: datetime) -> list[str]:
        names = []
        for action in actions:
            features = {name: value for name, value in action.items() if name not in ("_tag", "i")}
            name = _action_name(action)
            if not name:
                name = f"action-{hashlib.sha256(json.dumps(features, sort_keys=True).encode()).hexdigest()[:16]}"
                self.nameless.add(name)
            names.append(name)
            self.actions.learn(name, _features(features, depth=1), at)
        return names

    def _user(self, decision: Row, number: str) -> str:
        user = _at(decision, self.user_path) if self.user_path else _user_feature(decision["c"])
        if user:
            return user
        self.anonymous += 1
        return number


def _head(decision: Row) -> tuple[str, datetime, Row]:
    if "RewardValue" in decision:
        raise Refusal("a reward without its decision")
    number, at, context = text_of(decision.get("EventId")), instant_of(_zoned(decision)), decision.get("c")
    if not number:
        raise Refusal("EventId is missing")
    if at is None:
        raise Refusal("Timestamp is no ISO time")
    if not isinstance(context, dict):
        raise Refusal("c has no actions under _multi")
    actions = context.get("_multi")
    if not isinstance(actions, list) or not actions or not all(isinstance(action, dict) for action in actions):
        raise Refusal("c has no actions under _multi")
    if not _activated(decision):
        raise Refusal("a deferred decision that was never activated: nothing was shown")
    return number, at, context


def _zoned(decision: Row) -> str:
    """The decision's time: Personalizer writes UTC with seven digits after the second."""
    text = text_of(decision.get("Timestamp"))
    return text if text.endswith("Z") or "+" in text[10:] else f"{text}Z"


def _activated(decision: Row) -> bool:
    if decision.get("_skipLearn") is True:
        return False
    if not (decision.get("DeferredAction") or decision.get("_deferred")):
        return True
    return any(isinstance(seen, dict) and seen.get("ActionTaken") for seen in decision.get("o") or [])


def _choices(decision: Row) -> list[Choice]:
    """The shown actions: one, or one a slot."""
    outcomes = decision.get("_outcomes")
    if isinstance(outcomes, list) and outcomes:
        return [_choice(slot.get("_label_cost"), slot.get("_a"), slot.get("_p"), None) for slot in outcomes]
    index = decision.get("_labelIndex")
    if index is None and isinstance(decision.get("_label_Action"), int):
        index = decision["_label_Action"] - 1
    return [_choice(decision.get("_label_cost"), index, decision.get("p"), decision.get("_label_probability"))]


def _choice(cost: Any, action: Any, probabilities: Any, probability: Any) -> Choice:
    if isinstance(action, list):
        action = action[0] if action else None
    if probability is None and isinstance(probabilities, list) and probabilities:
        probability = probabilities[0]
    if not isinstance(action, int) or action < 0:
        raise Refusal("the label names no action")
    if not isinstance(probability, int | float) or not 0 < probability <= 1:
        raise Refusal("the label's probability is not above 0 and at most 1")
    if not isinstance(cost, int | float):
        raise Refusal("the label has no cost")
    return Choice(action, float(probability), -float(cost) or 0.0)


def _action_name(action: Mapping[str, Any]) -> str:
    inner = action.get("i")
    return text_of(action.get("_tag") or (inner.get("id") if isinstance(inner, dict) else None))


def _features(values: Mapping[str, Any], depth: int = 0) -> Pairs:
    """Features as texts: lists of objects are merged, `_` fields are not features; `depth` names to leave out."""
    found: Pairs = []
    for name, value in values.items():
        if name.startswith("_"):
            continue
        for entry in value if isinstance(value, list) else [value]:
            if isinstance(entry, dict):
                prefix = "" if depth else f"{name}."
                plain = {key: inner for key, inner in entry.items() if not key.startswith("_")}
                found += [(prefix + key, text) for key, text in pairs_of(plain)]
            elif text := text_of(entry):
                found.append((name, text))
    return list(dict(found).items())


def _user_feature(context: Row) -> str:
    for name, text in _features({key: value for key, value in context.items() if key != "_multi"}):
        if name.rsplit(".", 1)[-1].lower() in USER_NAMES:
            return text
    return ""


def _at(decision: Row, path: str) -> str:
    """The text at a path such as `c.User.id`; a list is looked into at its first entry, or at a number's."""
    value: Any = decision
    for step in path.split("."):
        if isinstance(value, list):
            index = int(step) if step.isdigit() else 0
            value = value[index] if index < len(value) else None
            if step.isdigit():
                continue
        value = value.get(step) if isinstance(value, dict) else None
    return text_of(value)


FORMAT: Final = Format("personalizer", "Azure Personalizer: decision logs as DSJSON lines", recognises, read)
