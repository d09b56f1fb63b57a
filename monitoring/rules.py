"""The rules of retraining: pure functions over what was seen.

A *cause* asks for a retraining run; a *hold* keeps it from starting now. Each returns its reason in one sentence, or
None where it does not apply. Drift alone is no cause: it is common and mostly harmless, so it only warns.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from liverank.config import MonitoringConfig
from monitoring.quality import Comparison


@dataclass(frozen=True, kw_only=True)
class Situation:
    """All that the rules look at; durations in seconds."""

    impressions: int = 0
    """Impressions in the window; 0 where there is no window to judge."""
    judged: int = 0
    """Impressions with a relevant answer, on which the metric is defined."""
    quality: Comparison | None = None
    """The deciding metric against its reference; None where there is no reference yet."""
    drifted_share: float = 0.0
    """Share of the compared columns that drifted."""
    since_last_run: float = 0.0
    """Since the last retraining run, or since monitoring began."""
    since_last_attempt: float | None = None
    """Since a run was last asked for, started or not; None: never."""
    last_attempt_failed: bool = False
    runs_in_budget: int = 0
    """Runs of the budget's window, failed ones included."""
    failed_in_budget: int = 0
    active_run: str | None = None


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What the rules say."""

    action: Literal["none", "retrain"]
    rule: str
    """The rule that settled it."""
    reason: str
    cause: str = ""
    """The rule that asked for a run; differs from `rule` where a hold kept it back."""


Rule = Callable[[Situation, MonitoringConfig], str | None]


def too_few_impressions(seen: Situation, config: MonitoringConfig) -> str | None:
    """Too little traffic, or too few answers, to judge."""
    if seen.impressions < config.min_impressions:
        return f"{seen.impressions} impressions, {config.min_impressions} are needed for a judgement"
    if seen.judged < config.min_judged:
        return f"{seen.judged} impressions were answered, {config.min_judged} are needed to judge ranking quality"
    return None


def quality_loss(seen: Situation, config: MonitoringConfig) -> str | None:
    """The metric's relative loss lies, with its whole interval, beyond the threshold."""
    if _unjudged(seen, config) or seen.quality is None or seen.quality.loss_low <= config.max_quality_loss:
        return None
    return f"{_loss(seen.quality, config)}: the interval is clear of the threshold {config.max_quality_loss:.0%}"


def drift_with_quality_loss(seen: Situation, config: MonitoringConfig) -> str | None:
    """Most columns drifted and the metric lost more than the threshold, though only its estimate lies beyond it."""
    if _unjudged(seen, config) or seen.quality is None or seen.drifted_share < config.drift_share:
        return None
    if seen.quality.loss <= config.max_quality_loss or seen.quality.loss_low <= 0:
        return None
    return f"{_loss(seen.quality, config)}, and {seen.drifted_share:.0%} of the columns drifted"


def schedule(seen: Situation, config: MonitoringConfig) -> str | None:
    """The floor: a run is due by the clock."""
    if seen.since_last_run < config.schedule_seconds:
        return None
    return f"no retraining run for {seen.since_last_run:.0f} s, one is due every {config.schedule_seconds:.0f} s"


def run_already_active(seen: Situation, config: MonitoringConfig) -> str | None:
    """At most one run at a time."""
    return f"run {seen.active_run} is under way" if seen.active_run else None


def cool_down(seen: Situation, config: MonitoringConfig) -> str | None:
    """The last attempt is too recent."""
    if seen.since_last_attempt is None or seen.since_last_attempt >= config.cooldown_seconds:
        return None
    came = "failed" if seen.last_attempt_failed else "was asked for"
    return f"a run {came} {seen.since_last_attempt:.0f} s ago, the cool-down is {config.cooldown_seconds:.0f} s"


def budget(seen: Situation, config: MonitoringConfig) -> str | None:
    """All runs of the budget's window are spent."""
    if seen.runs_in_budget < config.budget_runs:
        return None
    failed = f" ({seen.failed_in_budget} failed)" if seen.failed_in_budget else ""
    return f"{seen.runs_in_budget} runs{failed} in {config.budget_seconds:.0f} s, the budget is {config.budget_runs}"


CAUSES: Final[dict[str, Rule]] = {
    "quality-loss": quality_loss,
    "drift-with-quality-loss": drift_with_quality_loss,
    "schedule": schedule,
}
HOLDS: Final[dict[str, Rule]] = {"run-already-active": run_already_active, "cool-down": cool_down, "budget": budget}


def decide(seen: Situation, config: MonitoringConfig) -> Verdict:
    """The first cause that applies, unless a hold does; without a cause, why there is none."""
    for cause, rule in CAUSES.items():
        if reason := rule(seen, config):
            for name, hold in HOLDS.items():
                if held := hold(seen, config):
                    return Verdict(action="none", rule=name, cause=cause, reason=f"{held}; {reason}")
            return Verdict(action="retrain", rule=cause, cause=cause, reason=reason)
    return _nothing(seen, config)


def _nothing(seen: Situation, config: MonitoringConfig) -> Verdict:
    if reason := too_few_impressions(seen, config):
        return Verdict(action="none", rule="too-few-impressions", reason=reason)
    if seen.quality is None:
        reason = "there was nothing comparable to judge against; this window becomes the version's reference"
        return Verdict(action="none", rule="no-reference", reason=reason)
    said = f"{_loss(seen.quality, config)}; {config.max_quality_loss:.0%} with its whole interval would fire"
    if seen.drifted_share >= config.drift_share:
        said = f"{seen.drifted_share:.0%} of the columns drifted, but ranking does not suffer enough: {said}"
        return Verdict(action="none", rule="drift-without-quality-loss", reason=said)
    return Verdict(action="none", rule="healthy", reason=said)


def _unjudged(seen: Situation, config: MonitoringConfig) -> bool:
    return too_few_impressions(seen, config) is not None


def _loss(quality: Comparison, config: MonitoringConfig) -> str:
    interval = f"{quality.loss_low:.1%} to {quality.loss_high:.1%}"
    return f"{config.quality_metric} lost {quality.loss:.1%} of its reference ({interval})"
