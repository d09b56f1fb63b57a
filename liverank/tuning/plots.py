"""The plots of a study, each as SVG text that stands alone."""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import contextmanager
from typing import Any, Final

import numpy as np

from liverank.config.tuning import training_field
from liverank.tuning.result import TrialRow, TuningResult

INK, QUIET, MINE, OTHER, GOOD = "#64748b", "#94a3b8", "#2563eb", "#94a3b8", "#15803d"
"""Colours that can be read on a light page and on a dark one."""
MOST_SLICES: Final = 9
MOST_AXES: Final = 8
_COLUMNS: Final = 3
_STYLE: Final = {
    "svg.fonttype": "none",
    "svg.hashsalt": "liverank",
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": QUIET,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.grid": True,
    "grid.color": QUIET,
    "grid.alpha": 0.25,
    "axes.axisbelow": True,
    "figure.constrained_layout.use": True,
}


def draw(result: TuningResult) -> dict[str, str]:
    """Name -> SVG of the plots that this study has enough trials for."""
    plots = {"history": history(result)}
    if result.importances:
        plots["importances"] = importances(result)
    if len(_done(result)) > 1 and result.best.settings:
        plots["slices"] = slices(result)
        plots["parallel"] = parallel(result)
    return plots


@contextmanager
def _figure(width: float, height: float) -> Any:
    """A figure and a list that holds its SVG after the block; needs no display and leaves no global state."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(width, height))
        made: list[str] = []
        yield figure, made
        out = io.StringIO()
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None})
        made.append(out.getvalue())


def _done(result: TuningResult) -> list[TrialRow]:
    return [trial for trial in result.trials if trial.value is not None]


def _metric(result: TuningResult) -> str:
    return f"{result.metric.upper().replace('_', ' ')}@{result.k}"


def history(result: TuningResult) -> str:
    """Every trial's value, the best so far, and the present settings."""
    done = _done(result)
    values = [trial.value or 0.0 for trial in done]
    with _figure(9, 3.4) as (figure, made):
        axes = figure.add_subplot()
        axes.axhline(result.default.value, color=INK, linestyle="--", linewidth=1, label="present settings")
        numbers = [trial.number for trial in done]
        axes.plot(numbers, values, "o", color=OTHER, markersize=5, label="trial")
        best = np.maximum.accumulate(values)
        axes.plot(numbers, best, color=MINE, linewidth=2, drawstyle="steps-post", label="best so far")
        axes.plot(result.best.number, result.best.value, "o", color=GOOD, markersize=9, label="best")
        stopped = [trial.number for trial in result.trials if trial.value is None]
        if stopped:
            low = axes.get_ylim()[0]
            axes.plot(stopped, [low] * len(stopped), "|", color=INK, markersize=9, clip_on=False, label="stopped early")
        axes.set_xlabel("trial")
        axes.set_ylabel(_metric(result))
        axes.xaxis.get_major_locator().set_params(integer=True)
        figure.legend(loc="outside upper center", ncols=5, frameon=False)
    return str(made[0])


def importances(result: TuningResult) -> str:
    """How much of the differences between trials each setting explains."""
    ordered = sorted(result.importances.items(), key=lambda entry: entry[1])
    with _figure(9, 0.8 + 0.32 * len(ordered)) as (figure, made):
        axes = figure.add_subplot()
        bars = axes.barh([key for key, _ in ordered], [share for _, share in ordered], color=MINE, height=0.62)
        axes.bar_label(bars, labels=[f"{share:.0%}" for _, share in ordered], padding=4, color=INK)
        axes.set_xlim(0, max(share for _, share in ordered) * 1.12 or 1)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
        axes.grid(axis="y", visible=False)
    return str(made[0])


