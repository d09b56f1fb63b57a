"""`mlflow.pyfunc.load_model` ranks, in a process of its own and with pickle refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from liverank import columns as c
from liverank.errors import DataError
from liverank.ranking.bundle_files import load_bundle
from liverank.ranking.protocol import ranking
from liverank.registry.schema import request

_CALL = """
import json, sys
import mlflow, pandas as pd
mlflow.set_tracking_uri(sys.argv[1])
model = mlflow.pyfunc.load_model("models:/liverank@champion")
answers = [model.predict(pd.DataFrame([row])).to_dict("records")[0] for row in json.loads(sys.argv[2])]
print(json.dumps({"answers": answers, "inputs": model.metadata.signature.inputs.input_names()}, default=list))
"""

ROWS = [
    {
        c.USER_ID: "u1",
        c.HISTORY_ITEMS: ["i1", "i4"],
        c.HISTORY_TYPES: ["click", "purchase"],
        c.HISTORY_TIMES: [1767225600.0, 1767229200.0],
        c.CANDIDATES: ["i2", "i3", "i7", "never-seen"],
        c.TIMESTAMP: 1767232800.0,
        c.SURFACE: "home",
    },
    {c.HISTORY_ITEMS: ["i1", "i4"], c.CANDIDATES: ["i2", "i3", "i7"]},
    {c.CANDIDATES: ["i2"]},
]


def test_the_champion_ranks_as_the_bundle_does(filled, models):
    settings = {**os.environ, "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _CALL, filled.config.tracking_uri, json.dumps(ROWS)],
        env=settings,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout.splitlines()[-1])
    assert answer["inputs"][:2] == [c.USER_ID, c.HISTORY_ITEMS]
    requests = [request(row) for row in ROWS]
    expected = load_bundle(models.better.bundle).primary.score_batch(requests)
    for said, asked, scores in zip(answer["answers"], requests, expected, strict=True):
        order = ranking(scores)
        assert said["ranking"] == [asked.candidates.item_ids[place] for place in order]
        assert said["scores"] == pytest.approx(scores[order].tolist(), abs=1e-6)


def test_missing_columns_and_missing_cells_are_the_same():
    bare = request({c.CANDIDATES: ["a"]})
    empty = {c.CANDIDATES: np.array(["a"]), c.HISTORY_ITEMS: None, c.TIMESTAMP: float("nan"), c.SURFACE: None}
    assert request(empty) == bare
    assert bare.context.timestamp == 0.0
    assert len(bare.history) == 0


def test_without_a_time_the_request_is_made_at_the_last_event():
    row = {c.CANDIDATES: ["a"], c.HISTORY_ITEMS: ["b", "d"], c.HISTORY_TIMES: [5.0, 9.0]}
    made = request(row)
    assert made.context.timestamp == 9.0
    assert list(made.history.types) == ["click", "click"]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({c.CANDIDATES: []}, "at least one id"),
        ({c.CANDIDATES: ["a", "a"]}, "none twice"),
        ({c.CANDIDATES: ["a"], c.HISTORY_ITEMS: ["b"], c.HISTORY_TYPES: ["click", "view"]}, "2 entries for 1 items"),
        ({c.CANDIDATES: ["a", "b"], c.CANDIDATE_SCORES: [1.0]}, "1 entries for 2 items"),
        ({c.CANDIDATES: "a"}, "must be a list"),
    ],
)
def test_a_row_that_cannot_be_ranked_says_why(row, said):
    with pytest.raises(DataError, match=said):
        request(row)
