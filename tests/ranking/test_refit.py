"""The refit: what the validation's users did is learned, and nothing that came later."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from liverank.config.training import RefitConfig
from liverank.errors import TrainingError
from liverank.ranking.checkpoint import Checkpoint
from liverank.ranking.data import train_until
from liverank.ranking.fit import fit_rankers
from liverank.ranking.interest_model import InterestModel
from liverank.ranking.refit import KIND, initial_state, refit_counts, refit_data, refit_interest
from tests.ranking.conftest import SMALL
from tests.ranking.small_model import small_ranker

WITHOUT = SMALL.model_copy(update={"refit": RefitConfig(enabled=False)})


@pytest.fixture(scope="module")
def made(features, data, tmp_path_factory):
    """Checkpoints and rankers, fitted on data in memory."""
    folder = tmp_path_factory.mktemp("refit")
    return folder, fit_rankers(data, SMALL, folder, features)


def test_all_that_had_arrived_when_the_validation_ended_is_learned(features, data):
    from liverank.ranking.data import _split

    bounds = _split(features)
    assert bounds["train_until"] < bounds["validation_until"] <= bounds["test_from"]
    assert data.events.timestamp.max() < train_until(features).timestamp()
    assert len(data.events) < len(data.complete)
    latest = data.complete.timestamp.max()
    assert bounds["validation_from"].timestamp() <= latest < bounds["validation_until"].timestamp()


def test_the_served_rankers_know_it_and_the_judged_ones_do_not(made, data):
    _, fitted = made
    count, before = fitted.rankers["count"], fitted.judged["count"]
    assert count.catalogue.train_events.sum() == len(data.complete)
    assert before.catalogue.train_events.sum() == len(data.events)
    assert abs(count.transitions - before.transitions).max() > 0
    for name in ("popularity", "linear", "interest"):
        assert fitted.rankers[name] is not fitted.judged[name]
    assert fitted.catalogue is not data.catalogue
    # What belongs together refers to one another.
    assert all(fitted.rankers["blend"].rankers[name] is fitted.rankers[name] for name in ("count", "interest"))
    assert fitted.rankers["blend"].count.catalogue.train_events.sum() == len(data.complete)


def test_weights_stay_as_the_validation_chose_them(made):
    _, fitted = made
    assert np.array_equal(fitted.rankers["blend"].weights, fitted.judged["blend"].weights)
    assert np.array_equal(fitted.rankers["count"].weights, fitted.judged["count"].weights)


def test_what_users_did_in_the_validation_becomes_likely(made, data):
    """The interest model says more of what followed in the validation than it did, and of the past no less."""
    _, fitted = made
    gained = []
    for labelled in data.validation:
        if labelled.request.history.item_ids and labelled.labels.any():
            scores = [which["interest"].score_batch([labelled.request])[0] for which in (fitted.judged, fitted.rankers)]
            chances = [torch.log_softmax(torch.from_numpy(of), 0).numpy() for of in scores]
            gained.append((chances[1] - chances[0])[labelled.labels > 0].mean())
    assert len(gained) > 20
    assert np.mean(gained) > 0


def test_without_it_the_bundle_is_what_was_judged(features, data, tmp_path):
    small = WITHOUT.model_copy(update={"interest": SMALL.interest.model_copy(update={"enabled": False})})
    fitted = fit_rankers(data, small, tmp_path, features)
    assert fitted.rankers is fitted.judged
    assert refit_data(data, WITHOUT) is None
    assert refit_data(replace(data, complete=None), SMALL) is None
    assert refit_data(replace(data, complete=data.events), SMALL) is None


def test_a_killed_refit_goes_on_to_the_same_weights(made, data, tmp_path, monkeypatch):
    _, fitted = made
    later, embedded = refit_data(data, SMALL), fitted.catalogue
    later = replace(later, catalogue=embedded)

    class Killed(Exception):
        """Stands for the end of the process."""

    def run(folder, dies_after=0):
        saves, save = [], Checkpoint.save

        def counted(self, *arguments):
            save(self, *arguments)
            saves.append(self.path)
            if len(saves) == dies_after:
                raise Killed

        monkeypatch.setattr(Checkpoint, "save", counted)
        ranker = refit_interest(fitted.judged["interest"], data.events.types, later, SMALL, folder)
        monkeypatch.setattr(Checkpoint, "save", save)
        return ranker.item_vectors(), len(saves)

    whole, saves = run(tmp_path / "whole")
    assert saves > 3
    save = Checkpoint.save
    with pytest.raises(Killed):
        run(tmp_path / "killed", dies_after=3)
    monkeypatch.setattr(Checkpoint, "save", save)
    again, fewer = run(tmp_path / "killed")
    assert fewer < saves
    assert np.array_equal(again, whole)


def test_only_the_checkpoint_of_this_refit_is_kept(made, data):
    folder, _ = made
    (kept,) = folder.glob(f"{KIND}-*")
    later = replace(refit_data(data, SMALL), catalogue=made[1].catalogue)
    other = SMALL.model_copy(update={"refit": RefitConfig(learning_rate=1e-4)})
    refit_interest(made[1].judged["interest"], data.events.types, later, other, folder)
    (now,) = folder.glob(f"{KIND}-*")
    assert now != kept


def test_types_of_the_validation_alone_begin_as_unknown_ones():
    ranker = small_ranker()
    before = ranker.model.types.weight.detach()
    state = initial_state(ranker.model, ["click", "buy"], ["buy", "click", "shrug"])
    assert torch.equal(state["types.weight"], before[[1, 0, 2, 2]])
    wider = InterestModel(torch.ones(40), 3, 6 + ranker.text.columns, ranker.config)
    missing = wider.load_state_dict(state, strict=False)
    assert missing.missing_keys == ["log_met"]
    assert not missing.unexpected_keys


def test_a_bundle_says_how_much_it_knows(features, fitted, data):
    _, summary = fitted
    assert summary.seconds["refit"] > 0
    assert summary.refit_events == len(data.complete)


def test_counts_without_a_linear_ranker(made, data):
    _, fitted = made
    later = replace(refit_data(data, SMALL), catalogue=fitted.catalogue)
    rankers = {name: ranker for name, ranker in fitted.judged.items() if name != "linear"}
    assert set(refit_counts(rankers, later, SMALL)) == {"count", "popularity", "zero-shot"}


def test_a_rate_that_is_too_high_is_named(made, data, tmp_path):
    later = replace(refit_data(data, SMALL), catalogue=made[1].catalogue)
    wild = SMALL.model_copy(update={"refit": RefitConfig(learning_rate=1e30)})
    with pytest.raises(TrainingError, match=r"Set training\.refit\.learning_rate below"):
        refit_interest(made[1].judged["interest"], data.events.types, later, wild, tmp_path)
