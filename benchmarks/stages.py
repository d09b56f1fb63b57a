"""The stages of the pipeline as the benchmark calls them: one library function each, arguments and result as JSON."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from liverank.config import Config, load_config


def generate(folder: str, users: int, items: int, impressions_per_user: float) -> dict[str, Any]:
    """Synthetic events of the wanted number, as `liverank data generate` writes them."""
    from liverank.data.synthetic import generate
    from liverank.data.tastes import SyntheticSettings

    settings = SyntheticSettings(users=users, items=items, impressions_per_user=impressions_per_user)
    return dict(generate(settings, Path(folder)))


def ingest(source: str, folder: str) -> dict[str, Any]:
    """The source as a dataset folder."""
    from liverank.config import DataConfig
    from liverank.data.ingest import ingest

    return dict(ingest(DataConfig(source=source), Path(folder)).rows)


def validate(dataset: str, folder: str) -> dict[str, Any]:
    """The accepted rows."""
    from liverank.validation.run import validate

    config, out = Config(), Path(folder)
    out.mkdir(parents=True)
    now = datetime.now(UTC)
    result = validate(
        Path(dataset), config.validation, config.data, out / "accepted", out / "quarantine", out / "report.html", now
    )
    return {"ok": result.ok}


def features(
    dataset: str, folder: str, cache: str = "", engine: str = "duckdb", candidates: bool = False
) -> dict[str, Any]:
    """The features folder, with those of past days kept in `cache` where that is given, and those of candidates."""
    from liverank.features.build import build_features

    master = {"features.spark_master": "local[2]"} if engine == "spark" else {}
    config = load_config(overrides={"features.engine": engine, "training.feature_ranker": candidates, **master})
    kept = Path(cache) if cache else None
    build_features(Path(dataset), Path(folder), config.features, config.data, config.training, kept)
    return {}


def bundle(features: str, folder: str, checkpoints: str, overrides: dict[str, Any]) -> None:
    """A bundle trained with the default configuration but for some settings."""
    from liverank.ranking.fit import fit

    fit(Path(features), Path(folder), load_config(overrides=overrides).training, Path(checkpoints))


def without_last_day(dataset: str, folder: str) -> dict[str, Any]:
    """The dataset folder without the events and lists of its last UTC day."""
    import shutil

    import duckdb

    out = Path(folder)
    out.mkdir(parents=True)
    for path in Path(dataset).iterdir():
        if path.stem not in ("interactions", "impressions") and path.is_file():
            shutil.copy(path, out)
    with duckdb.connect(config={"temp_directory": str(out / ".spill")}) as connection:
        connection.execute("SET TimeZone = 'UTC'; SET memory_limit = '3GB'")
        for name in ("interactions", "impressions"):
            read = f"read_parquet('{Path(dataset) / name}.parquet')"
            last = f"(SELECT date_trunc('day', max(timestamp)) FROM {read})"
            connection.execute(
                f"COPY (FROM {read} WHERE timestamp < {last}) TO '{out / name}.parquet' (FORMAT parquet)"
            )
    return {}


def profile(dataset: str) -> dict[str, Any]:
    """What `liverank data report` draws."""
    from liverank.data.profile.run import profile

    return {"events": profile(Path(dataset))["tables"]["interactions"]["rows"]}


def cooccurrence(features: str) -> dict[str, Any]:
    """The count model's transitions, from a features folder's training events to the strongest of each item."""
    from liverank.config.training import CountConfig
    from liverank.ranking.data import load_catalogue, load_events
    from liverank.ranking.transitions import decayed_popularity, strongest_transitions

    catalogue = load_catalogue(Path(features))
    events = load_events(Path(features), catalogue)
    config, now = CountConfig(), float(events.timestamp.max(initial=0))
    popularity = decayed_popularity(events, len(catalogue), config.half_life_days, now)
    counts = strongest_transitions(events, len(catalogue), config, now, popularity)
    return {"events": len(events), "items": len(catalogue), "transitions": int(counts.nnz)}


def train(features: str, folder: str, checkpoints: str, candidates: bool = False) -> dict[str, Any]:
    """The bundle, with the ranker by features of candidates where that is wanted."""
    from liverank.ranking.fit import fit

    config = load_config(overrides={"training.feature_ranker": candidates})
    fit(Path(features), Path(folder), config.training, Path(checkpoints))
    return {}


def evaluate(features: str, bundle: str, folder: str, champion: str = "") -> dict[str, Any]:
    """The evaluation folder; beside another bundle where one is given."""
    from liverank.evaluation.run import evaluate

    other = Path(champion) if champion else None
    result = evaluate(Path(features), Path(bundle), Path(folder), Config().evaluation, other)
    return {"promote": result.promote, **result.metrics}


def prequential(dataset: str, checkpoints: str) -> dict[str, Any]:
    """Every basket from the cut on, scored before it is learned from."""
    from liverank.ranking.prequential import run

    config, cut = Config(), datetime(2011, 11, 10, tzinfo=UTC)
    walk = run(Path(dataset), Path(checkpoints), config.training, config.data, cut)
    return {"rows": walk.rows(), "walk_seconds": walk.seconds}


def register(bundle: str, evaluation: str, accepted: str, workspace: str) -> dict[str, Any]:
    """The version in a fresh registry, which becomes its champion when the gate says so."""
    from liverank.registry import Lineage, register

    lineage = Lineage(data_hash="benchmark", code_version="benchmark", pipeline_run_id="benchmark")
    config = Config(workspace=workspace).resolved().registry
    registered = register(Path(bundle), Path(evaluation), Path(accepted) / "result.json", config, lineage=lineage)
    return {"version": registered.version, "promoted": registered.promoted}


def quality_data(name: str, data: str, folder: str) -> dict[str, Any]:
    """A public data set as a dataset folder."""
    from benchmarks.quality.sources import prepare

    Path(folder).mkdir(parents=True, exist_ok=True)
    prepare(name, Path(data), Path(folder))
    return {}


def protocol(dataset: str, folder: str, settings: dict[str, Any], overrides: dict[str, Any]) -> dict[str, Any]:
    """A protocol run, as `liverank evaluate --data` makes it."""
    from liverank.evaluation.protocols.run import run_protocol
    from liverank.evaluation.protocols.settings import protocol_settings

    config = load_config(overrides=overrides)
    return run_protocol(Path(dataset), Path(folder), protocol_settings(settings), config).to_json()


def sampled_candidates(
    dataset: str, folder: str, candidates: int, overrides: dict[str, Any], seeds: int = 0
) -> dict[str, Any]:
    """Rankers on the truth and randomly drawn candidates: untrained, and trained with so many seeds."""
    from liverank.evaluation.protocols.run import run_sampled

    return run_sampled(Path(dataset), Path(folder), candidates, load_config(overrides=overrides), seeds).to_json()
