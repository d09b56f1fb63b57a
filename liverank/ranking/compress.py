"""Smaller and faster forms of a bundle: its interest ranker with another network and smaller vectors."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from pydantic import Field

from liverank import progress
from liverank.config.base import Section
from liverank.errors import BundleError
from liverank.output import output_folder
from liverank.ranking.bundle import bundle_hash
from liverank.ranking.bundle_files import MANIFEST, load_bundle, write_bundle
from liverank.ranking.catalogue import Catalogue, Rows
from liverank.ranking.interest import InterestRanker
from liverank.ranking.interest_model import InterestModel
from liverank.ranking.item_table import ItemTable, Precision
from liverank.ranking.protocol import Candidates, Context, History, Ranker, Request, ranking
from liverank.ranking.query_network import NetworkKind, QueryNetwork, network_of, served_weights

INTEREST: Final = "interest"
COMPRESSED: Final = "compressed"
_OWN: Final = ("format", "created_at", "code_version", "files", COMPRESSED)
_ASKED: Final = 200
_EVENTS: Final = 30
_CANDIDATES: Final = 500
TOP: Final = 10


class CompressionSettings(Section):
    """What is done to the interest ranker; nothing asked for still leaves out what only training reads."""

    network: NetworkKind = Field(
        "float32",
        description="What reads a user's events. float32: the network as it was trained; int8: its weights kept as "
        "bytes; onnx: an ONNX graph; onnx-int8: that graph with products in bytes.",
    )
    vectors: Precision = Field("float32", description="Numbers of the items' vectors; int8 has a scale for each item.")
    rank: int = Field(
        0, ge=0, description="Coordinates kept of each item's vector, in the subspace that holds most; 0: all."
    )
    prune_items: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Share of the items with training events, those with the fewest, whose learned vectors are "
        "dropped: their texts' stay, and are computed at load.",
    )


@dataclass(frozen=True)
class CompressionSummary:
    """What compression made of a bundle."""

    bundle_hash: str
    bytes_before: int
    """Of the interest ranker's files."""
    bytes_after: int
    table_before: int
    """Bytes of the items' vectors in memory."""
    table_after: int
    agreement: float
    """Share of the first ten that the two rankers have in common, mean over made-up requests."""


def compress(bundle: Path, out: Path, settings: CompressionSettings) -> CompressionSummary:
    """Writes a bundle like `bundle`, with its interest ranker compressed, to `out`, whole or not at all.

    All other files are copied as they are. The manifest tells what was done, and to which bundle.

    Raises:
        BundleError: there is nothing to compress, `out` holds something else than a bundle, or a package is missing.
        OutputError: nothing can be written beside `out`.
    """
    _check_out(bundle, out)
    output_folder(out.parent)
    with progress.stage("compress bundle"):
        loaded = load_bundle(bundle)
        ranker = _original(bundle, loaded.rankers, loaded.manifest)
        made = compressed(ranker, settings)

        def fill(part: Path) -> None:
            shutil.copytree(bundle, part, dirs_exist_ok=True, ignore=shutil.ignore_patterns(INTEREST, MANIFEST))
            (part / INTEREST).mkdir()
            made.save(part / INTEREST)

        kept = {name: value for name, value in loaded.manifest.items() if name not in _OWN}
        facts = {**kept, COMPRESSED: {"from": loaded.hash, **settings.model_dump(mode="json")}}
        manifest = write_bundle(out, fill, facts)
    return CompressionSummary(
        bundle_hash(manifest),
        _size(bundle / INTEREST),
        _size(out / INTEREST),
        ranker.table.nbytes,
        made.table.nbytes,
        agreement(ranker, made, ranker.catalogue),
    )


def _check_out(bundle: Path, out: Path) -> None:
    if out.resolve() == bundle.resolve():
        raise BundleError(f"{out} is the bundle itself.", "Give another folder: the original stays as it is.")
    if out.exists() and not (out / MANIFEST).is_file() and (not out.is_dir() or any(out.iterdir())):
        raise BundleError(f"{out} is there and is no bundle.", "Give a folder that is not there yet, or a bundle's.")


def _original(path: Path, rankers: Mapping[str, Ranker], manifest: Mapping[str, Any]) -> InterestRanker:
    ranker = rankers.get(INTEREST)
    if not isinstance(ranker, InterestRanker):
        raise BundleError(f"The bundle {path} has no interest ranker to compress.", "Train one: interest.enabled.")
    if COMPRESSED in manifest:
        raise BundleError(
            f"The bundle {path} is compressed already, from {manifest[COMPRESSED]['from'][:12]}.", "Compress that one."
        )
    return ranker


def compressed(ranker: InterestRanker, settings: CompressionSettings) -> InterestRanker:
    """The ranker in another form.

    Raises:
        BundleError: a package that the form needs is missing, or the network cannot be exported.
    """
    model, network = _network(ranker, settings.network)
    pruned = _pruned(ranker.catalogue, settings.prune_items)
    vectors = ranker.table.rows(np.arange(len(ranker.table)))
    vectors[pruned] = ranker.text_vectors_of(pruned)
    made = ranker.with_parts(ItemTable.of(vectors, settings.vectors, settings.rank), network, model)
    made.pruned = pruned
    if len(pruned):
        # Once more, as at load: of the weights that are written, and in a product of the same rows.
        made.table = made.table.with_rows(len(made.table), pruned, made.text_vectors_of(pruned))
    return made


def _network(ranker: InterestRanker, kind: NetworkKind) -> tuple[InterestModel, QueryNetwork]:
    """The model without what serving does not read, and what reads events."""
    graph = b""
    if kind in ("onnx", "onnx-int8"):
        from liverank.ranking.onnx_network import export, quantise

        graph = export(ranker.model)
        graph = quantise(graph) if kind == "onnx-int8" else graph
    return network_of(kind, served_weights(ranker.model, kind), len(ranker.types), ranker.config, graph)


def _pruned(catalogue: Catalogue, share: float) -> Rows:
    """Rows of the items with the fewest training events, and of those without any, ascending; none for a share of 0."""
    if not share:
        return np.zeros(0, np.int64)
    events = catalogue.train_events
    order = np.argsort(events, kind="stable")
    never = int((events == 0).sum())
    return np.sort(order[: never + round(share * (len(events) - never))])


def agreement(one: Ranker, other: Ranker, catalogue: Catalogue) -> float:
    """Share of the first ten that two rankers have in common, mean over made-up requests with random histories."""
    draw = np.random.default_rng(1)
    names, now = catalogue.item_ids, 1.7e9
    shares = []
    for _ in range(_ASKED):
        past = [names[at] for at in draw.integers(0, len(names), _EVENTS)]
        listed = [names[at] for at in draw.permutation(len(names))[:_CANDIDATES]]
        times = (now - np.sort(draw.integers(0, 10**6, _EVENTS))[::-1]).tolist()
        request = Request(History(past, [""] * _EVENTS, times), Candidates(listed), Context(now))
        firsts = [set(ranking(ranker.score_batch([request])[0])[:TOP].tolist()) for ranker in (one, other)]
        shares.append(len(firsts[0] & firsts[1]) / min(TOP, len(listed)))
    return float(np.mean(shares))


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
