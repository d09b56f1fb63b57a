"""A trained model on disk: safetensors and JSON under a manifest of hashes, checked before anything is read."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self, cast

import numpy as np

import liverank
from liverank.config.training import TrainingConfig
from liverank.errors import BundleError
from liverank.events import Item
from liverank.ranking import arrays
from liverank.ranking.baselines import PopularityRanker
from liverank.ranking.count import CountRanker
from liverank.ranking.data import Catalogue, Floats, Rows, encode
from liverank.ranking.protocol import Candidates, Context, History, Ranker, Request, Scores
from liverank.text import LanguageModel
from liverank.text_layers import TunedLayers

if TYPE_CHECKING:
    from liverank.ranking.feature_ranker import FeatureRanker

FORMAT = 2
MANIFEST = "manifest.json"
TUNED_LAYERS = "language-model/layers.safetensors"
"""In bundles whose language model was tuned: what changed of it."""
_MADE_OF_OTHERS = ("blend", "cascade")
"""Rankers over other rankers, each after those that it is made of."""
_AGAIN = "Fetch the bundle again, or train a new one."


class BundledRanker(Ranker, Protocol):
    """A ranker that can follow its catalogue as that grows."""

    def on(self, catalogue: Catalogue, changed: Rows) -> Self:
        """The same ranker over a catalogue with appended items and rewritten rows `changed`."""
        ...


Rankers = dict[str, BundledRanker]


@dataclass(frozen=True)
class _State:
    catalogue: Catalogue
    rankers: Rankers


class Bundle:
    """A loaded model: its catalogue, its rankers by name, and what is known of where it came from.

    `catalogue`, `rankers` and `primary` are read afresh for each batch: `add_items` swaps them as one.
    """

    def __init__(
        self, catalogue: Catalogue, rankers: Rankers, encoder: LanguageModel, manifest: dict[str, Any]
    ) -> None:
        self._state = _State(catalogue, rankers)
        self._encoder = encoder
        self._adding = threading.Lock()
        self.manifest = manifest
        self.hash = bundle_hash(manifest)

    @property
    def catalogue(self) -> Catalogue:
        """The items it knows now."""
        return self._state.catalogue

    @property
    def rankers(self) -> Mapping[str, Ranker]:
        """Name -> ranker: `blend`, `count`, `popularity`, `zero-shot` and, where fitted, the others of the blend.

        Where a language model re-ranks the blend's best, it is `lm`, and both together are `cascade`.
        """
        return cast(Mapping[str, Ranker], self._state.rankers)

    @property
    def primary(self) -> Ranker:
        """The ranker that serves: the cascade where there is one, else the blend."""
        rankers = self._state.rankers
        return rankers["cascade"] if "cascade" in rankers else rankers["blend"]

    def add_items(self, items: Sequence[Item], former: Bundle | None = None) -> None:
        """Makes new items rankable and takes changed texts over, at once; safe beside scoring in other threads.

        Args:
            items: new ones, and new versions of known ones.
            former: a bundle whose vectors of the same texts are taken, where the same language model made them; what a
                swap does not have to encode again.
        """
        with self._adding:
            catalogue, changed = self._state.catalogue.with_items(items)
            if len(changed) and catalogue.embeddings is not None:
                texts = [catalogue.texts[row] for row in changed]
                catalogue.embeddings[changed] = self._embedded(texts, former)
            rankers: Rankers = {
                name: ranker.on(catalogue, changed)
                for name, ranker in self._state.rankers.items()
                if name not in _MADE_OF_OTHERS
            }
            if "features" in rankers:
                rankers["features"] = cast(Any, rankers["features"]).knowing(items)
            for name in _MADE_OF_OTHERS:
                if name in self._state.rankers:
                    rankers[name] = cast(Any, self._state.rankers[name]).over(rankers)
            self._state = _State(catalogue, rankers)

    def _embedded(self, texts: Sequence[str], former: Bundle | None) -> Floats:
        """Vectors of texts, `[texts, width]`."""
        if former is None or former._encoder.fingerprint() != self._encoder.fingerprint():
            return self._encoder.encode(texts)
        had, wanted = former.catalogue, set(texts)
        rows = [] if had.embeddings is None else [row for row, text in enumerate(had.texts) if text in wanted]
        vectors = {had.texts[row]: had.embedded[row] for row in rows}
        new = [text for text in wanted if text not in vectors]
        vectors.update(zip(new, self._encoder.encode(new), strict=True))
        return np.stack([vectors[text] for text in texts])

    def remember_texts(self, texts: Sequence[str]) -> int:
        """Encodes texts of items outside the catalogue ahead of their scoring, which then finds them remembered.

        Returns:
            How many different ones were remembered already.

        Raises:
            LanguageModelError: the language model cannot be had.
        """
        known = len(self._encoder.remembered(texts))
        self._encoder.encode_remembered(texts)
        return known

    def query_scores(self, query: str, candidates: Candidates) -> Scores:
        """Cosine of a query's embedding and each candidate's, `[candidates]`; 0 for a candidate without a text.

        Raises:
            LanguageModelError: the language model cannot be had.
        """
        state = self._state
        request = encode(state.catalogue, Request(History(), candidates, Context(0.0)))
        return cast(Any, state.rankers["zero-shot"]).query_scores(query, request)

    def vectors(self, item_ids: Sequence[str], texts: Mapping[str, str]) -> Floats | None:
        """Unit vectors of items' texts, `[items, width]`, as far as they are at hand; None where there are none at all.

        The catalogue's, else those of `texts` (item id -> text) that `remember_texts` has met lately, else 0: nothing
        is encoded here.
        """
        catalogue = self.catalogue
        if catalogue.embeddings is None or not catalogue.embeddings.shape[0]:
            return None
        rows = catalogue.rows(item_ids)
        vectors = catalogue.embeddings[np.maximum(rows, 0)]
        unknown = np.flatnonzero(rows < 0).tolist()
        vectors[unknown] = 0
        given = {at: text for at in unknown if (text := texts.get(item_ids[at], ""))}
        remembered = self._encoder.remembered(list(given.values()))
        for at, text in given.items():
            if text in remembered:
                vectors[at] = remembered[text]
        return vectors


def bundle_hash(manifest: Mapping[str, Any]) -> str:
    """Identity of a bundle: sha256 over its files' paths and hashes."""
    listed = json.dumps(sorted(manifest["files"].items()))
    return hashlib.sha256(listed.encode()).hexdigest()


