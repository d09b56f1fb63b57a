"""The portrait of a dataset folder or of a source, as figures and as a page."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from liverank.config.data import DataConfig
from liverank.data.dataset import SOURCE_FILE, read_source
from liverank.data.profile import behaviour, exposure, scripts, size, span, supply, tongues, volume
from liverank.data.profile.engine import MEMORY_LIMIT, opened
from liverank.data.profile.findings import findings
from liverank.progress import stage


def profile(folder: Path, memory_limit: str = MEMORY_LIMIT) -> dict[str, Any]:
    """All figures of a dataset folder, as JSON values; user ids and texts are not among them.

    Raises:
        DataError: `folder` is no dataset folder.
    """
    facts = read_source(folder)
    with stage("profile"), opened(folder, memory_limit) as engine:
        span.load_hours(engine)
        bucket = volume.bucket_of(engine)
        figures: dict[str, Any] = {
            "source": {name: facts.get(name) for name in ("source", "format", "synthetic", "hash", "notes")},
            "tables": size.tables(engine),
            "sources": size.sources(engine),
            "refused": size.reasons(engine),
            "volume": volume.over_time(engine, bucket),
            "week": volume.week(engine),
            "late": volume.lateness(engine),
        }
        behaviour.load_events(engine)
        figures |= {
            "types": volume.types(engine),
            "unseen": volume.unseen(engine, bucket),
            "users": behaviour.users(engine),
            "sessions": behaviour.sessions(engine),
            "baskets": behaviour.baskets(engine),
            "repeats": behaviour.repeats(engine),
            "bots": behaviour.bots(engine),
            "items": supply.items(engine),
            "categories": supply.categories(engine),
            "texts": {**supply.lengths(engine), **scripts.scripts(engine), **tongues.tongues(engine)},
        }
        for table in ("events", "busy", "people", "sessions"):
            engine.run(f"DROP TABLE {table}")
        figures["exposure"] = exposure.exposure(engine)
    return {**figures, "findings": findings(figures)}


def write_page(figures: dict[str, Any], out: Path, now: datetime) -> None:
    """Writes the page of a profile made at `now`; half a page is never seen under its name."""
    from liverank.data.profile.page import page

    part = out.with_name(out.name + ".part")
    part.write_text(page(figures, now), encoding="utf-8")
    part.replace(out)


@contextmanager
def as_folder(config: DataConfig) -> Iterator[Path]:
    """A dataset folder of the sources: the only one where it is such, else a temporary one that ingest fills.

    Raises:
        DataError: the source cannot be read.
    """
    path = Path(config.source)
    if config.source and not (config.sources or config.live_store) and (path / SOURCE_FILE).is_file():
        yield path
        return
    from liverank.data.ingest import ingest

    with tempfile.TemporaryDirectory(prefix="liverank-report-") as folder:
        ingest(config, Path(folder) / "dataset")
        yield Path(folder) / "dataset"
