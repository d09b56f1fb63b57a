"""What a command is told of one source: its options first, then what the configuration says of that source."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from liverank.config.data import DataConfig, SourceConfig

FormatOption = Annotated[
    str, typer.Option("--format", help="How to read it (default: as configured, or told by its content).")
]
EncodingOption = Annotated[
    str, typer.Option(help="Encoding of CSV and JSON lines, e.g. cp1252, utf-16, gb18030 (default: UTF-8).")
]
TimezoneOption = Annotated[str, typer.Option(help="Zone of timestamps that carry none, e.g. Europe/Paris.")]


def told_source(path: str, known: DataConfig, options: Mapping[str, str]) -> SourceConfig:
    """The source at `path`: the options that are not empty win over the keys of the configuration.

    The configuration's keys count where it names no source, or this one, or one that this lies in.

    Raises:
        ConfigError: an option has no meaning.
    """
    from pydantic import ValidationError

    from liverank.config.data import SourceConfig
    from liverank.errors import ConfigError

    given = {name: value for name, value in options.items() if value}
    keys = {**_configured(path, known), "source": path, **given}
    try:
        return SourceConfig.model_validate(keys)
    except ValidationError as problem:
        error = problem.errors()[0]
        raise ConfigError(f"--{error['loc'][0]}: {error['msg']}.") from None


def _configured(path: str, known: DataConfig) -> dict[str, object]:
    from liverank.config.data import SourceConfig

    sources = [{name: getattr(one, name) for name in SourceConfig.model_fields} for one in (*known.sources, known)]
    fitting = [keys for keys in sources if keys["source"] and _within(path, str(keys["source"]))]
    # Of a folder and a file in it, both configured, the file says more.
    nearest = max(fitting, key=lambda keys: len(str(keys["source"])), default={})
    return nearest or (sources[-1] if not known.source else {})


def _within(path: str, source: str) -> bool:
    return f"{_full(path)}/".startswith(f"{_full(source)}/")


def _full(path: str) -> str:
    return path.rstrip("/") if "://" in path else str(Path(path).resolve())