def slices(result: TuningResult) -> str:
    """Every trial's value over each setting, the settings that explain most first."""
    keys, done = _keys(result)[:MOST_SLICES], _done(result)
    rows = -(-len(keys) // _COLUMNS)
    with _figure(9, 0.4 + 2.2 * rows) as (figure, made):
        grid = figure.subplots(rows, min(_COLUMNS, len(keys)), squeeze=False, sharey=True)
        for axes in grid.flat[len(keys) :]:
            axes.remove()
        for axes, key in zip(grid.flat, keys, strict=False):
            _slice(axes, key, done, result)
        for row in grid[:, 0]:
            row.set_ylabel(_metric(result))
    return str(made[0])


def _slice(axes: Any, key: str, done: Sequence[TrialRow], result: TuningResult) -> None:
    places, labels = _places([trial.settings[key] for trial in done])
    values = [trial.value for trial in done]
    points = axes.scatter(places, values, c=[trial.number for trial in done], cmap="viridis_r", s=22, alpha=0.85)
    points.set_gid(f"slice-{key}")
    at = next(at for at, trial in enumerate(done) if trial.number == result.best.number)
    axes.scatter([places[at]], [values[at]], s=70, facecolors="none", edgecolors=GOOD, linewidths=2)
    axes.set_title(key, fontsize=9, color=INK)
    if labels:
        axes.set_xticks(range(len(labels)), labels)
        axes.set_xlim(-0.5, len(labels) - 0.5)
    elif _is_log(key, places):
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.xaxis.set_minor_formatter(lambda value, _: "")


def parallel(result: TuningResult) -> str:
    """One line a trial through its settings to its value; the better ones darker and on top."""
    keys, done = _keys(result)[:MOST_AXES], sorted(_done(result), key=lambda trial: trial.value or 0.0)
    scaled = [_scaled([trial.settings[key] for trial in done], key) for key in keys]
    worth, _ = _places([trial.value for trial in done], numbers=True)
    low, high = min(worth), max(worth)
    heights = np.column_stack([*scaled, [(value - low) / ((high - low) or 1.0) for value in worth]])
    import matplotlib

    colours = matplotlib.colormaps["viridis_r"](0.15 + 0.85 * heights[:, -1])
    with _figure(9, 3.8) as (figure, made):
        axes = figure.add_subplot()
        for line, colour in zip(heights, colours, strict=True):
            axes.plot(range(len(keys) + 1), line, color=colour, linewidth=1.2, alpha=0.8)
        for at, key in enumerate(keys):
            _ends(axes, at, [trial.settings[key] for trial in done])
        _ends(axes, len(keys), worth)
        names = [*[key.replace(".", "\n", 1) for key in keys], _metric(result)]
        axes.set_xticks(range(len(names)), names, rotation=20, ha="right", fontsize=8)
        axes.set_ylim(-0.1, 1.1)
        axes.yaxis.set_visible(False)
        axes.spines["left"].set_visible(False)
    return str(made[0])


def _ends(axes: Any, at: int, values: Sequence[Any]) -> None:
    """Writes the smallest and the largest value at the ends of an axis."""
    places, labels = _places(values)
    axes.axvline(at, color=QUIET, linewidth=1)
    ends = (labels[0], labels[-1]) if labels else (f"{min(places):.3g}", f"{max(places):.3g}")
    for label, y, side in ((ends[0], -0.03, "top"), (ends[1], 1.03, "bottom")):
        axes.text(at, y, label, ha="center", va=side, fontsize=8)


def _scaled(values: Sequence[Any], key: str) -> list[float]:
    places, _ = _places(values)
    if _is_log(key, places):
        places = [float(np.log(value)) for value in places]
    low, high = min(places), max(places)
    return [(value - low) / ((high - low) or 1.0) for value in places]


def _places(values: Sequence[Any], numbers: bool = False) -> tuple[list[float], list[str]]:
    """Where values lie on an axis; words and switches get places in a row, with their labels."""
    if numbers or all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return [float(value) for value in values], []
    labels = sorted({str(value) for value in values})
    return [float(labels.index(str(value))) for value in values], labels


def _is_log(key: str, places: Sequence[float]) -> bool:
    """Whether a range of this setting is better seen by ratios: all positive, and the largest 20 times the smallest."""
    number = training_field(key).annotation in (int, float)
    return number and min(places) > 0 and max(places) / min(places) >= 20


def _keys(result: TuningResult) -> list[str]:
    """The searched settings, the ones that explain most first."""
    return sorted(result.best.settings, key=lambda key: (-result.importances.get(key, 0.0), key))