# Writing.


def save_bundle(
    out: Path,
    catalogue: Catalogue,
    rankers: Mapping[str, Ranker],
    config: TrainingConfig,
    facts: Mapping[str, Any],
    tuned: TunedLayers | None = None,
) -> dict[str, Any]:
    """Writes a bundle in place of whatever is at `out`, whole or not at all; returns its manifest.

    `facts` join the manifest (`data_hash`, `language_model` and the like); `tuned` are the layers that embedded the
    catalogue, and will embed what comes to it.
    """

    def fill(part: Path) -> None:
        _save_catalogue(part / "catalogue", catalogue)
        for name, ranker in rankers.items():
            (part / name).mkdir()
            ranker.save(part / name)
        if tuned is not None:
            tuned.save(part / TUNED_LAYERS)

    return write_bundle(out, fill, {**facts, "rankers": sorted(rankers), "config": config.model_dump(mode="json")})


def write_bundle(out: Path, fill: Callable[[Path], None], facts: Mapping[str, Any]) -> dict[str, Any]:
    """Lets `fill` write a bundle's files into an empty folder, which takes the place of `out` with its manifest."""
    part = out.with_name(f".{out.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    fill(part)
    manifest = {
        "format": FORMAT,
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "code_version": liverank.__version__,
        **facts,
        "files": {path.relative_to(part).as_posix(): file_hash(path) for path in _files(part)},
    }
    (part / MANIFEST).write_text(json.dumps(manifest, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    shutil.rmtree(out, ignore_errors=True)
    os.replace(part, out)
    return manifest


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def file_hash(path: Path) -> str:
    """sha256 of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _save_catalogue(folder: Path, catalogue: Catalogue) -> None:
    data = {"train_events": catalogue.train_events}
    if catalogue.embeddings is not None:
        data["embeddings"] = catalogue.embeddings  # type: ignore[assignment]
    names = {field: list(getattr(catalogue, field)) for field in ("item_ids", "titles", "categories", "texts")}
    arrays.write(folder, data, names)


# Reading.


def load_bundle(path: Path) -> Bundle:
    """Verifies every hash of the bundle at `path`, then loads its rankers.

    Raises:
        BundleError: the bundle is missing, truncated, altered or of an unknown format.
    """
    manifest = verify(path)
    try:
        catalogue = _load_catalogue(path / "catalogue")
        config = manifest["config"]
        tuned = TunedLayers.load(path / TUNED_LAYERS) if TUNED_LAYERS in manifest["files"] else None
        encoder = LanguageModel(config["language_model"], config["max_tokens"], tuned=tuned)
        rankers = _load_rankers(path, manifest["rankers"], catalogue, encoder)
    except (IndexError, KeyError, RuntimeError, TypeError, ValueError) as problem:
        raise BundleError(
            f"The bundle {path} does not hold what its format asks for: {problem!r}.", _AGAIN
        ) from problem
    return Bundle(catalogue, rankers, encoder, manifest)


def verify(path: Path) -> dict[str, Any]:
    """The manifest of a bundle, after every file it lists was found with the hash it lists.

    Raises:
        BundleError: a file is missing, altered or not listed, or the format is unknown.
    """
    manifest = _manifest(path)
    for name, expected in manifest["files"].items():
        file = path / name
        if not file.is_file():
            raise BundleError(f"The bundle {path} lacks {name}.", _AGAIN)
        if file_hash(file) != expected:
            raise BundleError(f"{name} in the bundle {path} was altered or truncated: its hash differs.", _AGAIN)
    listed = {*manifest["files"], MANIFEST}
    extra = [name for file in _files(path) if (name := file.relative_to(path).as_posix()) not in listed]
    if extra:
        raise BundleError(f"The bundle {path} holds {extra[0]}, which its manifest does not list.", _AGAIN)
    return manifest


def _manifest(path: Path) -> dict[str, Any]:
    try:
        manifest: dict[str, Any] = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BundleError(f"There is no model bundle at {path}: no {MANIFEST}.", _AGAIN) from None
    except (OSError, ValueError) as problem:
        raise BundleError(f"{path / MANIFEST} cannot be read: {problem}.", _AGAIN) from problem
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        found = manifest.get("format") if isinstance(manifest, dict) else None
        hint = "Use the liverank version that wrote it, or train a new one."
        raise BundleError(f"The bundle {path} has format {found!r}; this version reads {FORMAT}.", hint)
    if not isinstance(manifest.get("files"), dict) or not all(_inside(name) for name in manifest["files"]):
        raise BundleError(f"The manifest of the bundle {path} lists no files, or files outside it.", _AGAIN)
    return manifest


def _inside(name: str) -> bool:
    return not name.startswith("/") and ".." not in name.split("/")


def _load_catalogue(folder: Path) -> Catalogue:
    data, names = arrays.read(folder)
    lists = {field: tuple(names[field]) for field in ("item_ids", "titles", "categories", "texts")}
    return Catalogue(**lists, train_events=data["train_events"].astype(np.int64), embeddings=data.get("embeddings"))


def load_feature_ranker(path: Path) -> FeatureRanker | None:
    """The feature ranker of the bundle at `path`, alone and so without any language model; None where it has none.

    Raises:
        BundleError: as `load_bundle`.
    """
    from liverank.ranking.feature_ranker import FeatureRanker

    manifest = verify(path)
    if "features" not in manifest["rankers"]:
        return None
    try:
        return FeatureRanker.load(path / "features", _load_catalogue(path / "catalogue"))
    except (IndexError, KeyError, TypeError, ValueError) as problem:
        raise BundleError(
            f"The bundle {path} does not hold what its format asks for: {problem!r}.", _AGAIN
        ) from problem


def _load_rankers(path: Path, names: Sequence[str], catalogue: Catalogue, encoder: LanguageModel) -> Rankers:
    from liverank.ranking.blend import BlendRanker
    from liverank.ranking.zero_shot import ZeroShotRanker

    rankers: Rankers = {
        "count": CountRanker.load(path / "count", catalogue),
        "popularity": PopularityRanker.load(path / "popularity", catalogue),
        "zero-shot": ZeroShotRanker.load(path / "zero-shot", catalogue, encoder),
    }
    if "linear" in names:
        from liverank.ranking.linear import LinearRanker

        rankers["linear"] = LinearRanker.load(path / "linear", catalogue)
    if "interest" in names:
        from liverank.ranking.interest import InterestRanker

        rankers["interest"] = InterestRanker.load(path / "interest", catalogue, encoder)
    if "features" in names:
        from liverank.ranking.feature_ranker import FeatureRanker

        rankers["features"] = FeatureRanker.load(path / "features", catalogue)
    rankers["blend"] = BlendRanker.load(path / "blend", rankers)
    if "cascade" in names:
        from liverank.ranking.lm.cascade import CascadeRanker
        from liverank.ranking.lm.ranker import LmRanker

        rankers["lm"] = LmRanker.load(path / "lm", catalogue)
        rankers["cascade"] = CascadeRanker.load(path / "cascade", rankers)
    return rankers
