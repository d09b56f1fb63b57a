"""What the registry holds: versions found by alias or number, and their bundles on this machine."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

from liverank.config.registry import RegistryConfig
from liverank.errors import RegistryError
from liverank.registry.connection import connected

CHAMPION = "champion"
CHALLENGER = "challenger"
PREVIOUS = "previous"
BUNDLE_IN_MODEL = "artifacts/bundle"
"""Where a version's model folder has the bundle."""


@dataclass(frozen=True)
class VersionInfo:
    """A registered version."""

    version: str
    model_name: str
    uri: str
    """`models:/<name>/<version>`."""
    run_id: str
    created_at: str
    """ISO 8601, UTC."""
    aliases: tuple[str, ...]
    tags: dict[str, str] = field(repr=False)

    @property
    def bundle_hash(self) -> str:
        """Identity of its bundle."""
        return self.tags.get("bundle_hash", "")

    @property
    def reason(self) -> str:
        """Why it was last promoted; empty if it never was."""
        return self.tags.get("promotion_reason", "")


def resolve(config: RegistryConfig, alias_or_version: str) -> VersionInfo:
    """The version with a number (`"3"`) or an alias (`"champion"`).

    Raises:
        RegistryError: the registry does not answer or has no such version.
    """
    with connected(config) as client:
        return find(client, config, alias_or_version)


def find(client: Any, config: RegistryConfig, alias_or_version: str) -> VersionInfo:
    """`resolve` on an open client."""
    found = lookup(client, config, alias_or_version)
    if found is None:
        kind = "version" if alias_or_version.isdigit() else "alias"
        raise RegistryError(
            f"The registry has no {kind} '{alias_or_version}' of model '{config.model_name}'.", _known(client, config)
        )
    return found


def lookup(client: Any, config: RegistryConfig, alias_or_version: str) -> VersionInfo | None:
    """`find`, with None for what does not exist."""
    from mlflow.exceptions import MlflowException

    aliases = _aliases(client, config.model_name)
    number = alias_or_version if alias_or_version.isdigit() else aliases.get(alias_or_version)
    if number is None:
        return None
    try:
        return info(client.get_model_version(config.model_name, number), aliases)
    except MlflowException as problem:
        if problem.error_code == "RESOURCE_DOES_NOT_EXIST":
            return None
        raise


def champion(config: RegistryConfig) -> VersionInfo | None:
    """The version that serves; None before the first promotion."""
    with connected(config) as client:
        return lookup(client, config, CHAMPION)


def versions(config: RegistryConfig) -> list[VersionInfo]:
    """Every version that the registry holds.

    Raises:
        RegistryError: the registry does not answer.
    """
    with connected(config) as client:
        aliases = _aliases(client, config.model_name)
        return [info(found, aliases) for found in _search(client, config.model_name)]


def champion_bundle(config: RegistryConfig) -> Path | None:
    """Bundle folder of the champion; None before the first promotion."""
    return download(config, CHAMPION) if champion(config) else None


def with_bundle(client: Any, config: RegistryConfig, bundle_hash: str) -> VersionInfo | None:
    """The version that carries this very bundle, if any."""
    found = _search(client, config.model_name, f" and tags.bundle_hash = '{bundle_hash}'")
    return info(found[0], _aliases(client, config.model_name)) if found else None


def download(config: RegistryConfig, alias_or_version: str) -> Path:
    """The bundle folder of a version on this machine: read it, never write to it.

    A local store's own folder is returned as it is; a remote bundle is fetched once into the cache, by its hash.

    Raises:
        RegistryError: no such version, or its files are gone.
        BundleError: what was fetched is not what was registered.
    """
    with connected(config) as client:
        found = find(client, config, alias_or_version)
        root = client.get_model_version_download_uri(config.model_name, found.version)
        local = _local(root)
        if local is None:
            return _fetch(config, found, f"{root.rstrip('/')}/{BUNDLE_IN_MODEL}")
    folder = local / BUNDLE_IN_MODEL
    if not folder.is_dir():
        raise RegistryError(
            f"Version {found.version} of '{config.model_name}' has lost its files: {folder} is not there.",
            "Restore the artifact folder, or promote another version.",
        )
    return folder


def physical_uri(config: RegistryConfig, version: str) -> str:
    """Where a version's bundle really lies (`s3://...`, `gs://...`, `file://...`), as KServe's storageUri wants it.

    Raises:
        RegistryError: no such version, or its files can only be had through the tracking server.
    """
    with connected(config) as client:
        found = find(client, config, version)
        root = client.get_model_version_download_uri(config.model_name, found.version)
    if urlparse(root).scheme in {"mlflow-artifacts", "models", "runs"}:
        raise RegistryError(
            f"Version {found.version} lies behind the tracking server ({root}), where KServe cannot fetch it.",
            "Run the server with --no-serve-artifacts --default-artifact-root s3://..., or set "
            "registry.artifact_location to storage that the cluster reads, and register again.",
        )
    local = _local(root)
    return f"{local.as_uri() if local else root.rstrip('/')}/{BUNDLE_IN_MODEL}"


def info(found: Any, aliases: dict[str, str]) -> VersionInfo:
    """MLflow's model version as ours."""
    number = str(found.version)
    return VersionInfo(
        version=number,
        model_name=found.name,
        uri=f"models:/{found.name}/{number}",
        run_id=found.run_id or "",
        created_at=datetime.fromtimestamp(found.creation_timestamp / 1000, UTC).isoformat(timespec="seconds"),
        aliases=tuple(sorted(alias for alias, at in aliases.items() if str(at) == number)),
        tags=dict(found.tags),
    )


def _search(client: Any, name: str, more: str = "") -> list[Any]:
    return list(client.search_model_versions(f"name = '{name}'{more}", order_by=["version_number DESC"]))


def _aliases(client: Any, name: str) -> dict[str, str]:
    """Alias -> version; a search, unlike a get, is no error where the model does not exist."""
    if not client.search_registered_models(f"name = '{name}'"):
        return {}
    return {alias: str(version) for alias, version in client.get_registered_model(name).aliases.items()}


def _known(client: Any, config: RegistryConfig) -> str:
    versions = [str(found.version) for found in _search(client, config.model_name)]
    if not versions:
        return "It holds none yet: 'liverank run' trains and registers one."
    aliases = [f"{alias} ({version})" for alias, version in sorted(_aliases(client, config.model_name).items())]
    return f"Versions: {', '.join(reversed(versions))}; aliases: {', '.join(aliases) or 'none'}."


def _local(uri: str) -> Path | None:
    parts = urlparse(uri)
    if parts.scheme not in {"", "file"}:
        return None
    return Path(unquote(parts.path))


def _fetch(config: RegistryConfig, found: VersionInfo, uri: str) -> Path:
    import mlflow

    from liverank.ranking.bundle_files import verify

    target = _cache(config) / (found.bundle_hash or f"{found.model_name}-{found.version}")
    if target.is_dir():
        verify(target)
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as part:
        fetched = Path(
            mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=part, tracking_uri=config.tracking_uri)
        )
        verify(fetched)
        _put(fetched, target)
    return target


def _put(fetched: Path, target: Path) -> None:
    try:
        os.replace(fetched, target)
    except OSError:
        # Another process was quicker; its copy went through the same check.
        if not target.is_dir():
            shutil.copytree(fetched, target)


def _cache(config: RegistryConfig) -> Path:
    if config.cache:
        return Path(config.cache).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "liverank" / "bundles"
