"""Puts the best settings into a configuration file and leaves the rest of it as it is."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml as plain_yaml

from liverank.config import Config, load_config
from liverank.errors import ConfigError


def write_settings(path: Path, settings: Mapping[str, Any]) -> None:
    """Sets keys of section `training` in the file, made if need be; comments and all other keys stay.

    Args:
        path: the configuration file.
        settings: dotted key of section `training` -> value.

    Raises:
        ConfigError: the file is no valid configuration, or cannot be written.
    """
    check_file(path)
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    after = _edited(before, settings)
    Config.model_validate(plain_yaml.safe_load(after))
    draft = _draft(path, after)
    try:
        draft.replace(path)
    except OSError as problem:
        draft.unlink(missing_ok=True)
        raise _unwritable(path, problem) from problem


def check_file(path: Path) -> None:
    """Makes sure that `write_settings` will be able to write: hours of search come before it.

    Raises:
        ConfigError: the file is no valid configuration, or cannot be written.
    """
    if path.exists():
        load_config(path)
    _draft(path, "").unlink()


def _draft(path: Path, text: str) -> Path:
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.write_text(text, encoding="utf-8")
    except OSError as problem:
        raise _unwritable(path, problem) from problem
    return draft


def _unwritable(path: Path, problem: OSError) -> ConfigError:
    return ConfigError(f"{path} cannot be written: {problem.strerror}.", "Name another file.")


def _edited(before: str, settings: Mapping[str, Any]) -> str:
    from ruamel.yaml import YAML
    from ruamel.yaml.comments import CommentedMap

    editor = YAML()
    editor.preserve_quotes = True
    editor.width = 4096
    document = editor.load(before)
    empty = document is None
    document = CommentedMap() if empty else document
    for key, value in settings.items():
        place = document
        *sections, name = ("training", *key.split("."))
        for section in sections:
            if place.get(section) is None:
                place[section] = CommentedMap()
            place = place[section]
        place[name] = value
    out = io.StringIO()
    editor.dump(document, out)
    # A file of comments only is no document, and what it says shall stay.
    return (before.rstrip("\n") + "\n" if empty and before.strip() else "") + out.getvalue()
