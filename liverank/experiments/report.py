"""The report of an experiment: what its records say, as values, lines and JSON."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from liverank.config.experiment import CONTROL, ExperimentConfig
from liverank.config.features import FeatureConfig
from liverank.errors import DataError
from liverank.events import Record
from liverank.experiments.analysis import (
    LEAST_ANSWERING,
    LEAST_USERS,
    Preference,
    RatioCheck,
    VariantFigures,
    check_ratio,
    compare,
    moved,
    prefer,
)
from liverank.experiments.outcomes import Outcomes, Step, experiments

Records = Callable[[], Iterable[Record]]
"""Reads the records from the beginning, in the order of their arrival."""


@dataclass(frozen=True)
class ExperimentReport:
    """What is known of an experiment now."""

    experiment: str
    mode: str
    metric: str
    confidence: float
    tightest: int
    lists: int
    users: int
    variants: Sequence[VariantFigures]
    preference: Preference | None
    ratio: RatioCheck | None
    warnings: Sequence[str]

    def as_json(self) -> str:
        """One JSON object; numbers that are not there yet are null."""
        return json.dumps(_finite(dataclasses.asdict(self)), indent=1, ensure_ascii=False)


def chosen(name: str, records: Records, configured: ExperimentConfig | None) -> str:
    """The experiment to report: the one named, else the configured one, else the latest in the records.

    Raises:
        DataError: there is no list of it, or of any.
    """
    found = experiments(records())
    wanted = name or (configured.name if configured and configured.name in found else found[-1] if found else "")
    if wanted in found:
        return wanted
    if not found:
        raise DataError("No list belongs to an experiment.", "serving.experiment starts one; docs/experiments.md.")
    raise DataError(f"No list belongs to the experiment '{wanted}'.", f"There are lists of: {', '.join(found)}.")


def report(
    records: Records,
    name: str,
    metric: str,
    features: FeatureConfig,
    configured: ExperimentConfig | None,
    alpha: float,
    tightest: int,
) -> ExperimentReport:
    """Reports an experiment.

    Args:
        records: lists and answers.
        name: of the experiment; empty: `chosen` says.
        metric: of `liverank.experiments.outcomes.METRICS`; interleaved lists are judged by who has more of its answers.
        features: says which event types are clicks and purchases.
        configured: the experiment that is configured now: its shares are checked, where it is the same one.
        alpha: the chance that any sequence ever misses.
        tightest: lists at which sequences are narrowest.

    Raises:
        DataError: there is no such experiment, or none of the control's lists.
    """
    experiment = chosen(name, records, configured)
    outcomes = Outcomes(experiment, metric, frozenset(features.click_types), frozenset(features.purchase_types))
    every = list(outcomes.steps(records()))
    drafted = [step for step in every if step.shown.arm.teams]
    split = [step for step in every if step.shown.arm.variant]
    known = configured if configured is not None and configured.name == experiment else None
    if drafted and not split:
        return _interleaved(experiment, metric, every, drafted, known, alpha, tightest)
    if not any(step.shown.arm.variant == CONTROL for step in split):
        raise DataError(f"No list of the experiment '{experiment}' is of its control.", "There is nothing to compare.")
    ratio = check_ratio(split, known.shares()) if known and known.shares() else None
    variants = compare(split, alpha, tightest)
    lists, users = _counts(split)
    warnings = [*_split_warnings(split, variants, ratio), *_left_out(drafted)]
    return ExperimentReport(
        experiment, "split", metric, 1 - alpha, tightest, lists, users, variants, None, ratio, warnings
    )


def _interleaved(
    experiment: str,
    metric: str,
    every: Sequence[Step],
    drafted: Sequence[Step],
    known: ExperimentConfig | None,
    alpha: float,
    tightest: int,
) -> ExperimentReport:
    teams = {team for step in drafted for team in step.shown.arm.teams if team}
    other = known.others[0] if known else next(iter(sorted(teams - {CONTROL})), "")
    preference = prefer(drafted, other, alpha, tightest)
    lists, users = _counts(drafted)
    warnings = []
    alone = sum(step.lists for step in every if not step.shown.arm.teams)
    if alone:
        warnings.append(f"{alone:,} lists were not interleaved (a missing model, a deadline) and are left out.")
    if preference.share.last.low is None:
        warnings.append(f"The sequence begins with {LEAST_USERS} users who answered.")
    return ExperimentReport(
        experiment, "interleave", metric, 1 - alpha, tightest, lists, users, [], preference, None, warnings
    )


def _counts(steps: Sequence[Step]) -> tuple[int, int]:
    return sum(step.lists for step in steps), len({step.shown.user_id for step in steps})


def _split_warnings(
    steps: Sequence[Step], variants: Sequence[VariantFigures], ratio: RatioCheck | None
) -> Iterable[str]:
    if ratio is None:
        yield "The configuration does not have this experiment's shares, so that users were not checked against them."
    elif ratio.mismatch:
        yield (
            f"Sample ratio mismatch (p = {ratio.p_value:.2g}): users did not come as the shares say. Records are lost "
            "or the shares were changed on the way; do not trust the differences."
        )
    crossed = moved(steps)
    if crossed:
        yield f"{crossed:,} users have lists of more than one variant and count in each."
    for of in variants:
        if of.replaced:
            yield f"{of.replaced:,} of the {of.lists:,} lists of {of.name} are the control's: its model was missing."
        if of.difference is not None and of.difference.last.low is None:
            yield (
                f"The sequence of {of.name} begins with {LEAST_USERS} users, {LEAST_ANSWERING} of them with an answer, "
                "in it and in the control."
            )


def _left_out(drafted: Sequence[Step]) -> Iterable[str]:
    lists = sum(step.lists for step in drafted)
    if lists:
        yield f"{lists:,} interleaved lists of the same name are left out; another mode wants another name."


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
