"""The figures beyond the rankers' metrics, flat and by names that MLflow takes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from liverank.evaluation.bootstrap import Interval

if TYPE_CHECKING:
    from liverank.evaluation.findings import Findings


def flat_depth(found: Findings) -> dict[str, float]:
    """`calibration/ece`, `group_gap/context_country`, `ablation/text_brings` and the like, with `_low` and `_high`."""
    return dict(_figures(found))


def _figures(found: Findings) -> Iterator[tuple[str, float]]:
    yield from _exposure(found)
    yield from _calibration(found)
    for by in found.groups:
        if by.gap:
            yield from _spread(f"group_gap/{by.kind}_{_plain(by.name)}", by.gap.difference)
    for one in found.order:
        yield f"order/{_plain(one.ranker)}_changed", one.changed
        yield f"order/{_plain(one.ranker)}_largest_difference", one.largest_difference
    for part in found.ablations.parts if found.ablations else ():
        yield from _spread(f"ablation/{_plain(part.part)}_brings", part.brings)
    if found.learning_curve:
        before = found.learning_curve.points[-2]
        yield from _spread("learning_curve/last_step", before.to_last)
    for point in found.budgets.points if found.budgets else ():
        yield from _spread(f"budget/{point.milliseconds:g}_ms_gain", point.gain)
    if found.text_robustness:
        yield "texts/sensitivity", found.text_robustness.sensitivity
        yield "texts/attack_success", found.text_robustness.attack_success
    if found.faithfulness:
        yield from _spread("faithfulness/agreement", found.faithfulness.agreement)
        yield from _spread("faithfulness/error", found.faithfulness.error)
        yield "faithfulness/correlation", found.faithfulness.correlation
        yield from _spread("faithfulness/named_minus_others", found.faithfulness.difference)


def _exposure(found: Findings) -> Iterator[tuple[str, float]]:
    for by in found.exposure.groups:
        for ranker, share in by.misplaced.items():
            yield f"exposure/{_plain(ranker)}_{_plain(by.attribute)}_misplaced_at_{found.k}", share


def _calibration(found: Findings) -> Iterator[tuple[str, float]]:
    of = found.calibration
    if of is None:
        return
    yield "calibration/ece", of.as_scored.ece
    yield "calibration/ece_per_list", of.as_scored.ece_per_list
    yield from _spread("calibration/brier", of.as_scored.brier)
    yield from _spread("calibration/log_loss", of.as_scored.log_loss)
    yield "calibration/temperature", of.temperature
    yield "calibration/ece_at_temperature", of.at_temperature.ece


def _spread(name: str, interval: Interval) -> Iterator[tuple[str, float]]:
    yield name, interval.mean
    yield f"{name}_low", interval.low
    yield f"{name}_high", interval.high


def _plain(name: str) -> str:
    """A name from the data or the code in the characters that every store of metrics takes."""
    return re.sub(r"[^A-Za-z0-9_\-]+", "_", name).strip("_") or "_"
