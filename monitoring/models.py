"""The served model as monitoring sees it: its catalogue, its training reference and its age."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Protocol, cast

import pyarrow as pa
import pyarrow.parquet as pq

from liverank.config import RegistryConfig
from liverank.errors import DataError
from liverank.evaluation.request_table import SCHEMA, CatalogueView
from liverank.ranking.feature_ranker import FeatureRanker
from monitoring.text_drift import Embedded


class ModelCatalogue(CatalogueView, Embedded, Protocol):
    """The items of a model with popularity and text embeddings."""


@dataclass(frozen=True)
class ServedModel:
    """What monitoring needs of one model version."""

    catalogue: ModelCatalogue
    reference: pa.Table | None
    """The request table of its test requests; None where the version carries none."""
    created_at: datetime | None
    features: FeatureRanker | None = None
    """What it knows of candidates; None for a model without such features."""


class Models(Protocol):
    """Model versions by the name that impressions carry."""

    def served(self, version: str) -> ServedModel:
        """The model of that version.

        Raises:
            LiverankError: the version is unknown or its files cannot be read.
        """
        ...


@dataclass(frozen=True)
class RegistryModels:
    """Models of the configured registry."""

    config: RegistryConfig

    def served(self, version: str) -> ServedModel:
        """Downloads the version once and keeps it for the next window."""
        return _from_registry(self.config, version)


@lru_cache(maxsize=2)
def _from_registry(config: RegistryConfig, version: str) -> ServedModel:
    from liverank import registry

    bundle = registry.download(config, version)
    return load_served(bundle, bundle.parent / "evaluation" / "reference.parquet")


def load_served(bundle: Path, reference: Path) -> ServedModel:
    """The model in a bundle folder with its reference table, if that file is there.

    Raises:
        BundleError: the bundle is damaged.
        DataError: the reference is damaged or of another version of the library.
    """
    from liverank.ranking.bundle_files import load_bundle

    loaded = load_bundle(bundle)
    table = read_table(reference) if reference.is_file() else None
    features = cast(FeatureRanker | None, loaded.rankers.get("features"))
    return ServedModel(loaded.catalogue, table, _instant(loaded.manifest.get("created_at")), features)


def _instant(text: str | None) -> datetime | None:
    if not text:
        return None
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def read_table(path: Path) -> pa.Table:
    """A request table from Parquet, in the columns of its schema.

    Raises:
        DataError: unreadable, or columns are missing.
    """
    try:
        return pq.read_table(path).select(SCHEMA.names).cast(SCHEMA)
    except (OSError, KeyError, pa.ArrowException) as problem:
        raise DataError(
            f"The request table {path} cannot be read: {problem}.", "Evaluate and register the model again."
        ) from problem
