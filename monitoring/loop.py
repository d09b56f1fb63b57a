"""The closed loop: look at the log, judge a window, decide, record, ask for retraining.

`check` is one look; `watch` repeats it. Whatever interrupts it, the next look goes on where the state file says: a
window is judged once, and a run that was decided but whose start is unknown is asked for again under the same name,
which the trigger takes as the same run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import msgspec
import pyarrow.parquet as pq

from liverank.config import Config
from liverank.errors import LiverankError
from monitoring.decision import DecisionRecord, drifted_share, read_decision, write_decision
from monitoring.judgement import Judgement, judge
from monitoring.models import Models, read_table
from monitoring.places import Places
from monitoring.reports import save_report, thin_out
from monitoring.rules import Situation, Verdict, decide
from monitoring.state import Attempt, State, alone, load_state, save_state
from monitoring.trigger import Facts, NoTrigger, Trigger, TriggerResult
from monitoring.window import Log, Window, read_window

Clock = Callable[[], datetime]

READER = "monitor"
"""What a bounded log knows the monitor by."""


def check(
    config: Config, store: Log, models: Models, clock: Clock, trigger: Trigger, *, wait: bool = True
) -> DecisionRecord:
    """One look at the log: judges the next window, if there is one, and acts on it.

    A record is written where a window was judged or a run was asked for; a look that found neither leaves no trace, so
    that polling does not fill the disk.

    Args:
        config: the configuration; its workspace holds state, records and reports.
        store: the live store.
        models: finds the model version that impressions name.
        clock: the present, with a zone.
        trigger: starts retraining runs.
        wait: judge full windows only, after `attribution_seconds`; False: judge now whatever there is, as long as it
            has `min_impressions`.

    Raises:
        MonitorBusy: another monitor is at work in the workspace.
        LiverankError: the registry does not answer, or state or log cannot be read.
    """
    places = Places(config.workspace_path)
    with alone(places.state):
        now = clock().astimezone(UTC)
        state = load_state(places.state, now)
        store.acknowledge(READER, state.cursor)
        if state.pending and not isinstance(trigger, NoTrigger):
            record = read_decision(places.decisions, state.pending)
            return _ask(record, state, places, now, trigger, resumed=True)
        look = _look(config, store, state, now, wait)
        state = msgspec.structs.replace(state, cursor=look.cursor)
        if look.window is None:
            record = _unjudged(config, state, now, trigger, look.missing)
        else:
            record, state = _judged(config, store, models, now, trigger, state, look.window, places)
        return _settle(record, state, places, now, trigger)


def watch(
    config: Config,
    store: Log,
    models: Models,
    clock: Clock,
    trigger: Trigger,
    *,
    on_decision: Callable[[DecisionRecord], None],
    on_problem: Callable[[LiverankError], None],
    pause: Callable[[float], bool],
) -> None:
    """Looks again and again; a problem that may pass (a registry that does not answer) is told and does not end it.

    Args:
        config: as in `check`.
        store: as in `check`.
        models: as in `check`.
        clock: as in `check`.
        trigger: as in `check`.
        on_decision: gets each record that was written.
        on_problem: gets each problem.
        pause: waits that many seconds, `monitoring.poll_seconds`; False ends the watch.
    """
    while True:
        try:
            record = check(config, store, models, clock, trigger)
        except LiverankError as problem:
            on_problem(problem)
        else:
            if recorded(record):
                on_decision(record)
            if record.window is not None:
                continue
        if not pause(config.monitoring.poll_seconds):
            return


def recorded(record: DecisionRecord) -> bool:
    """Whether the look judged a window or asked for a run, and so was written."""
    return record.window is not None or record.facts is not None


@dataclass(frozen=True)
class _Look:
    """What the log holds behind the cursor."""

    window: Window | None
    """The window to judge now, if there is one."""
    missing: str
    """What is missing to one."""
    cursor: int
    """Everything up to here need not be read again."""


def _look(config: Config, store: Log, state: State, now: datetime, wait: bool) -> _Look:
    settings, labels = config.monitoring, config.data.label_types
    end = store.cursor()
    # A log that ends before the cursor is another one: the store was replaced.
    since = state.cursor if state.cursor <= end else 0
    window = read_window(store, since, settings.window_impressions, labels, now, settings.attribution_seconds)
    if window is None:
        return _Look(None, "no impressions since the last window", end)
    have, full = len(window.impressions), settings.window_impressions
    if window.ripe or (have >= settings.min_impressions and not wait):
        return _Look(window, "", window.start)
    missing = f"{have} of {full} impressions of model version {window.model_version} since the last window"
    if have >= full:
        missing = f"the answers to a full window have {settings.attribution_seconds:g} s to arrive"
    elif not wait:
        missing = f"{missing}, at least {settings.min_impressions} are needed"
    return _Look(None, missing, window.start)


def _unjudged(config: Config, state: State, now: datetime, trigger: Trigger, missing: str) -> DecisionRecord:
    """The record of a look without a window: only the schedule can ask for a run."""
    verdict = decide(_situation(config, state, now, trigger), config.monitoring)
    if not verdict.cause:
        verdict = replace(verdict, reason=missing)
    return _record(config, verdict, now, state.cursor)


def _judged(
    config: Config,
    store: Log,
    models: Models,
    now: datetime,
    trigger: Trigger,
    state: State,
    window: Window,
    places: Places,
) -> tuple[DecisionRecord, State]:
    """The record of a window with its reports, and the state behind that window."""
    known = places.baseline(window.model_version)
    baseline = read_table(known) if known.exists() else None
    judgement = judge(window, models.served(window.model_version), baseline, store, config, now)
    verdict = decide(_situation(config, state, now, trigger, judgement), config.monitoring)
    record = _record(config, verdict, now, window.end, judgement)
    record = msgspec.structs.replace(record, reports=_save_reports(record, judgement, places, config))
    full = len(window.impressions) >= config.monitoring.window_impressions
    if baseline is None and full and _healthy(verdict, judgement):
        known.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(judgement.table, known)
    return record, msgspec.structs.replace(state, cursor=window.end)


def _healthy(verdict: Verdict, judgement: Judgement) -> bool:
    """Whether later windows of the version may be measured by this one: not worse than what it was measured by."""
    if verdict.cause or verdict.rule == "too-few-impressions":
        return False
    return judgement.quality is None or judgement.quality.loss_low <= 0


def _situation(
    config: Config, state: State, now: datetime, trigger: Trigger, judgement: Judgement | None = None
) -> Situation:
    def since(time: datetime) -> float:
        return (now - time).total_seconds()

    last = max(state.attempts, key=lambda attempt: attempt.time, default=None)
    started = [since(attempt.time) for attempt in state.attempts if attempt.started]
    failed = [since(attempt.time) for attempt in state.attempts if attempt.failed]
    budget = config.monitoring.budget_seconds
    return Situation(
        impressions=judgement.facts.impressions if judgement else 0,
        judged=judgement.facts.judged if judgement else 0,
        quality=judgement.quality if judgement else None,
        drifted_share=drifted_share(judgement.columns) if judgement else 0.0,
        # What starts nothing is not late: else each look would ask again.
        since_last_run=0.0 if isinstance(trigger, NoTrigger) else min(started, default=since(state.since)),
        since_last_attempt=since(last.time) if last else None,
        last_attempt_failed=last.failed if last else False,
        runs_in_budget=sum(age < budget for age in (*started, *failed)),
        failed_in_budget=sum(age < budget for age in failed),
        active_run=trigger.active(),
    )


def _record(
    config: Config, verdict: Verdict, now: datetime, cursor: int, judgement: Judgement | None = None
) -> DecisionRecord:
    record = DecisionRecord(
        id=f"{now:%Y%m%dT%H%M%S}.{now.microsecond // 1000:03d}Z-{cursor}",
        time=now,
        action=verdict.action,
        rule=verdict.rule,
        reason=verdict.reason,
        cause=verdict.cause,
        metric=f"{config.monitoring.quality_metric}_at_{config.evaluation.k}",
    )
    if judgement is not None:
        found = {name: getattr(judgement, name) for name in ("model_version", "reference", "quality", "slices")}
        record = msgspec.structs.replace(
            record, **found, window=judgement.facts, columns=judgement.columns, warnings=judgement.warnings
        )
    if verdict.action == "none":
        return record
    facts = Facts(
        decision_id=record.id,
        rule=verdict.rule,
        reason=verdict.reason,
        model_version=record.model_version,
        cursor=cursor,
        time=now,
    )
    return msgspec.structs.replace(record, facts=facts)


def _save_reports(record: DecisionRecord, judgement: Judgement, places: Places, config: Config) -> dict[str, str]:
    html = places.reports / f"{record.id}-monitoring.html"
    run = save_report(judgement.report, html, places.evidently)
    thin_out(places.reports, config.monitoring.keep_reports)
    return {"html": str(html.relative_to(places.workspace)), "evidently": str(run.relative_to(places.workspace))}


def _settle(record: DecisionRecord, state: State, places: Places, now: datetime, trigger: Trigger) -> DecisionRecord:
    """Writes record and state, in this order, before the trigger is touched: a crash then loses neither."""
    if recorded(record):
        write_decision(places.decisions, record)
    asking = record.action == "retrain"
    state = msgspec.structs.replace(state, pending=record.id if asking else state.pending)
    save_state(places.state, state)
    return _ask(record, state, places, now, trigger, resumed=False) if asking else record


def _ask(
    record: DecisionRecord, state: State, places: Places, now: datetime, trigger: Trigger, *, resumed: bool
) -> DecisionRecord:
    assert record.facts is not None, "only a decision to retrain is pending"
    try:
        result = trigger.start(record.facts)
    except LiverankError as problem:
        result = TriggerResult(run_id=record.facts.run_name, started=False, failed=True, detail=str(problem))
    record = msgspec.structs.replace(record, trigger=result)
    write_decision(places.decisions, record)
    attempts = state.attempts
    if not isinstance(trigger, NoTrigger):
        # Asked again after a crash: whether the run began before or now, it is this decision's run.
        started = result.started or (resumed and not result.failed)
        attempts = [*attempts, Attempt(run_id=result.run_id, time=now, started=started, failed=result.failed)]
    save_state(places.state, msgspec.structs.replace(state, pending="", attempts=attempts))
    return record
