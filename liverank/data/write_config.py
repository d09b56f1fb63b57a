"""Writes what was found out about a source into `liverank.yaml`, and leaves the rest of the file as it is."""

from __future__ import annotations

import difflib
import io
import os
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml as plain_yaml

from liverank.config import Config, load_config
from liverank.config.data import DataConfig, SourceConfig
from liverank.data.event_types import proposed_labels, proposed_weight
from liverank.errors import ConfigError

OF_THE_SOURCE: Final = ("source", "format", "name", "timezone", "encoding", "mapping", "queries")
"""Keys that say what the source is: those of another source do not stay when it is replaced."""


@dataclass(frozen=True)
class Proposal:
    """What the data section shall say."""

    values: Mapping[str, Any]

    @classmethod
    def of(cls, source: SourceConfig, types: Collection[str], known: DataConfig) -> Proposal:
        """The source's keys, and weights for types of event that the configuration does not know yet."""
        keys = source.model_dump(exclude_defaults=True)
        values: dict[str, Any] = {name: keys[name] for name in OF_THE_SOURCE if name in keys}
        new = sorted(set(types) - set(known.event_weights))
        if new:
            values["event_weights"] = {**known.event_weights, **{name: proposed_weight(name) for name in new}}
        if labels := proposed_labels(types, known.label_types):
            values["label_types"] = [*known.label_types, *labels]
        return cls(values)


def write_source(path: Path, proposal: Proposal, force: bool = False) -> str:
    """Puts the proposal into the file, made if need be, and returns what changed as a unified diff.

    Args:
        path: the configuration file.
        proposal: keys of the data section.
        force: replace what the file says otherwise.

    Raises:
        ConfigError: the file says something else already, is no valid configuration, or cannot be written.
    """
    before = _text(path)
    after = _edited(before, proposal.values, path, force)
    Config.model_validate(plain_yaml.safe_load(after))
    diff = difflib.unified_diff(before.splitlines(True), after.splitlines(True), f"{path} (before)", str(path))
    if after != before:
        _replace(path, after)
    return "".join(diff)


def _text(path: Path) -> str:
    if not path.exists():
        return ""
    load_config(path)  # says which key has no meaning
    return path.read_text(encoding="utf-8")


def _edited(before: str, values: Mapping[str, Any], path: Path, force: bool) -> str:
    from ruamel.yaml import YAML
    from ruamel.yaml.comments import CommentedMap

    editor = YAML()
    editor.preserve_quotes = True
    editor.width = 4096
    if re.search(r"^( *)[\w.-]+:[^\n]*\n\1  - ", before, re.MULTILINE):
        editor.indent(mapping=2, sequence=4, offset=2)
    document = editor.load(before)
    empty = document is None
    document = CommentedMap() if empty else document
    if document.get("data") is None:
        document["data"] = CommentedMap()
    _set(document["data"], values, path, force)
    out = io.StringIO()
    editor.dump(document, out)
    # A file of comments only is no document, and what it says shall stay.
    return (before.rstrip("\n") + "\n" if empty and before.strip() else "") + out.getvalue()


def _set(section: Any, values: Mapping[str, Any], path: Path, force: bool) -> None:
    other = bool(section.get("source")) and section["source"] != values.get("source")
    differing = [name for name in values if name in section and not _holds(section[name], values[name])]
    if differing and not force:
        told = "; ".join(f"data.{name} is {_shown(section[name])}" for name in differing)
        raise ConfigError(f"{path} says otherwise: {told}. Nothing was written.", "--force replaces it.")
    if other:
        for name in OF_THE_SOURCE:
            section.pop(name, None)
    for name, value in values.items():
        known = section.get(name)
        if isinstance(known, dict) and isinstance(value, dict):
            known.update(value)
        elif isinstance(known, list) and isinstance(value, list) and _holds(known, value):
            known.extend(entry for entry in value if entry not in known)
        elif section.get(name) != value:
            section[name] = value


def _holds(known: Any, value: Any) -> bool:
    """Whether what the file says stays true: the same value, or one to which something is only added."""
    if isinstance(known, dict) and isinstance(value, dict):
        return all(name not in known or _holds(known[name], inner) for name, inner in value.items())
    if isinstance(known, list) and isinstance(value, list):
        return all(entry in value for entry in known)
    return bool(known == value) or known in ("", None)


def _shown(value: Any) -> str:
    return str(dict(value) if isinstance(value, dict) else list(value) if isinstance(value, list) else repr(value))


def _replace(path: Path, text: str) -> None:
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.write_text(text, encoding="utf-8")
        draft.replace(path)
    except OSError as problem:
        draft.unlink(missing_ok=True)
        raise ConfigError(f"{path} cannot be written: {problem.strerror}.", "Name another file.") from problem
