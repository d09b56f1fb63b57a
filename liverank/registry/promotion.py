"""The one door through which the alias `champion` moves."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from liverank.config.registry import RegistryConfig
from liverank.errors import RegistryError
from liverank.registry.connection import connected, locked
from liverank.registry.versions import CHAMPION, PREVIOUS, VersionInfo, find, lookup


def promote(
    config: RegistryConfig, version: str, reason: str, now: datetime | None = None, replaces: str | None = None
) -> VersionInfo:
    """Makes `version` the champion; the champion before it gets the alias `previous`.

    Promoting the champion itself changes nothing. A rollback is `promote(config, "previous", reason)`.

    Args:
        config: the registry.
        version: number or alias.
        reason: why, for whoever asks later; kept as a tag of the version, with the time.
        now: the time of the promotion; None for the present.
        replaces: bundle hash that the champion must have (empty: there must be none); None for any. It ties a
            verdict to the champion that it was given against.

    Raises:
        RegistryError: no reason, no such version, another champion than `replaces` says, or no answer.
    """
    if not reason.strip():
        raise RegistryError("A promotion needs a reason.", "Say why with --reason TEXT.")
    with connected(config) as client, locked(config):
        found = find(client, config, version)
        current = lookup(client, config, CHAMPION)
        if current is not None and current.version == found.version:
            return found
        if replaces is not None and (current.bundle_hash if current else "") != replaces:
            raise RegistryError(
                f"The champion has changed since version {found.version} was judged against it.",
                "Run the evaluation again.",
            )
        _move(client, config, found, current, reason.strip(), now or datetime.now(UTC))
        return find(client, config, found.version)


def _move(
    client: Any, config: RegistryConfig, found: VersionInfo, current: VersionInfo | None, reason: str, now: datetime
) -> None:
    """The champion moves last, in one transaction of MLflow's: interrupted before it, the old one stays."""
    name = config.model_name
    tags = {"promotion_reason": reason, "promoted_at": now.astimezone(UTC).isoformat(timespec="seconds")}
    tags["replaced_version"] = current.version if current else ""
    for key, value in tags.items():
        client.set_model_version_tag(name, found.version, key, value)
    if current is not None:
        client.set_registered_model_alias(name, PREVIOUS, current.version)
    client.set_registered_model_alias(name, CHAMPION, found.version)
