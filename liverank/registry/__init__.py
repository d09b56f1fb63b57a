"""The MLflow registry: versions, lineage, aliases. MLflow itself is imported at the first call, not here."""

from __future__ import annotations

from liverank.registry.card import Lineage
from liverank.registry.promotion import promote
from liverank.registry.registering import RegisteredVersion, register
from liverank.registry.versions import VersionInfo, champion, champion_bundle, download, physical_uri, resolve, versions

__all__ = [
    "Lineage",
    "RegisteredVersion",
    "VersionInfo",
    "champion",
    "champion_bundle",
    "download",
    "physical_uri",
    "promote",
    "register",
    "resolve",
    "versions",
]
