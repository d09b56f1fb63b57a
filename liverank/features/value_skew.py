"""Did serving rank with the feature values that training will make of the same log?

Some impressions carry the values that their ranking used (`feature_values`). The same values are made again by the
offline definitions (`live_frames`): from what the log held of the user before the request, from the days and items that
it holds, and from the snapshot of the model version that ranked.
"""

from __future__ import annotations

import heapq
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np
import numpy.typing as npt

from liverank.config.features import FeatureConfig
from liverank.errors import LiverankError
from liverank.events import Impression, Record, ShownItem
from liverank.features.engine import open_engine
from liverank.features.live_frames import Expected, Line, LiveFrames, LiveLog
from liverank.features.popularity import trailing_columns
from liverank.features.value_causes import EXCUSED, Causes
from liverank.features.value_report import FeatureSkew, ValueExample, ValueSkew

if TYPE_CHECKING:
    from liverank.ranking.feature_ranker import FeatureRanker
    from liverank.store import Erasure

TOLERANCE: Final = 1e-9
"""Largest distance of equal values, relative to their size where that is above 1.

Both sides add whole numbers, divide once and take the same functions of doubles, so equal values are some 1e-15 apart;
the least that means something is far above: one click moves the ctr of an item shown ten million times by 1e-7.
"""

Finder = Callable[[str], "FeatureRanker | None"]
"""Model version -> its feature ranker, None for a model without one; raises LiverankError where it is not at hand."""


class ValueLog(LiveLog, Protocol):
    """What the checks read of a live store."""

    def export(self, since: int = 0, limit: int | None = None) -> Iterator[tuple[int, Record]]:
        """Records after a cursor in arrival order, each with its own cursor."""
        ...

    def erasures(self) -> list[Erasure]:
        """Every erased user."""
        ...


@dataclass(frozen=True)
class ValueCheck:
    """How values are compared."""

    find: Finder
    config: FeatureConfig
    """For the memory that the engine may take."""
    most: int | None = None
    """Impressions compared at most, chosen by their ids; None: all."""
    most_records: int | None = None
    """Records of the log beyond which its days are not counted; None: any number is."""

    def run(self, log: ValueLog, impressions: Sequence[Impression], histories: Mapping[str, str]) -> ValueSkew:
        """Compares the values that impressions carry.

        Args:
            log: the live store, which holds the impressions.
            impressions: those that carry values.
            histories: impression id -> why its history differs, for those whose history does.
        """
        found = _Found()
        chosen = _chosen(impressions, self.most)
        if len(chosen) < len(impressions):
            found.not_checked[f"a sample of {self.most:,} is enough"] = len(impressions) - len(chosen)
        versions: dict[str, list[Impression]] = {}
        for one in chosen:
            versions.setdefault(one.model_version, []).append(one)
        for version, ranked in versions.items():
            ranker = self._ranker(version, len(ranked), found)
            good = [] if ranker is None else [one for one in ranked if found.takes(one, ranker)]
            if ranker is not None and good:
                self._compare(log, ranker, good, histories, found)
        return found.report(len(impressions))

    def _ranker(self, version: str, impressions: int, found: _Found) -> FeatureRanker | None:
        try:
            ranker = self.find(version)
        except LiverankError as problem:
            found.not_checked[f"model version {version} is not at hand: {problem.message}"] += impressions
            return None
        if ranker is None:
            found.not_checked[f"model version {version} has no features of candidates"] += impressions
        return ranker

    def _compare(
        self,
        log: ValueLog,
        ranker: FeatureRanker,
        impressions: Sequence[Impression],
        histories: Mapping[str, str],
        found: _Found,
    ) -> None:
        lines, used = _used(impressions)
        config = self.config.model_copy(update={"engine": "duckdb"})
        with TemporaryDirectory(prefix="liverank-skew-") as name, open_engine(config, Path(name)) as engine:
            expected = LiveFrames(engine, log, ranker, Path(name)).expected(impressions, lines, self.most_records)
        settings = ranker.snapshot.settings
        erased = expected.lost if any(one.sequence > expected.since for one in log.erasures()) else 0
        compared = [name for name in expected.names if expected.counted or name not in trailing_columns(settings.days)]
        if not expected.counted:
            found.left_out[f"past days: the log holds more than {self.most_records:,} records of them"] += len(
                impressions
            )
        causes = Causes(impressions, lines, used, expected, settings, histories, erased)
        found.add(impressions, lines, used, expected, compared, causes)


