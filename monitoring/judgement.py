"""From a window to everything the rules and the record need: tables, quality, drift, warnings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from liverank import columns as c
from liverank.config import Config
from liverank.evaluation.request_table import request_table
from liverank.features.skew import SkewReport, check_skew
from liverank.features.value_report import ValueSkew
from liverank.features.value_skew import ValueCheck
from monitoring.columns import Group, Pair, Unfit, pair
from monitoring.decision import ColumnFinding, ValueSkewFacts, WindowFacts
from monitoring.models import ServedModel
from monitoring.noise import distance, sampling_distance
from monitoring.quality import ALL, Comparison, Sample, Slice, compare_slices, sample_of
from monitoring.reports import Measured, Report, build_report
from monitoring.text_drift import MIN_ROWS, classifier_area, vectors
from monitoring.window import Log, Window, clicks_by_position, ranked_requests

REQUEST_COLUMNS: Final = ("n_candidates", "known_share", "history_length", "surface")
"""What a caller asks for. Where it is unlike the test requests, ranking quality is not comparable with theirs: NDCG of
40 candidates is lower than of 20, with the same model."""
ALL_GROUPS: Final[tuple[Group, ...]] = ("user", "time", "list", "score", "answer")


@dataclass(frozen=True)
class References:
    """What a window is compared with: the version's first healthy window, and its test requests until there is one.

    Test requests are the weaker reference. Lists that a retriever made afterwards (`source` is not `impressions`) were
    never shown to anybody. Lists that were shown hold for live ones only where the requests are alike: as many
    candidates, as long histories. And answers to live lists carry the position bias of those very lists, which answers
    of the past do not.
    """

    evaluation: pa.Table | None
    baseline: pa.Table | None

    @cached_property
    def shown(self) -> pa.Table | None:
        """The test requests whose lists were really shown to users; None where there are none."""
        if self.evaluation is None:
            return None
        rows = self.evaluation.filter(pc.equal(self.evaluation[c.SOURCE], "impressions"))
        return rows if rows.num_rows else None

    def quality(self, unlike: Sequence[str]) -> tuple[pa.Table | None, str]:
        """Requests whose ranking quality is comparable and what they are; None where there are none yet.

        Args:
            unlike: columns of the requests in which the window differs from the test requests.
        """
        if self.baseline is not None:
            return self.baseline, "first window"
        return (None, "") if unlike or self.shown is None else (self.shown, "evaluation")

    def of(self, group: Group) -> pa.Table | None:
        """Requests whose columns of a group are comparable; None where there are none yet.

        Hours and days of the week need a long time, which no window has.
        """
        if group == "time":
            return self.evaluation
        if self.baseline is not None:
            return self.baseline
        return self.evaluation if group == "user" else self.shown


@dataclass(frozen=True)
class Judgement:
    """All that was found out about a window."""

    model_version: str
    table: pa.Table
    reference: str
    """What quality was compared with, see `References.quality_name`."""
    facts: WindowFacts
    quality: Comparison | None
    slices: list[Slice]
    columns: list[ColumnFinding]
    warnings: list[str]
    report: Report


def judge(
    window: Window, model: ServedModel, baseline: pa.Table | None, log: Log, config: Config, now: datetime
) -> Judgement:
    """Judges a window against its references; the same window gives the same judgement."""
    rng = np.random.default_rng([config.evaluation.seed, window.end])
    requests = ranked_requests(window, log, config.serving.history_length)
    table = request_table(requests, model.catalogue, config.evaluation.k)
    references = References(model.reference, baseline)
    measured, left_out = _measured(table, references, config, rng)
    unlike = [] if baseline is not None else _unlike(measured, left_out)
    reference, name = references.quality(unlike)
    slices = [] if reference is None else compare_slices(reference, table, config, rng)
    metric = config.monitoring.quality_metric
    deciding = [found.comparison for found in slices if (found.name, found.metric) == (ALL, metric)]
    labels = {"model_version": window.model_version, "window": f"{window.start}-{window.end}"}
    report = build_report(measured, table, reference, config.evaluation.new_user_events, config.monitoring, labels)
    skew = check_skew(log, window.impressions, config.features.history_length, _value_check(model, config))
    text = _text_drift(table, references, model, config, rng)
    columns = [*report.findings, *text, *(_left_out(one) for one in left_out)]
    return Judgement(
        model_version=window.model_version,
        table=table,
        reference=name,
        facts=_facts(window, table, sample_of(table, metric), model, skew, config, now),
        quality=deciding[0] if deciding else None,
        slices=slices,
        columns=columns,
        warnings=list(_warnings(table, slices, columns, unlike, skew, config)),
        report=report,
    )


def _value_check(model: ServedModel, config: Config) -> ValueCheck:
    """Compares the values of a part of the window, and reads a part of the log: a window must not wait for it."""
    settings = config.monitoring
    return ValueCheck(lambda _: model.features, config.features, settings.skew_impressions, settings.skew_records)


def _measured(
    table: pa.Table, references: References, config: Config, rng: np.random.Generator
) -> tuple[list[Measured], list[Unfit]]:
    settings = config.monitoring
    groups = {group: found for group in ALL_GROUPS if (found := references.of(group)) is not None}
    pairs = list(pair(table, groups, settings.sample_rows, rng))
    measured = [
        Measured(one, settings.drift_threshold + sampling_distance(one, rng)) for one in pairs if isinstance(one, Pair)
    ]
    return measured, [one for one in pairs if isinstance(one, Unfit)]


def _unlike(measured: Sequence[Measured], left_out: Sequence[Unfit]) -> list[str]:
    """Columns that say what was asked for, in which the window differs from its reference."""
    missing = [one.watched.name for one in left_out if one.alarming]
    beyond = [
        one.pair.watched.name
        for one in measured
        if distance(one.pair.kind, one.pair.window.to_numpy(), one.pair.reference.to_numpy()) >= one.threshold
    ]
    return [name for name in (*missing, *beyond) if name in REQUEST_COLUMNS]


def _left_out(one: Unfit) -> ColumnFinding:
    return ColumnFinding(
        column=one.watched.name,
        group=one.watched.group,
        method="none",
        outcome="failed" if one.alarming else "left out",
        detail=one.reason,
    )


def _text_drift(
    table: pa.Table, references: References, model: ServedModel, config: Config, rng: np.random.Generator
) -> Iterator[ColumnFinding]:
    compared: tuple[tuple[str, Group], ...] = (("top", "list"), ("clicked", "answer"))
    for role, group in compared:
        reference = references.of(group)
        sides = [
            vectors(side, f"{role}_item_id", model.catalogue, config.monitoring.embedding_rows, rng)
            for side in (table, reference)
            if side is not None
        ]
        name, method = f"{role}_text", "classifier on text embeddings"
        if reference is None or min(len(side) for side in sides) < MIN_ROWS:
            detail = f"fewer than {MIN_ROWS} items with an embedding on a side"
            yield ColumnFinding(column=name, group=group, method=method, outcome="left out", detail=detail)
            continue
        area, threshold = classifier_area(sides[0], sides[1])
        yield ColumnFinding(
            column=name,
            group=group,
            method=method,
            outcome="drifted" if area >= threshold else "stable",
            value=area,
            threshold=threshold,
        )


def _facts(
    window: Window, table: pa.Table, ours: Sample, model: ServedModel, skew: SkewReport, config: Config, now: datetime
) -> WindowFacts:
    times = [impression.timestamp for impression in window.impressions]
    return WindowFacts(
        start=window.start,
        end=window.end,
        impressions=len(window.impressions),
        judged=len(ours),
        mean=float(ours.values.mean()) if len(ours) else None,
        first=min(times),
        last=max(times),
        degraded_share=_degraded(table),
        clicks_by_position=clicks_by_position(window, config.evaluation.k),
        newest_event_age=(now - window.newest).total_seconds(),
        model_age=(now - model.created_at).total_seconds() if model.created_at else None,
        skew_share=skew.share if skew.checked else None,
        value_skew=_value_facts(skew.values),
    )


def _value_facts(found: ValueSkew | None) -> ValueSkewFacts | None:
    if found is None or not found.impressions:
        return None
    return ValueSkewFacts(
        impressions=found.impressions,
        checked=found.checked,
        share=found.share if found.checked else None,
        features={name: one.share * one.faults / one.differing for name, one in found.features.items() if one.faults},
        not_compared={**found.not_checked, **found.left_out},
    )


def _degraded(table: pa.Table) -> float:
    return float(np.mean(table[c.DEGRADED].to_numpy(zero_copy_only=False)))


def _warnings(
    table: pa.Table,
    slices: Sequence[Slice],
    columns: Sequence[ColumnFinding],
    unlike: Sequence[str],
    skew: SkewReport,
    config: Config,
) -> Iterator[str]:
    """What deserves a look though it starts no run."""
    if unlike:
        yield f"requests differ from the test requests in {', '.join(unlike)}: offline quality does not hold for them"
    if (share := _degraded(table)) > config.monitoring.max_degraded_share:
        yield f"{share:.1%} of the answers were degraded"
    if skew.share > config.monitoring.max_skew:
        cause = max(skew.causes, key=lambda name: skew.causes[name])
        yield f"{skew.share:.1%} of the answers saw another history than training makes of the log, most by {cause}"
    if skew.values and skew.values.share > config.monitoring.max_skew:
        name, cause = skew.values.worst()
        yield (
            f"{skew.values.share:.1%} of {skew.values.checked} compared answers used feature values that the log does "
            f"not give, most often {name} ({cause})"
        )
    for found in slices:
        deciding = found.name == ALL and found.metric == config.monitoring.quality_metric
        if not deciding and found.comparison.loss_low > config.monitoring.max_quality_loss:
            yield f"{found.metric} of {found.name} lost {found.comparison.loss:.1%} of its reference"
    for finding in columns:
        if finding.outcome == "failed":
            yield f"column {finding.column}: {finding.detail}"
        elif finding.outcome == "drifted":
            yield f"column {finding.column} drifted: {finding.value:.3f}, threshold {finding.threshold:.3f}"
