"""From the command's options to an exit code: the workspace, the configuration, the story and its summary."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

from liverank.cli.demo.flow import Demo
from liverank.cli.demo.story import Story
from liverank.cli.demo.worlds import Setting, replayed, synthetic
from liverank.config import Config, load_config
from liverank.errors import ConfigError

MARK = "demo.yaml"
"""The configuration of a demo; a folder that holds it is a demo's and may be removed by the next one."""


def tell(data: str, workspace: str, settings: dict[str, Any]) -> int:
    """Runs the demo and returns its exit code: 0 only if every stage did what it says.

    Raises:
        LiverankError: something the user can mend kept a stage from doing its work.
    """
    folder = _fresh(Path(workspace).resolve())
    story = Story(Console())
    with story.chapter("Events"):
        setting = replayed(data, folder / "data", story) if data else synthetic(folder / "data", story)
    file = folder / MARK
    file.write_text(yaml.safe_dump(_values(folder, setting)), encoding="utf-8")
    config = load_config(file, settings).resolved()
    file.write_text(yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False), encoding="utf-8")
    Demo(story, config, file, setting).tell()
    _summary(story, config, file)
    return 1 if story.broken else 0


def _fresh(folder: Path) -> Path:
    if folder.exists() and any(folder.iterdir()):
        if not (folder / MARK).exists():
            raise ConfigError(f"{folder} is not empty and not an earlier demo's.", "Name another --workspace.")
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARK).touch()
    return folder


def _values(folder: Path, setting: Setting) -> dict[str, Any]:
    """The defaults, but for windows that fit minutes instead of days, and short trainings."""
    return {
        "workspace": str(folder),
        "data": {"source": str(setting.source)},
        "features": {"max_requests": setting.judged, "max_train_requests": 1000},
        "training": {"interest": {"epochs": 3, "dimension": 64, "layers": 1}, "refit": {"epochs": 1}},
        "monitoring": {"window_impressions": setting.window, "attribution_seconds": 0},
    }


def _found(command: str) -> str:
    """The command as it can be typed here: with its folder where that is not on the path."""
    program, _, rest = command.partition(" ")
    beside = Path(sys.executable).parent / program
    return command if shutil.which(program) or not beside.exists() else f"{beside} {rest}"


def _summary(story: Story, config: Config, file: Path) -> None:
    folder = config.workspace_path
    story.console.rule("[bold]Where to look", align="left")
    for kind, pattern in (
        ("validation and evaluation reports", "runs/*/*.html"),
        ("monitoring reports", "reports/*.html"),
        ("decision records", "decisions/*.json"),
    ):
        story.say(f"{kind}:")
        for path in sorted(folder.glob(pattern)):
            story.say(f"  {path}")
    commands = {
        "MLflow": f"mlflow ui --backend-store-uri {config.tracking_uri}",
        "Evidently": f"evidently ui --workspace {folder / 'evidently'}",
        "Serve": f"liverank serve --playground --config {file}",
        "Decisions": f"liverank decisions --config {file}",
    }
    for name, command in commands.items():
        story.say(f"{name + ':':12}{_found(command)}")
    for title, seconds in story.chapters:
        story.say(f"{seconds:7.1f} s  {title}")
    if story.broken:
        story.console.print(f"[red]{len(story.broken)} of the claims did not hold:[/red]")
        for claim in story.broken:
            story.say(f"✘ {claim}")
    else:
        story.console.print("[green]Every stage did what it says.[/green]")
