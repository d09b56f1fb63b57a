"""A language model in a real server: it re-ranks within the deadline, says how far it got, and what it changed."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import numpy as np
import pytest

from liverank.config import InterestConfig, TrainingConfig
from liverank.config.lm import LmConfig
from liverank.ranking.bundle_files import load_bundle, save_bundle
from liverank.ranking.data import load_training_data
from liverank.ranking.fit import fit_rankers
from liverank.ranking.protocol import Candidates, Context, Request
from serving.cascading import cascaded
from serving.explaining import contributions, scored_by_blend
from tests.evaluation.world import write_features
from tests.ranking.contract import NOW, history_of
from tests.ranking.lm.tiny_models import encoder
from tests.serving.conftest import Server, click


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with a re-ranker that has its way, whether it helps or not."""
    base = tmp_path_factory.mktemp("cascade")
    write_features(base / "features", validation=40)
    titles = [row["title"] for row in _items(base / "features")]
    model = encoder(base / "model", [word for title in titles for word in title.split()], layers=2)
    lm = LmConfig(
        enabled=True, deploy="on", model=str(model), joint_layers=1, history_tokens=64, steps=10, judge_steps=5, top=10
    )
    config = TrainingConfig(threads=1, interest=InterestConfig(enabled=False), lm=lm)
    fitted = fit_rankers(load_training_data(base / "features"), config, base / "checkpoints")
    # The language model's order alone, so that whoever is asked can be seen.
    fitted.rankers["cascade"].weights = np.asarray([0, 1, 0], np.float32)
    save_bundle(base / "bundle", fitted.catalogue, fitted.rankers, config, {"data_hash": "d" * 64})
    return base / "bundle"


def _items(features: Path) -> list[dict[str, str]]:
    import pyarrow.parquet as pq

    rows: list[dict[str, str]] = pq.read_table(features / "items.parquet").to_pylist()
    return rows


@pytest.fixture(scope="module")
def client(servers: Callable[..., Server], folder: Path) -> httpx.Client:
    command = ("-m", "serving", "--bundle", str(folder))
    server = servers("serving.sentences.top=3", command=command, option="--set")
    return server.start().client()


def test_it_reads_the_best_and_says_how_long_that_took(client: httpx.Client, folder: Path) -> None:
    items = json.loads((folder / "catalogue" / "settings.json").read_text())["item_ids"]
    client.post("/v1/events", json=[click(at, "reader", item) for at, item in enumerate(items[:5])])
    body = {"user_id": "reader", "candidates": items[:30], "explain": True}
    answer = client.post("/v1/rank", json=body).json()
    assert all(line["sentence"] for line in answer["ranking"][:3])
    assert not any("sentence" in line for line in answer["ranking"][3:])
    plain = client.post("/v1/rank", json={**body, "explain": False}).json()
    assert not any("sentence" in line for line in plain["ranking"])
    assert answer["degraded"] == []
    assert answer["timing_ms"]["lm"] > 0
    assert any(reason["signal"] == "lm" for line in answer["ranking"] for reason in line["reasons"])
    events = [event for line in answer["ranking"] for event in line.get("events", [])]
    assert events
    assert {event["score"] for event in events} == {"blend"}  # the language model does not read again for them
    assert not any("events" in line for line in plain["ranking"])


def test_without_a_history_it_is_not_asked(client: httpx.Client, folder: Path) -> None:
    items = json.loads((folder / "catalogue" / "settings.json").read_text())["item_ids"]
    answer = client.post("/v1/rank", json={"user_id": "nobody", "candidates": items[:30]}).json()
    assert (answer["degraded"], answer["timing_ms"]["lm"]) == ([], 0)


def test_what_it_had_no_time_for_is_counted(servers: Callable[..., Server], folder: Path) -> None:
    command = ("-m", "serving", "--bundle", str(folder))
    items = json.loads((folder / "catalogue" / "settings.json").read_text())["item_ids"]
    with servers("serving.rerank_ms=0.001", command=command, option="--set").start().client() as client:
        client.post("/v1/events", json=[click(at, "reader", item) for at, item in enumerate(items[:5])])
        answer = client.post("/v1/rank", json={"user_id": "reader", "candidates": items[:30]}).json()
        assert answer["degraded"] == ["lm: read 0 of 10 in the time left"]
        assert 'liverank_degraded_total{reason="lm"} 1.0' in client.get("/metrics").text


