"""What the compression benchmark does in processes of its own: train, compress, rank a test, time requests."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from liverank.config import Config, load_config
from liverank.evaluation.protocols.asks import Split
from liverank.evaluation.protocols.settings import ProtocolSettings, protocol_settings

RANKERS: Final = ("interest", "blend")
CANDIDATES: Final = 500
EVENTS: Final = 50
BLOCK: Final = 25
"""Requests put to one ranker before it is the next one's turn."""
SEED: Final = 5


def bundle(dataset: str, folder: str, checkpoints: str, settings: dict[str, Any], overrides: dict[str, Any]) -> None:
    """Trains on the split's training events and writes a bundle."""
    from liverank.evaluation.protocols.split_run import data_hash
    from liverank.evaluation.protocols.trained import undecayed
    from liverank.ranking.bundle_files import save_bundle
    from liverank.ranking.fit import fit_rankers

    chosen, config = protocol_settings(settings), load_config(overrides=overrides)
    split = _split(Path(dataset), chosen, config)
    data = split.over_all_items(data_hash(split, chosen))
    training = undecayed(config.training, chosen.protocol)
    fitted = fit_rankers(data, training, Path(checkpoints))
    facts = {"data_hash": data.data_hash, "language_model": fitted.model.fingerprint()}
    save_bundle(Path(folder), fitted.catalogue, fitted.rankers, training, facts, fitted.model.tuned)


def compressed(bundle: str, folder: str, settings: dict[str, Any]) -> None:
    """Writes another form of a bundle."""
    from liverank.ranking.compress import CompressionSettings, compress

    compress(Path(bundle), Path(folder), CompressionSettings.model_validate(settings))


def ranked(dataset: str, bundle: str, out: str, settings: dict[str, Any], overrides: dict[str, Any]) -> dict[str, Any]:
    """NDCG of every test request, by ranker, into the file `out`; how large the bundle is."""
    from liverank.evaluation.protocols.ranks import metrics
    from liverank.evaluation.protocols.scoring import BundleScores, rank
    from liverank.ranking.bundle_files import load_bundle

    chosen = protocol_settings(settings)
    split = _split(Path(dataset), chosen, load_config(overrides=overrides))
    loaded = load_bundle(Path(bundle))
    found = rank(split, split.test, BundleScores(loaded.rankers))
    users = np.asarray([split.log.events.users[ask.user] for ask in split.test])
    columns: dict[str, Any] = {name: metrics(found.ranks[name], chosen.k)["ndcg"] for name in RANKERS}
    np.savez(out, users=users, **columns)
    interest: Any = loaded.rankers["interest"]
    return {
        "bundle_bytes": _size(Path(bundle)),
        "interest_bytes": _size(Path(bundle) / "interest"),
        "vectors_bytes": interest.table.nbytes,
        "items": len(interest.table),
    }


def timed(bundles: dict[str, str], rounds: int) -> dict[str, Any]:
    """Milliseconds that the interest ranker of each bundle takes for a request, on one core: p50 and p99.

    The bundles take turns, so that what else the machine does meets them all.
    """
    import torch

    from liverank.ranking.bundle_files import load_bundle

    rankers: dict[str, Any] = {name: load_bundle(Path(path)).rankers["interest"] for name, path in bundles.items()}
    cores, threads = os.sched_getaffinity(0), torch.get_num_threads()
    os.sched_setaffinity(0, {min(cores)})
    torch.set_num_threads(1)
    try:
        taken = _taken(rankers, rounds)
    finally:
        os.sched_setaffinity(0, cores)
        torch.set_num_threads(threads)
    return {name: [float(np.quantile(of, share)) * 1000 for share in (0.5, 0.99)] for name, of in taken.items()}


def _taken(rankers: Mapping[str, Any], rounds: int) -> dict[str, list[float]]:
    """Seconds of each request, by ranker."""
    from liverank.ranking.data import encode

    first = next(iter(rankers.values()))
    requests = [encode(first.catalogue, request) for request in _requests(first.catalogue.item_ids, list(first.types))]
    taken: dict[str, list[float]] = {name: [] for name in rankers}
    for number in range(rounds + 1):
        for name, ranker in rankers.items():
            seconds = [_seconds(ranker, request) for request in requests]
            # The first round warms up.
            taken[name] += seconds if number else []
    return taken


def _seconds(ranker: Any, request: Any) -> float:
    started = time.perf_counter()
    ranker.score_encoded([request])
    return time.perf_counter() - started


def _requests(names: Sequence[str], types: Sequence[str]) -> list[Any]:
    from liverank.ranking.protocol import Candidates, Context, History, Request

    draw, now = np.random.default_rng(SEED), 1.7e9
    made = []
    for _ in range(BLOCK):
        past = [names[at] for at in draw.integers(0, len(names), EVENTS)]
        times = (now - np.cumsum(draw.integers(1, 10**5, EVENTS))[::-1]).tolist()
        listed = [names[at] for at in draw.permutation(len(names))[:CANDIDATES]]
        made.append(Request(History(past, [types[0]] * EVENTS, times), Candidates(listed), Context(now)))
    return made


def _split(dataset: Path, settings: ProtocolSettings, config: Config) -> Split:
    from liverank.evaluation.protocols.log import read_log
    from liverank.evaluation.protocols.run import split_of

    return split_of(read_log(dataset, config.data).sampled(settings.max_users), settings)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


STAGES: Final[Mapping[str, Any]] = {
    "compression_bundle": bundle,
    "compression_form": compressed,
    "compression_ranked": ranked,
    "compression_timed": timed,
}
