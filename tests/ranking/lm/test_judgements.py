"""A teacher's orders are kept, gone on with, and learned from."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from liverank.cli.main import app, register_commands
from liverank.config import TrainingConfig
from liverank.config.endpoint import EndpointConfig
from liverank.config.lm import LmConfig
from liverank.errors import ConfigError, DataError, TrainingError
from liverank.ranking.checkpoint import Checkpoint
from liverank.ranking.lm.endpoint import EndpointRanker
from liverank.ranking.lm.fitting import _with_taught
from liverank.ranking.lm.judgements import judge_lists, taught_lists
from liverank.ranking.lm.loading import load_scorer
from liverank.ranking.lm.ranker import LmRanker
from liverank.ranking.lm.training import train
from tests.ranking.lm.test_endpoint import Model, model  # noqa: F401  a fixture
from tests.ranking.lm.tiny_models import encoder

CONFIG = TrainingConfig(threads=1, device="cpu", lm=LmConfig(negatives=7, hard=30))


def judged(features, out, served: Model, lists=12, **settings):
    def teacher(catalogue):
        config = EndpointConfig(url=served.url, model="large", retries=0, **settings)
        return EndpointRanker(catalogue, config, sleep=lambda seconds: None)

    return judge_lists(features, out, CONFIG, lists, teacher)


def shortest_first(body):
    lines = [line for line in body["messages"][1]["content"].splitlines() if line.startswith("[")]
    return " > ".join(line.split("]")[0] + "]" for line in sorted(lines, key=len))


@pytest.fixture
def teacher(model):  # noqa: F811
    """A server that puts short texts first."""
    model.rank = shortest_first
    return model


def test_orders_are_written_line_by_line(features, teacher, tmp_path, data):
    out = tmp_path / "judgements.jsonl"
    summary = judged(features, out, teacher)
    lines = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert len(lines) == summary.judged == summary.asked
    assert summary.lost == 0
    for one in lines:
        assert one["answer"] in one["ranking"]
        lengths = [len(data.catalogue.texts[data.catalogue.index[item]]) for item in one["ranking"]]
        assert lengths == sorted(lengths)
        assert max(one["history"]["timestamps"]) < one["timestamp"]


def test_what_is_in_the_file_is_not_asked_again(features, teacher, tmp_path):
    out = tmp_path / "judgements.jsonl"
    whole = judged(features, tmp_path / "whole.jsonl", teacher)
    asked = len(teacher.asked)
    judged(features, out, teacher)
    kept = out.read_bytes().splitlines(keepends=True)[:5]
    out.write_bytes(b"".join(kept) + b'{"list": "cut')  # what a kill leaves
    again = judged(features, out, teacher)
    assert again.asked == whole.judged - 5
    assert len(teacher.asked) == 2 * asked + again.asked
    assert out.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


def test_a_list_without_an_answer_is_asked_about_the_next_time(features, teacher, tmp_path):
    out = tmp_path / "judgements.jsonl"
    teacher.answers = ["", (500, {}, {})]
    first = judged(features, out, teacher)
    assert (first.lost, first.judged) == (2, first.asked - 2)
    again = judged(features, out, teacher)
    assert (again.asked, again.judged) == (2, first.asked)


def test_a_teacher_that_never_answers_is_given_up(features, teacher, tmp_path):
    teacher.answers = [(401, {"error": "who are you"}, {})] * 12
    with pytest.raises(TrainingError, match="did not answer 3 lists in a row"):
        judged(features, tmp_path / "judgements.jsonl", teacher)
    assert len(teacher.asked) == 3


def test_other_files_are_left_alone(features, teacher, tmp_path):
    other = tmp_path / "settings.json"
    other.write_text('{"precious": 1}')
    with pytest.raises(DataError, match="is no judgement"):
        judged(features, other, teacher)
    assert other.read_text() == '{"precious": 1}'


def test_the_budget_ends_the_asking_and_a_later_run_goes_on(features, teacher, tmp_path):
    out = tmp_path / "judgements.jsonl"
    first = judged(features, out, teacher, max_tokens=300)
    assert first.judged == 3
    assert "not asked for want of budget" in first.told
    assert judged(features, out, teacher).judged > 3


def test_a_small_model_comes_to_agree_with_its_teacher(features, teacher, tmp_path, data):
    out = tmp_path / "judgements.jsonl"
    judged(features, out, teacher, lists=60)
    words = {word for text in data.catalogue.texts for word in text.replace(".", " ").split()}
    lm = LmConfig(
        enabled=True, model=str(encoder(tmp_path / "model", words, layers=1)), joint_layers=1, history_tokens=64,
        steps=60, judge_steps=60, batch=12, learning_rate=5e-3,
    )  # fmt: skip
    config = CONFIG.model_copy(update={"lm": lm})
    lists = taught_lists(out, data.catalogue)
    prompts, scorer = load_scorer(lm.model, lm, torch.device("cpu"))
    seen, unseen = lists[:45], lists[45:]

    def agreement(now):
        ranker = LmRanker(data.catalogue, prompts, now, lm, ("", ""))
        found = [ranker.score_some(one.request, np.arange(len(one.rows))) for one in unseen]
        return float(
            np.mean([np.corrcoef(scores, one.teacher)[0, 1] for scores, one in zip(found, unseen, strict=True)])
        )

    before = agreement(scorer)
    train(scorer, prompts, data.catalogue, seen, config, agreement, Checkpoint(tmp_path / "state.safetensors"))
    assert agreement(scorer) > max(before, 0.0) + 0.3


def test_judgements_join_the_lists_of_events(features, teacher, tmp_path, data):
    out = tmp_path / "judgements.jsonl"
    judged(features, out, teacher)
    config = CONFIG.model_copy(update={"lm": LmConfig(judgements=str(out))})
    own = [replace(one, teacher=None) for one in taught_lists(out, data.catalogue)]
    together = _with_taught(own, data, config)
    assert len(together) == 2 * len(own)
    assert sum(one.teacher is not None for one in together) == len(own)
    assert _with_taught(own, data, CONFIG) == own
    # What a teacher was asked about later than the training time holds what is to be foretold.
    early = replace(data, events=data.events.where(data.events.timestamp < np.median(data.events.timestamp)))
    kept = [one for one in _with_taught([], early, config) if one.teacher is not None]
    assert len(kept) < len(own)
    assert all(one.request.request.context.timestamp <= early.events.latest for one in kept)


def test_what_is_no_judgement_is_said_with_its_line(tmp_path, data):
    path = tmp_path / "odd.jsonl"
    path.write_text('{"list": "1"}\n[2]\n')
    with pytest.raises(DataError, match=r"Line 1 of .*odd\.jsonl is no judgement"):
        taught_lists(path, data.catalogue)
    with pytest.raises(DataError, match="cannot be read"):
        taught_lists(tmp_path / "nothing.jsonl", data.catalogue)


def test_the_command_says_what_it_did_and_what_is_missing(features, teacher, tmp_path):
    register_commands()
    run = CliRunner().invoke
    keys = [f"training.lm.teacher.url={teacher.url}", "training.lm.teacher.model=large", "training.lm.negatives=5"]
    told = [word for key in keys for word in ("-s", key)]
    out = tmp_path / "judgements.jsonl"
    done = run(app, ["distil", "--features", str(features), "--out", str(out), "--lists", "5", *told])
    assert done.exit_code == 0, done.output
    assert "5 of 5 prompts answered" in done.output
    assert f"Judgements: {out}" in done.output
    missing = run(app, ["distil", "--features", str(features), "--out", str(out), "--lists", "6"])
    assert isinstance(missing.exception, ConfigError)
