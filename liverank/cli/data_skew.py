"""`liverank data check-skew`: did serving rank with what training believes it had?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from liverank.cli.options import ConfigFile, Settings, overrides

if TYPE_CHECKING:
    from liverank.config import Config
    from liverank.features.skew import SkewReport
    from liverank.features.value_skew import Finder
    from liverank.ranking.feature_ranker import FeatureRanker


def check_skew(
    store: Annotated[str, typer.Option(help="Live store to read (default: the configured one).")] = "",
    since: Annotated[str, typer.Option(help="Check impressions from this time on, e.g. 2026-03-01.")] = "",
    most: Annotated[int, typer.Option(min=1, help="Impressions whose feature values are compared at most.")] = 2000,
    bundle: Annotated[
        Path | None, typer.Option(help="Folder of the bundle that served, where it was no version of the registry.")
    ] = None,
    out: Annotated[str, typer.Option(help="File for the report as JSON (default: skew.json in the workspace).")] = "",
    file: ConfigFile = "",
    settings: Settings = [],  # noqa: B006  typer reads it, nothing changes it
) -> None:
    """Compare what each impression was ranked with to what training makes of the log: histories and feature values.

    Every impression names its history; some carry feature values (serving.feature_log_share), of which a sample is
    compared. Ends with 1 where more than monitoring.max_skew of the compared impressions differ in either.
    """
    from liverank.config import load_config
    from liverank.errors import DataError
    from liverank.features.skew import check_skew as check
    from liverank.features.skew import impressions_since
    from liverank.features.value_skew import ValueCheck
    from liverank.instants import instant_of
    from liverank.output import output_file
    from liverank.store import open_store, store_exists

    config = load_config(file or None, overrides(settings))
    first = instant_of(since, "--since") if since else None
    place = store or config.store_place
    if not store_exists(place):
        raise DataError(f"There is no live store at {place}.", "Name it with --store, or serve first.")
    target = output_file(Path(out) if out else config.workspace_path / "skew.json")
    log = open_store(place)
    try:
        values = ValueCheck(_finder(config, bundle), config.features, most)
        report = check(log, impressions_since(log, first), config.features.history_length, values)
    finally:
        log.close()
    report.write(target)
    for line in report.lines():
        typer.echo(line)
    typer.echo(f"The whole report: {target}")
    _judge(report, config.monitoring.max_skew)


def _judge(report: SkewReport, limit: float) -> None:
    shares = {"history": report.share, "feature values": report.values.share if report.values else 0.0}
    beyond = [f"{share:.2%} in their {name}" for name, share in shares.items() if share > limit]
    if beyond:
        typer.echo(
            f"Impressions that differ: {' and '.join(beyond)}, more than {limit:.2%} (monitoring.max_skew).", err=True
        )
        raise typer.Exit(1)


def _finder(config: Config, bundle: Path | None) -> Finder:
    """Model versions of the registry, or the one in a folder, which goes by its hash as `serve --bundle` names it.

    Raises:
        BundleError: the folder holds no whole bundle.
    """
    from liverank.ranking.bundle import bundle_hash
    from liverank.ranking.bundle_files import load_feature_ranker, verify

    if bundle and (bundle / "bundle").is_dir():
        bundle = bundle / "bundle"  # a registered version holds it beside its evaluation
    given = bundle_hash(verify(bundle))[:12] if bundle else ""

    def find(version: str) -> FeatureRanker | None:
        if bundle and version == given:
            return load_feature_ranker(bundle)
        from liverank import registry

        return load_feature_ranker(registry.download(config.resolved().registry, version))

    return find
