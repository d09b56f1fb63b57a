"""The report of a study as one HTML page that needs nothing but itself."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from html import escape
from importlib import resources

from liverank.config.training import TrainingConfig
from liverank.evaluation.bootstrap import Interval
from liverank.evaluation.report.pieces import card, metric_name
from liverank.evaluation.report.plots import Row, interval_plot, verdict_kind
from liverank.tuning.judge import JUDGED
from liverank.tuning.result import TrialRow, TuningResult

SHOWN_TRIALS = 10
PLOTS = (
    ("history", "How the search went", "Every trial that was judged on all folds, in the order it was made."),
    (
        "importances",
        "Which settings matter",
        "Share of the differences between trials that a setting explains (fANOVA); within the searched ranges only.",
    ),
    ("slices", "Each setting by itself", "Later trials darker; the best is circled. The other settings differ too."),
    ("parallel", "All settings together", "One line a trial through its settings to its value; the better the darker."),
)


def page(result: TuningResult, present: TrainingConfig, plots: Mapping[str, str]) -> str:
    """The page: what was gained on top, then how the search went, then every figure.

    Args:
        result: what the study found.
        present: the settings that the search began from.
        plots: name -> SVG.
    """
    style = resources.files("liverank.evaluation.report").joinpath("page.css").read_text(encoding="utf-8")
    sections = [_verdict(result), _facts(result), _gains(result), _settings(result, present)]
    sections += [_plot(title, lead, plots[name]) for name, title, lead in PLOTS if name in plots]
    sections += [_rankers(result), _top(result), _folds(result), _reading(result)]
    body = "\n".join(sections)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Search of settings: {escape(result.study)}</title>\n"
        f"<style>\n{style}\nimg {{ display: block; width: 100%; height: auto; margin-top: 10px; }}\n</style></head>\n"
        f'<body><main>\n<h1>Search of settings</h1>\n<p class="quiet">Study {escape(result.study)}: '
        f"{len(result.trials)} trials by {result.sampler}, judged by {_metric(result)} of the blend</p>\n"
        f"{body}\n</main></body></html>\n"
    )


def _metric(result: TuningResult) -> str:
    return metric_name(result.metric, result.k)


def _span(gap: Interval) -> str:
    return f"{gap.mean:+.4f} [{gap.low:+.4f}, {gap.high:+.4f}]"


def verdict(result: TuningResult) -> tuple[str, str]:
    """What to do with the best settings, and why."""
    gain = f"{_metric(result)} {_span(result.honest_gain)} on the latest window, which the search has not seen"
    if result.best.default:
        return "Keep the present settings", f"No trial of {len(result.trials)} did better on the folds."
    if result.holds:
        return "Take the best settings", f"The gain holds: {gain}."
    if result.holds is None:
        return "Not proved", f"The gain cannot be told from chance: {gain}. More data or larger windows would tell."
    return "Keep the present settings", f"The gain does not hold: {gain}."


def _verdict(result: TuningResult) -> str:
    title, reason = verdict(result)
    kind = "" if result.holds else " refused"
    searched = f"On the folds of the search: {_span(result.search_gain)}. {optimism(result)}"
    lines = "".join(f"<li>{escape(line)}</li>" for line in (reason, searched, *result.notes))
    return f'<section class="card verdict{kind}"><h2>{title}</h2><ul>{lines}</ul></section>'


def optimism(result: TuningResult) -> str:
    """The warning that goes with every figure of the search itself."""
    return (
        f"This is optimistic: the best of {len(result.trials)} trials was picked by these very requests, so a part of "
        "its lead is luck."
    )


def _facts(result: TuningResult) -> str:
    stopped = sum(trial.value is None for trial in result.trials)
    seconds = sum(trial.seconds for trial in result.trials)
    facts = [
        ("Trials", f"{len(result.trials)}", f"{stopped} stopped early ({escape(result.pruner)})"),
        ("Best trial", f"{result.best.number}", f"{_metric(result)} {result.best.value:.4f}"),
        ("Present settings", f"{result.default.value:.4f}", f"trial {result.default.number}, on the same requests"),
        ("Judging", f"{seconds / 60:.1f} min", f"{len(result.folds) - 1} folds a trial"),
    ]
    items = "".join(f"<div><dt>{name}</dt><dd>{value}<small>{more}</small></dd></div>" for name, value, more in facts)
    return f'<section class="card"><dl class="facts">{items}</dl></section>'


def _gains(result: TuningResult) -> str:
    rows = [
        Row("latest window, unseen", result.honest_gain, verdict_kind(result.honest_gain)),
        Row("folds of the search", result.search_gain, verdict_kind(result.search_gain)),
    ]
    title = f"{_metric(result)}: best settings minus present settings"
    lead = (
        f"Paired differences, request by request, with {result.confidence:.0%} bootstrap intervals over users. Only "
        "the first line is an honest estimate."
    )
    return card(title, lead, interval_plot(rows, title, signed=True))


def _settings(result: TuningResult, present: TrainingConfig) -> str:
    lines = []
    for key, value in sorted(result.best.settings.items()):
        before = result.default.settings[key]
        mark = ' class="best"' if value != before else ""
        share = f"{result.importances[key]:.0%}" if key in result.importances else "–"
        lines.append(
            f"<tr><td>{escape(key)}</td><td>{_value(before)}</td><td{mark}>{_value(value)}</td><td>{share}</td></tr>"
        )
    table = _table(("training.", "present", "best", "importance"), lines)
    lead = f"best.yaml holds them as liverank.yaml takes them. All else stays, such as the seed ({present.seed})."
    return card("Settings", lead, table)


def _value(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else escape(str(value))


def _table(head: tuple[str, ...], lines: list[str]) -> str:
    names = "".join(f"<th>{escape(name)}</th>" for name in head)
    return f'<div class="wide"><table><thead><tr>{names}</tr></thead><tbody>{"".join(lines)}</tbody></table></div>'


def _plot(title: str, lead: str, svg: str) -> str:
    data = base64.b64encode(svg.encode()).decode()
    return card(title, lead, f'<img alt="{escape(title, quote=True)}" src="data:image/svg+xml;base64,{data}">')


def _rankers(result: TuningResult) -> str:
    best, before = result.best.ranker_means(), result.default.ranker_means()
    names = sorted(set(best) | set(before), key=lambda name: (name != JUDGED, -best.get(name, 0.0)))
    lines = [f"<tr><td>{escape(name)}</td>{_cell(before.get(name))}{_cell(best.get(name))}</tr>" for name in names]
    lead = "Mean over the folds of the search; the blend decides, the others are what it is made of."
    return card(f"{_metric(result)} of each ranker", lead, _table(("ranker", "present", "best"), lines))


def _cell(value: float | None) -> str:
    return "<td>–</td>" if value is None else f"<td>{value:.4f}</td>"


def _top(result: TuningResult) -> str:
    done = [trial for trial in result.trials if trial.value is not None]
    ordered = sorted(done, key=lambda trial: (-(trial.value or 0.0), trial.number))[:SHOWN_TRIALS]
    folds = len(result.folds) - 1
    lines = [_trial_line(trial, folds) for trial in ordered]
    head = ("trial", "mean", *[f"fold {at + 1}" for at in range(folds)], "spread", "seconds")
    lead = "Spread is the largest less the smallest fold. trials.csv and trials.parquet hold all, with their settings."
    return card(f"The best {len(ordered)} trials", lead, _table(head, lines))


def _trial_line(trial: TrialRow, folds: int) -> str:
    values = [fold[JUDGED] for fold in trial.folds]
    marks = " (present)" if trial.default else ""
    marks += f" (same as {trial.same_as})" if trial.same_as is not None else ""
    cells = "".join(_cell(value) for value in values) + "<td>–</td>" * (folds - len(values))
    return (
        f"<tr><td>{trial.number}{marks}</td>{_cell(trial.value)}{cells}<td>{max(values) - min(values):.4f}</td>"
        f"<td>{trial.seconds:.1f}</td></tr>"
    )


def _folds(result: TuningResult) -> str:
    lines = []
    for at, fold in enumerate(result.folds):
        name = "latest window" if at == len(result.folds) - 1 else f"fold {at + 1}"
        lines.append(
            f"<tr><td>{name}</td><td>{fold.train_until}</td><td>{fold.judged_from}</td><td>{fold.events:,}</td>"
            f"<td>{fold.requests:,}</td><td>{fold.users:,}</td></tr>"
        )
    head = ("", "learns until", "judged from", "events", "requests", "users")
    lead = "Each fold learns from all that had arrived before its window, and is judged by what came next."
    return card("Folds", lead, _table(head, lines))


def _reading(result: TuningResult) -> str:
    return card("How to read this", "", f"<ul>{''.join(f'<li>{line}</li>' for line in _lines(result))}</ul>")


def _lines(result: TuningResult) -> Iterator[str]:
    yield (
        escape(optimism(result)) + " The latest window was kept apart: only the best and the present settings met it."
    )
    yield "A trial's value is the mean of its folds; the gains are means over requests, so the two may differ a little."
    yield "Every trial ranks the same lists; candidates come from a retriever with the present settings."
    yield "The blend's weights and the epochs are chosen on the first half of each window, the second half judges."
    yield "Trials that were stopped early fell behind, by their gain over the present settings on the folds so far."
    yield "Importances hold within the searched ranges and for these trials; few trials make them rough."
