"""The compression benchmark: a split's bundle, its forms ranked and timed, and the table made of that."""

from __future__ import annotations

import os

import numpy as np
import pytest

from benchmarks import compression, compression_stages
from benchmarks.compression import FORMS, ORIGINAL
from benchmarks.page import put
from benchmarks.quality.page import HEAD
from benchmarks.quality.parts import PAGE_PARTS

SETTINGS = {"protocol": "leave-one-out"}
OVERRIDES = {
    "training.interest.dimension": 16,
    "training.interest.layers": 1,
    "training.interest.history_length": 12,
    "training.interest.epochs": 1,
}


@pytest.fixture(scope="module")
def bundles(features, tmp_path_factory) -> dict[str, str]:
    """The original and one form of it, of a leave-one-out split of the small shop."""
    base, dataset = tmp_path_factory.mktemp("compression"), str(features.parent / "dataset")
    original = str(base / ORIGINAL)
    compression_stages.bundle(dataset, original, str(base / "checkpoints"), SETTINGS, OVERRIDES)
    compression_stages.compressed(original, str(base / "small"), {"network": "int8", "vectors": "int8"})
    return {ORIGINAL: original, "small": str(base / "small")}


def test_forms_are_ranked_and_timed(features, bundles, tmp_path):
    found, dataset = {}, str(features.parent / "dataset")
    for row, path in bundles.items():
        out = tmp_path / f"{row}.npz"
        sizes = compression_stages.ranked(dataset, path, str(out), SETTINGS, OVERRIDES)
        with np.load(out) as arrays:
            found[row] = {**sizes, **{name: arrays[name] for name in arrays.files}}
    cores = os.sched_getaffinity(0)
    milliseconds = compression_stages.timed(bundles, rounds=1)
    assert os.sched_getaffinity(0) == cores
    assert all(0 < middle <= last for middle, last in milliseconds.values())
    assert found["small"]["interest_bytes"] < found[ORIGINAL]["interest_bytes"] < found[ORIGINAL]["bundle_bytes"]
    assert found["small"]["vectors_bytes"] < found[ORIGINAL]["vectors_bytes"]
    for name in ("interest", "blend"):
        values = found[ORIGINAL][name]
        assert len(values) == len(found[ORIGINAL]["users"]) == len(found["small"][name])
        assert 0 < values.mean() < 1
    table = compression._table(found, milliseconds)
    assert table.count("\n| ") == len(bundles)
    assert f"| {ORIGINAL} | {found[ORIGINAL]['interest'].mean():.4f} |  |" in table


def test_the_table_by_hand():
    users = np.asarray([f"u{at}" for at in range(50)])
    sizes = {"bundle_bytes": 4 * 2**20, "interest_bytes": 2**20, "vectors_bytes": 2**19, "items": 1234}
    values = np.linspace(0, 1, 50)
    found = {
        ORIGINAL: {"users": users, "interest": values, "blend": values, **sizes},
        "worse": {"users": users, "interest": values - 0.01, "blend": values, **sizes},
    }
    table = compression._table(found, {ORIGINAL: [2.0, 3.0], "worse": [1.0, 1.5]})
    assert "| worse | 0.4900 | -0.0100 (-0.0100, -0.0100) | 0.5000 | +0.0000 (+0.0000, +0.0000) |" in table
    assert "| 1.00 | 1.50 | 4.00 | 1.00 | 0.50 |" in table
    assert "50 requests, 1,234 items" in table


def test_its_parts_stay_when_another_part_of_the_page_is_written(tmp_path):
    page = tmp_path / "quality.md"
    put(page, "compression-games", "# Compression: games", PAGE_PARTS, HEAD)
    put(page, "games", "# Games", PAGE_PARTS, HEAD)
    text = page.read_text()
    assert text.index("# Games") < text.index("# Compression: games")


def test_every_form_is_one():
    from liverank.ranking.compress import CompressionSettings

    for settings in FORMS.values():
        whole = {**settings, **({"rank": 8} if "rank" in settings else {})}
        assert CompressionSettings.model_validate(whole) != CompressionSettings()


def test_absent_data_are_named(tmp_path, capsys):
    assert compression.main(["--data", str(tmp_path), "--part", "compression-games"]) == 2
    assert "is not at hand" in capsys.readouterr().err
