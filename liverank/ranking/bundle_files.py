"""A trained model on disk: safetensors and JSON under a manifest of hashes, checked before anything is read."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import liverank
from liverank.config.training import TrainingConfig
from liverank.errors import BundleError
from liverank.ranking import arrays
from liverank.ranking.baselines import PopularityRanker
from liverank.ranking.bundle import Bundle, Rankers
from liverank.ranking.count import CountRanker
from liverank.ranking.data import Catalogue
from liverank.ranking.protocol import Ranker
from liverank.text import LanguageModel
from liverank.text_layers import TunedLayers

if TYPE_CHECKING:
    from liverank.ranking.feature_ranker import FeatureRanker

FORMAT = 2
MANIFEST = "manifest.json"
TUNED_LAYERS = "language-model/layers.safetensors"
"""In bundles whose language model was tuned: what changed of it."""
_AGAIN = "Fetch the bundle again, or train a new one."


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
        BundleError: the bundle is missing, truncated, altered, of an unknown format or replaced meanwhile.
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
    if _manifest(path) != manifest:
        raise BundleError(f"The bundle {path} was replaced while it was loaded.", "Load it again.")
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
