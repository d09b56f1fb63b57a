"""Drift of single columns: what is found, what is left alone, and that no column costs the others their report."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from liverank.config import MonitoringConfig
from monitoring.columns import KEPT_CATEGORIES, OTHER, WATCHED, Pair, Unfit, Watched, pair
from monitoring.noise import distance, sampling_distance
from monitoring.reports import Measured, build_report
from monitoring.text_drift import classifier_area, vectors
from tests.monitoring.traffic import Traffic, catalogue

GROUPS = ("user", "time", "list", "score", "answer")


def rng() -> np.random.Generator:
    return np.random.default_rng(4)


def pairs(window: pa.Table, reference: pa.Table, rows: int = 5000) -> dict[str, Pair | Unfit]:
    found = pair(window, dict.fromkeys(GROUPS, reference), rows, rng())
    return {one.watched.name: one for one in found}


def findings(window: pa.Table, reference: pa.Table) -> dict[str, str]:
    measured = [
        Measured(one, 0.1 + sampling_distance(one, rng()))
        for one in pairs(window, reference).values()
        if isinstance(one, Pair)
    ]
    report = build_report(measured, window, reference, 3, MonitoringConfig(), {})
    return {found.column: found.outcome for found in report.findings}


def with_column(table: pa.Table, name: str, values: object) -> pa.Table:
    column = pa.array(values, table.schema.field(name).type)
    return table.set_column(table.schema.get_field_index(name), table.schema.field(name), column)


@pytest.mark.parametrize(("size", "most"), [(100, 0.05), (500, 0.0)])
def test_same_traffic_hardly_ever_drifts(size, most):
    reference = Traffic(1).table(800)
    noise = {
        name: sampling_distance(one, rng())
        for name, one in pairs(Traffic(2).table(size), reference).items()
        if isinstance(one, Pair)
    }
    beyond = [
        distance(one.kind, one.window.to_numpy(), one.reference.to_numpy()) - noise[name]
        for seed in range(10, 30)
        for name, one in pairs(Traffic(seed).table(size), reference).items()
        if isinstance(one, Pair)
    ]
    assert len(beyond) == 20 * 7
    assert np.mean(np.array(beyond) >= 0.1) <= most


def test_our_distances_are_evidentlys():
    reference, window = Traffic(1).table(300), Traffic(2, items=(0, 90)).table(200)
    ready = {name: one for name, one in pairs(window, reference).items() if isinstance(one, Pair)}
    report = build_report([Measured(one, 0.1) for one in ready.values()], window, reference, 3, MonitoringConfig(), {})
    for found in report.findings:
        one = ready[found.column]
        assert found.value == pytest.approx(distance(one.kind, one.window.to_numpy(), one.reference.to_numpy()))
    assert len(report.findings) == len(ready) == 7


def test_each_kind_of_shift_is_found_in_its_column():
    reference, window = Traffic(1).table(800), Traffic(2, items=(0, 40)).table(300)
    window = with_column(window, "top_score", window["top_score"].to_numpy() + 1.0)
    window = with_column(window, "surface", ["search"] * 280 + ["mail"] * 20)
    found = findings(window, reference)
    drifted = {name for name, outcome in found.items() if outcome == "drifted"}
    assert drifted == {"top_score", "surface", "top_popularity_decile", "clicked_popularity_decile"}


def test_missing_and_empty_columns_are_left_out_and_alarm():
    reference, window = Traffic(1).table(200), Traffic(2).table(200)
    window = with_column(window.drop_columns(["top_category"]), "idle_seconds", [None] * 200)
    found = pairs(window, reference)
    for name in ("top_category", "idle_seconds"):
        assert isinstance(found[name], Unfit)
        assert found[name].alarming
    assert isinstance(found["surface"], Pair)
    mirrored = pairs(reference, window)["idle_seconds"]
    assert isinstance(mirrored, Unfit)
    assert not mirrored.alarming


def test_a_column_that_evidently_refuses_fails_alone():
    reference, window = Traffic(1).table(200), Traffic(2).table(200)
    refused = Pair(
        Watched("n_candidates", "numeric", "list"), "numeric", pd.Series([None] * 3, dtype=float), pd.Series([1.0])
    )
    measured = [Measured(refused, 0.1), Measured(pairs(window, reference)["surface"], 0.3)]
    report = build_report(measured, window, reference, 3, MonitoringConfig(), {})
    assert {one.column: one.outcome for one in report.findings} == {"n_candidates": "failed", "surface": "stable"}
    assert next(one.detail for one in report.findings if one.outcome == "failed")


def test_hours_are_compared_only_over_a_day():
    reference = Traffic(1).table(3000)
    hour = pairs(Traffic(2).table(100), reference)["hour"]
    assert isinstance(hour, Unfit)
    assert "86400" in hour.reason
    assert isinstance(pairs(Traffic(2).table(3000), reference)["hour"], Pair)


def test_long_tails_and_constants_become_categories():
    reference = Traffic(1).table(400)
    reference = with_column(reference, "surface", [f"s{n % 40}" for n in range(400)])
    surface = pairs(reference, reference)["surface"]
    assert isinstance(surface, Pair)
    assert surface.reference.nunique() == KEPT_CATEGORIES + 1
    assert OTHER in set(surface.window)
    longer = with_column(reference, "n_candidates", [20] * 396 + [21] * 4)
    size = pairs(longer, reference)["n_candidates"]
    assert isinstance(size, Pair)
    assert size.kind == "categorical"
    assert isinstance(pairs(reference, reference)["n_candidates"], Unfit)


def test_no_id_is_ever_compared_and_samples_have_a_fixed_size():
    assert not {one.name for one in WATCHED} & {"request_id", "user", "top_item_id", "clicked_item_id"}
    found = pairs(Traffic(2).table(900), Traffic(1).table(900), rows=250)["top_score"]
    assert isinstance(found, Pair)
    assert (len(found.window), len(found.reference)) == (250, 250)


def test_small_samples_lie_further_apart():
    reference = Traffic(1).table(800)
    distances = [
        sampling_distance(found, rng())
        for size in (50, 200, 800)
        if isinstance(found := pairs(Traffic(2).table(size), reference)["top_score"], Pair)
    ]
    assert distances == sorted(distances, reverse=True)
    assert len(distances) == 3


def test_texts_of_other_items_are_told_apart():
    reference, items = Traffic(1).table(500), catalogue()
    areas = {}
    for name, traffic in (("same", Traffic(2)), ("other", Traffic(3, items=(0, 60)))):
        sides = [vectors(table, "top_item_id", items, 400, rng()) for table in (traffic.table(500), reference)]
        area, threshold = classifier_area(*sides)
        areas[name] = area >= threshold
    assert areas == {"same": False, "other": True}


def test_unknown_items_have_no_vector():
    table = Traffic(1).table(20)
    strangers = with_column(table, "top_item_id", ["stranger"] * 20)
    assert len(vectors(strangers, "top_item_id", catalogue(), 400, rng())) == 0
