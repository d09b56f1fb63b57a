"""What a language model reads of a user: a typed template over the latest events and the context, newest first.

Events of one kind and one age share a heading ("bought this week: A; B; viewed earlier: C"), so that most of a budget
of tokens goes to what the items are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

HOUR, DAY = 3600.0, 86_400.0


@dataclass(frozen=True, slots=True)
class TitledEvent:
    """One event of a history as it is told."""

    title: str
    type: str
    age: float
    """Seconds before the request."""


@dataclass(frozen=True)
class Wording:
    """The words of one language around what items are called."""

    types: Mapping[str, str]
    """Event type -> what the user did."""
    other: str
    """For types without a word of their own."""
    ages: tuple[tuple[float, str], ...]
    """Seconds below which an event is called so, rising."""
    oldest: str
    heading: str
    """With places for `did` and `age`."""
    between: str
    """Between items of one heading."""
    after: str
    """Between one heading's last item and the next heading; after the last item of all; after the context."""
    context: str
    """With places for `name` and `value`."""


WORDINGS: Final[Mapping[str, Wording]] = {
    "en": Wording(
        types={
            "view": "viewed",
            "click": "clicked",
            "cart": "put in the cart",
            "purchase": "bought",
            "rating": "rated",
            "dislike": "disliked",
        },
        other="chose",
        ages=((HOUR, "just now"), (DAY, "today"), (7 * DAY, "this week"), (30 * DAY, "this month")),
        oldest="earlier",
        heading="{did} {age}: ",
        between="; ",
        after=". ",
        context="{name} {value}",
    ),
    "zh": Wording(
        types={
            "view": "浏览",
            "click": "点击",
            "cart": "加入购物车",
            "purchase": "购买",
            "rating": "评分",
            "dislike": "不喜欢",
        },
        other="选择",
        ages=((HOUR, "刚刚"), (DAY, "今天"), (7 * DAY, "本周"), (30 * DAY, "本月")),
        oldest="更早",
        heading="{age}{did}：",
        between="、",
        after="。",
        context="{name}{value}",
    ),
}


class HistoryTemplate:
    """Tells a history and a context in one language.

    >>> bought = [TitledEvent("Desk", "purchase", 60), TitledEvent("Pen", "purchase", 30)]
    >>> HistoryTemplate("en").told([TitledEvent("Lamp", "view", 9e6), *bought], {"device": "mobile"})
    'device mobile. bought just now: Pen; Desk. viewed earlier: Lamp. '
    """

    def __init__(self, language: str) -> None:
        self.wording = WORDINGS[language]

    def context(self, attributes: Mapping[str, str]) -> str:
        """The context in words, its keys in alphabetical order; empty where nothing is known."""
        words = self.wording
        told = [words.context.format(name=name, value=attributes[name]) for name in sorted(attributes)]
        return words.between.join(told) + words.after if told else ""

    def pieces(self, events: Sequence[TitledEvent]) -> list[tuple[str, str]]:
        """What is said before each title, and the title, newest event first: the first n of them are a text too."""
        told: list[tuple[str, str]] = []
        last = ""
        for event in reversed(events):
            heading = self._heading(event)
            new = (self.wording.after if told else "") + heading
            told.append((self.wording.between if heading == last else new, event.title))
            last = heading
        return told

    def told(self, events: Sequence[TitledEvent], attributes: Mapping[str, str]) -> str:
        """All of it as one text."""
        told = "".join(before + title for before, title in self.pieces(events))
        return self.context(attributes) + told + (self.wording.after if told else "")

    def _heading(self, event: TitledEvent) -> str:
        words = self.wording
        age = next((name for limit, name in words.ages if event.age < limit), words.oldest)
        return words.heading.format(did=words.types.get(event.type, words.other), age=age)
