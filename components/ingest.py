"""Ingest: the source and the live store's log, as one dataset in the data contract."""

from typing import Any

from kfp.dsl import Dataset, Output

from components.component import component


@component
def ingest(data: dict[str, Any], workspace: str, snapshot: str, code: str, dataset: Output[Dataset]) -> None:
    """Reads the sources and writes items, users, impressions and interactions.

    Args:
        data: Section `data` of the configuration.
        workspace: Folder where what was read from a stream stays, so that it is read once.
        snapshot: Fingerprint of what the sources hold; only a new one makes this step run again.
        code: Version of the library, for the same reason.
        dataset: The dataset folder, with its row counts, hash and origin.
    """
    import json
    from pathlib import Path

    from liverank.config import DataConfig
    from liverank.data.ingest import ingest

    ingest(DataConfig.model_validate(data), Path(dataset.path), Path(workspace))
    source = json.loads((Path(dataset.path) / "source.json").read_text(encoding="utf-8"))
    dataset.metadata.update({key: source[key] for key in ("rows", "hash", "format", "synthetic")}, snapshot=snapshot)
