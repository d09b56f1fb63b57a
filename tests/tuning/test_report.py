"""The report's verdict: only the window that the search has not seen decides."""

from __future__ import annotations

from dataclasses import replace

import pytest

from liverank.config.training import TrainingConfig
from liverank.evaluation.bootstrap import Interval
from liverank.tuning.plots import draw
from liverank.tuning.report import page, verdict
from liverank.tuning.result import FoldFacts, TrialRow, TuningResult
from liverank.tuning.write import best_yaml, trial_table


def result_of(trials: int = 12, low: float = 0.01, high: float = 0.03) -> TuningResult:
    rows = [
        TrialRow(
            at,
            "done",
            0.3 + at / 100,
            {"count.window": 1 + at, "count.half_life_days": 7.0 * 2**at, "count.learn_weights": bool(at % 2)},
            [{"blend": 0.3 + at / 100, "count": 0.2}],
            1.5,
            at == 0,
        )
        for at in range(trials)
    ]
    rows.append(TrialRow(trials, "stopped early", None, rows[-1].settings, [], 0.0))
    fold = FoldFacts("2026-01-01T00:00:00+00:00", "2026-01-02T00:00:00+00:00", 1000, 50, 40)
    gain = Interval((low + high) / 2, low, high, 50)
    searched = Interval(0.11, 0.09, 0.13, 50)
    weights = {"count.window": 0.7, "count.half_life_days": 0.2, "count.learn_weights": 0.1}
    return TuningResult(
        "s<1>", "ndcg", 10, 0.95, rows, rows[trials - 1], rows[0], searched, gain, {"best": 0.4, "default": 0.38},
        weights, [fold, fold], "tpe", "median", ["A <note>."],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("low", "high", "title", "holds"),
    [
        (0.01, 0.03, "Take the best settings", True),
        (-0.01, 0.03, "Not proved", None),
        (-0.03, -0.01, "Keep the present settings", False),
    ],
)
def test_the_latest_window_decides(low, high, title, holds):
    result = result_of(low=low, high=high)
    assert result.holds is holds
    assert verdict(result)[0] == title
    assert f"<h2>{title}</h2>" in page(result, TrainingConfig(), {})


def test_no_better_trial_keeps_the_settings():
    result = result_of()
    kept = replace(result, best=result.default)
    assert kept.holds is False or kept.best.default
    assert verdict(kept) == ("Keep the present settings", "No trial of 13 did better on the folds.")


def test_the_page_escapes_names_and_marks_what_changed():
    result = result_of()
    text = page(result, TrainingConfig(), draw(result))
    assert "s&lt;1&gt;" in text
    assert "A &lt;note&gt;." in text
    assert '<td>count.window</td><td>1</td><td class="best">12</td><td>70%</td>' in text
    assert text.count("<img ") == 4


def test_plots_are_the_same_each_time_and_name_their_settings():
    result = result_of()
    plots = draw(result)
    assert plots == draw(result)
    assert set(plots) == {"history", "importances", "slices", "parallel"}
    assert "count.window" in plots["slices"]
    assert "70%" in plots["importances"]
    assert "stopped early" in plots["history"]
    assert set(draw(result_of(trials=1))) == {"history", "importances"}


def test_the_tables_hold_choices_of_every_kind():
    table = trial_table(result_of())
    assert table["training.count.learn_weights"].to_pylist()[:3] == [False, True, False]
    assert table["value"].to_pylist()[-1] is None
    assert "window: 12" in best_yaml(result_of())
