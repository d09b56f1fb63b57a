"""What the comparison of feature values found, for programs and for people."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from liverank.features.value_causes import EXCUSED


@dataclass(frozen=True, slots=True)
class ValueExample:
    """One value that differs."""

    impression_id: str
    timestamp: str
    item_id: str
    used: float
    expected: float
    cause: str


@dataclass(frozen=True)
class FeatureSkew:
    """One feature of which some values differ."""

    differing: int
    share: float
    """Of the compared values of this feature."""
    faults: int
    """Those that differ for another reason than an erased user or a changed item."""
    largest: float
    """Largest distance of a used value from the expected one."""
    causes: dict[str, int]
    example: ValueExample
    """The value with the largest distance."""


@dataclass(frozen=True)
class ValueSkew:
    """What the comparison of values found."""

    impressions: int
    """Impressions that carry values."""
    checked: int
    """Those whose values were compared."""
    differing: int
    """Those of them with a value that differs for another reason than an erased user or a changed item."""
    excused: int
    """Those that differ for these reasons alone."""
    items: int
    """Compared items of their lists; each has one value of each feature."""
    not_checked: dict[str, int] = field(default_factory=dict)
    """Why other impressions were not compared -> how many."""
    left_out: dict[str, int] = field(default_factory=dict)
    """Why some features of compared impressions were not -> of how many impressions."""
    features: dict[str, FeatureSkew] = field(default_factory=dict)
    """Those that differ somewhere, the most frequent fault first."""

    @property
    def share(self) -> float:
        """Share of the compared impressions that differ; 0 where none was compared."""
        return self.differing / self.checked if self.checked else 0.0

    def worst(self) -> tuple[str, str]:
        """The feature with most faults and its most frequent one; empty where none has any."""
        for name, found in self.features.items():
            if found.faults:
                faults = {cause: count for cause, count in found.causes.items() if cause not in EXCUSED}
                return name, max(faults, key=lambda cause: faults[cause])
        return "", ""

    def lines(self) -> Iterator[str]:
        """The comparison for people."""
        if not self.impressions:
            yield (
                "No feature values to compare: no impression carries any. Models trained with training.feature_ranker "
                "have them recorded, for serving.feature_log_share of their answers."
            )
            return
        if self.checked:
            yield (
                f"Feature values of {self.checked:,} of the {self.impressions:,} impressions that carry any were "
                f"compared, for {self.items:,} items; {self.differing:,} impressions ({self.share:.2%}) used a value "
                "that the log and the model version do not give."
            )
        else:
            yield f"No feature values could be compared, though {self.impressions:,} impressions carry some."
        if self.excused:
            yield f"  {self.excused:,} more differ, but not more than users erased or items changed since explain."
        yield from (f"  {count:,} not compared: {reason}" for reason, count in self.not_checked.items())
        yield from (f"  {count:,} compared in part: {reason}" for reason, count in self.left_out.items())
        yield from (_line(name, found) for name, found in self.features.items())


def _line(name: str, found: FeatureSkew) -> str:
    one = found.example
    causes = "; ".join(f"{count:,} x {cause}" for cause, count in found.causes.items())
    return (
        f"  {name}: {found.share:.2%} of its values differ, by up to {found.largest:.6g} ({causes}); e.g. "
        f"{one.impression_id}, item {one.item_id}: used {one.used:.6g}, expected {one.expected:.6g}"
    )
