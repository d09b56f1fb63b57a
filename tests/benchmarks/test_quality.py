"""The quality benchmark on the real files, as far as a minute reaches."""

from __future__ import annotations

import re

import numpy as np
import pytest

from benchmarks.measure import Measured
from benchmarks.quality import sources
from benchmarks.quality.__main__ import main
from benchmarks.quality.page import _fine_tuned, _without
from benchmarks.quality.parts import PARTS, beside
from benchmarks.quality.published import HEADS, ROWS
from liverank.config import DataConfig
from liverank.evaluation.protocols.leave_one_out import leave_one_out
from liverank.evaluation.protocols.log import read_log
from liverank.evaluation.protocols.ranks import metrics
from liverank.evaluation.protocols.recipes import plain_scores
from liverank.evaluation.protocols.scoring import rank
from tests.conftest import real_data


def test_every_part_has_rows_of_others_to_stand_beside():
    for name, part in PARTS.items():
        if part.protocol.get("shuffle_ties") or part.published == "none":
            continue  # the published figures are of the order of the file, or of another protocol
        key = part.published or name
        assert ROWS[key]
        assert HEADS[key]


def test_a_part_without_its_data_is_said(tmp_path, capsys):
    assert main(["--part", "games", "--data", str(tmp_path), "--out", str(tmp_path / "page.md")]) == 2
    assert "games_interactions.parquet is not at hand" in capsys.readouterr().err
    assert not (tmp_path / "page.md").exists()


def plain(name: str, folder, users: int = 0) -> dict[str, tuple[float, float]]:
    """NDCG@10 and HR@10 of each plain recipe."""
    sources.prepare(name, real_data(sources.GAMES).parent.parent, folder)
    split = leave_one_out(read_log(folder, DataConfig()).sampled(users))
    ranks = rank(split, split.test, plain_scores(split, 10)).ranks
    values = {row: metrics(of, 10) for row, of in ranks.items()}
    return {row: (float(np.mean(of["ndcg"])), float(np.mean(of["hit_rate"]))) for row, of in values.items()}


def test_the_plain_counts_reach_what_was_measured_beforehand(tmp_path):
    """Ties may fall the other way: a ten-thousandth."""
    real_data(sources.ML100K)
    real_data(sources.MOVIES)
    assert plain("ml100k", tmp_path)["plain count"] == pytest.approx((0.0777, 0.1344), abs=2e-4)


def test_ratings_of_one_second_stand_in_the_order_of_their_ids_until_they_are_shuffled(tmp_path):
    sources.prepare("ml100k", real_data(sources.ML100K).parent.parent, tmp_path)
    log = read_log(tmp_path, DataConfig())
    ids = np.asarray(log.catalogue.item_ids).astype(int)

    def rising(of) -> tuple[float, float]:
        """Share of the events at the instant of the one before, and of these the share with a higher id."""
        events = of.events
        same_user = np.diff(events.user) == 0
        tied = same_user & (np.diff(events.timestamp) == 0)
        return float(tied.sum() / len(events)), float((np.diff(ids[events.item]) > 0)[tied].mean())

    assert rising(log) == pytest.approx((0.160, 0.985), abs=1e-3)
    assert rising(log.shuffled_ties()) == pytest.approx((0.160, 0.5), abs=0.02)


def test_a_sample_of_games_ranks_counts_above_text(tmp_path):
    found = plain("games", tmp_path, users=2000)
    assert found["plain count + TF-IDF"][0] > found["plain TF-IDF"][0] > 0.005
    assert found["plain count + TF-IDF"][0] > 0.02


def test_the_page_holds_our_rows_beside_those_of_others(tmp_path):
    data = real_data(sources.ML100K).parent.parent
    real_data(sources.MOVIES)
    page = tmp_path / "page.md"
    off = ["-s", "training.interest.enabled=false"]
    assert main(["--quick", "--part", "ml100k", "--data", str(data), "--out", str(page), *off]) == 0
    text = page.read_text(encoding="utf-8")
    assert re.search(r"\| blend \| 0\.[01]\d{3} \(0\.[01]\d{3}, 0\.\d{4}\) \|", text)
    assert "| blend, before the refit |" in text
    assert "| LlamaRec-7B | .0759 / .1524 | [R] |" in text
    assert "## Lists of 20 from count, truth in the list" in text
    assert "make bench-quality QUICK=1 ARGS='--part ml100k -s training.interest.enabled=false'" in text
    assert "peak memory" in text


def test_a_second_run_stands_beside_the_first():
    """What is done for cold items is told by what the same without it reaches, for warm items too."""

    def finding(group: str, value: float | None) -> dict[str, object]:
        return {"group": group, "rows": {"blend": {"ndcg": {"mean": value}}, "count": {"ndcg": {"mean": 0.1}}}}

    def run(warm: float, cold: float | None, seconds: float) -> Measured:
        result = {"k": 10, "findings": [finding("warm", warm), finding("cold", cold)]}
        return Measured("protocol", seconds, seconds, seconds, 100.0, result)

    both = beside(run(0.098, 0.03, 5.0), run(0.1, None, 6.0), {"training.interest.id_dropout": 0.0})
    assert both.seconds == 11
    assert _without(both.result).splitlines()[3:] == [
        "| requests | row | NDCG@10 | with `training.interest.id_dropout` 0.0 | change |",
        "|---|---|---|---|---|",
        "| warm | blend | 0.0980 | 0.1000 | -2.0% |",
        "| cold | blend | 0.0300 | - | - |",
    ]
    assert _without(run(0.1, 0.2, 1.0).result) == ""


def test_what_the_validation_said_of_a_language_model_is_told():
    training = {"steps": 900, "seconds": 600.4, "tokens_per_second": 1024.2}
    told = {"gain": 0.002, "low": -0.001, "high": 0.005, "judged": 7000, "blend": 0.1, "weights": {"blend": 1.02}}
    text = _fine_tuned({"chosen": {"seeds": [{"lm": {**told, "training": training}}, {"interest": {}}]}})
    assert "| 1 | 900 | 600 | 1,024 | 0.1000 | +0.0020 (-0.0010, +0.0050) | 7,000 | blend 1.02 |" in text
    assert _fine_tuned({"chosen": {"seeds": [{"interest": {}}]}}) == ""