# In the process, where clocks can be told what to say.


@pytest.fixture(scope="module")
def cascade(folder: Path):
    return load_bundle(folder).primary


def requests_of(cascade, count: int) -> list[Request]:
    ids = cascade.count.catalogue.item_ids
    return [
        Request(history_of(ids[at : at + 4]), Candidates(ids[:30]), Context(NOW), f"user-{at}") for at in range(count)
    ]


def test_a_deadline_leaves_time_for_some(cascade) -> None:
    cascade.costs.start(10, history=0.010, scoring=10 * 0.010)
    [found] = cascaded(cascade, requests_of(cascade, 1), [time.perf_counter() + 0.089], 1.0)
    [lacking] = found.lacking
    assert lacking in {f"lm: read {read} of 10 in the time left" for read in (4, 5)}


def test_one_deadline_is_the_whole_batchs(cascade) -> None:
    cascade.costs.start(10, history=0.010, scoring=10 * 0.010)
    found = cascaded(cascade, requests_of(cascade, 3), [None, time.perf_counter() + 0.01, None], 1.0)
    assert [of.lacking for of in found] == [("lm: read 0 of 10 in the time left",)] * 3
    blend = cascade.blend.score_batch(requests_of(cascade, 3))
    for one, other in zip(found, blend, strict=True):
        np.testing.assert_array_equal(one.scores, other)


def test_with_time_enough_nothing_is_lacking(cascade) -> None:
    cascade.costs.start(10, history=0.001, scoring=0.001)
    requests = requests_of(cascade, 2)
    found = cascaded(cascade, requests, [None, None], 10.0)
    assert [of.lacking for of in found] == [(), ()]
    for one, other in zip(found, cascade.score_batch(requests), strict=True):
        np.testing.assert_array_equal(one.scores, other)


def test_reasons_want_time_too(cascade) -> None:
    cascade.costs.start(10, history=0.010, scoring=10 * 0.010)
    plain, explained = (
        int(found.lacking[0].split()[2])
        for found in (
            cascaded(cascade, requests_of(cascade, 1), [time.perf_counter() + 0.089], 1.0, explained)[0]
            for explained in (0, 200)
        )
    )
    assert explained < plain


def test_a_batch_has_one_budget_and_none_means_not_asked(cascade) -> None:
    cascade.costs.start(10, history=0.010, scoring=10 * 0.010)
    found = cascaded(cascade, requests_of(cascade, 4), [None] * 4, 0.100)
    assert found[0].lacking == ("lm: read 0 of 10 in the time left",)
    assert [of.lacking for of in cascaded(cascade, requests_of(cascade, 2), [None] * 2, 0.0)] == [(), ()]


def test_a_language_model_that_fails_leaves_the_blends_list(cascade, monkeypatch) -> None:
    def fails(*_given: object) -> None:
        raise RuntimeError("out of memory")

    cascade.costs.start(10, history=0.001, scoring=0.001)
    monkeypatch.setattr(cascade.lm, "measured", fails)
    requests = requests_of(cascade, 1)
    [found] = cascaded(cascade, requests, [None], 10.0)
    assert found.lacking == ("lm: RuntimeError",)
    np.testing.assert_array_equal(found.scores, cascade.blend.score_batch(requests)[0])


def test_reasons_add_up_to_the_cascades_score(cascade) -> None:
    [request] = requests_of(cascade, 1)
    [scores] = cascade.score_batch([request])
    scored = scored_by_blend(cascade, request)
    assert scored is not None
    told = contributions(scored, scores)
    np.testing.assert_allclose(told._values.sum(1), scores, atol=1e-5)
    assert np.abs(told._values[:, -1]).max() > 0