def _chosen(impressions: Sequence[Impression], most: int | None) -> list[Impression]:
    """At most that many, by their ids alone, in their order."""
    if most is None or len(impressions) <= most:
        return list(impressions)
    keyed = [(zlib.crc32(one.impression_id.encode()), place) for place, one in enumerate(impressions)]
    return [impressions[place] for place in sorted(place for _, place in heapq.nsmallest(most, keyed))]


def _used(impressions: Sequence[Impression]) -> tuple[list[Line], npt.NDArray[np.float64]]:
    """The logged lines, by impression and place, and their values, `[lines, features]`."""
    lines: list[Line] = []
    values: list[list[float]] = []
    for row, impression in enumerate(impressions):
        told = impression.feature_values
        assert told is not None
        shown = _shown(impression)
        pairs = sorted(zip(told.item_ids, told.values, strict=True), key=lambda pair: _place(shown[pair[0]]))
        for item_id, found in pairs:
            lines.append(Line(row, _place(shown[item_id]), item_id, shown[item_id].incoming_score))
            values.append(found)
    return lines, np.asarray(values, np.float64)


def _shown(impression: Impression) -> dict[str, ShownItem]:
    """The lines that say how they came in."""
    return {line.item_id: line for line in impression.shown if line.incoming_position is not None}


def _place(line: ShownItem) -> int:
    return (line.incoming_position or 1) - 1


@dataclass
class _Feature:
    """What was seen of one feature."""

    compared: int = 0
    causes: Counter[str] = field(default_factory=Counter)
    largest: float = 0.0
    example: ValueExample | None = None


@dataclass
class _Found:
    """Adds the versions up."""

    checked: int = 0
    differing: int = 0
    excused: int = 0
    items: int = 0
    not_checked: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    features: dict[str, _Feature] = field(default_factory=dict)

    def takes(self, impression: Impression, ranker: FeatureRanker) -> bool:
        """Whether its values can be compared; counts why not."""
        told = impression.feature_values
        assert told is not None
        if tuple(told.names) != ranker.feature_names:
            reason = "they name other features than their model version has"
        elif len(told.values) != len(told.item_ids) or any(len(row) != len(told.names) for row in told.values):
            reason = "they are not one for each item and feature"
        elif not told.item_ids or len(set(told.item_ids) & set(_shown(impression))) != len(told.item_ids):
            reason = "the list does not say where their items came in"
        else:
            return True
        self.not_checked[reason] += 1
        return False

    def add(
        self,
        impressions: Sequence[Impression],
        lines: Sequence[Line],
        used: npt.NDArray[np.float64],
        expected: Expected,
        compared: Sequence[str],
        causes: Causes,
    ) -> None:
        """Takes the values of one model version in."""
        size = np.maximum(1.0, np.maximum(np.abs(used), np.abs(expected.values)))
        distance = np.abs(used - expected.values)
        found: dict[int, set[str]] = {}
        for name in compared:
            at = expected.names.index(name)
            one = self.features.setdefault(name, _Feature())
            one.compared += len(lines)
            for place in np.flatnonzero(distance[:, at] > TOLERANCE * size[:, at]).tolist():
                line, cause = lines[place], causes.of(place, name)
                found.setdefault(line.row, set()).add(cause)
                one.causes[cause] += 1
                if distance[place, at] > one.largest:
                    one.largest = float(distance[place, at])
                    values = float(used[place, at]), float(expected.values[place, at])
                    one.example = _example(impressions[line.row], line, values, cause)
        self.checked += len(impressions)
        self.items += len(lines)
        self.excused += sum(reasons <= EXCUSED for reasons in found.values())
        self.differing += sum(not reasons <= EXCUSED for reasons in found.values())

    def report(self, impressions: int) -> ValueSkew:
        """The whole."""
        told = {name: _told(one) for name, one in self.features.items() if one.causes}
        ordered = sorted(told, key=lambda name: (-told[name].faults, -told[name].differing))
        return ValueSkew(
            impressions=impressions,
            checked=self.checked,
            differing=self.differing,
            excused=self.excused,
            items=self.items,
            not_checked=dict(self.not_checked),
            left_out=dict(self.left_out),
            features={name: told[name] for name in ordered},
        )


def _example(impression: Impression, line: Line, values: tuple[float, float], cause: str) -> ValueExample:
    when = impression.timestamp.astimezone(UTC).isoformat()
    return ValueExample(impression.impression_id, when, line.item_id, *values, cause)


def _told(one: _Feature) -> FeatureSkew:
    assert one.example is not None
    differing = one.causes.total()
    causes = dict(one.causes.most_common())
    faults = sum(count for cause, count in causes.items() if cause not in EXCUSED)
    return FeatureSkew(differing, differing / one.compared, faults, one.largest, causes, one.example)
