"""The entry module of every training: `python -m liverank.ranking.launch`, alone, under torchrun or in a TrainJob.

One process does all of `fit`. Of several the first does it, and the others help to train the interest model; they need
the same features and the same checkpoint folder.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from liverank import progress
from liverank.config import TrainingConfig, training_section
from liverank.environment import silence_telemetry
from liverank.errors import ConfigError, LiverankError, TrainingError

if TYPE_CHECKING:
    from liverank.ranking.fit import FitSummary
    from liverank.ranking.ranks import Ranks

INTERRUPTED, ENDED = 130, 143


def run(
    features: Path, out: Path, config: TrainingConfig, checkpoints: Path, ranks: Ranks | None = None
) -> FitSummary | None:
    """This process's part of a training; the summary in the first process, None in the others.

    Args:
        features: the features folder.
        out: where the bundle goes.
        config: settings of every ranker.
        checkpoints: folder of embeddings and training states, the same for all processes.
        ranks: the processes; None for what torchrun says in the environment.

    Raises:
        LiverankError: as `fit`.
    """
    from liverank.ranking.fit import fit, help_fit
    from liverank.ranking.ranks import Ranks
    from liverank.ranking.speed import pick_device

    ranks = ranks or Ranks.from_environment()
    if ranks.world > 1:
        ranks.join(pick_device(config.device, ranks.local))
    if ranks.first:
        return fit(features, out, config, checkpoints, ranks)
    with progress.silenced():
        help_fit(features, config, checkpoints, ranks)
    return None


def read_config(given: str) -> TrainingConfig:
    """The section `training` of the configuration: a JSON or YAML file of it, or the JSON itself.

    Raises:
        ConfigError: it cannot be read, or holds a key or value that has no meaning.
    """
    try:
        text = given if given.lstrip().startswith("{") else Path(given).read_text(encoding="utf-8")
        values = yaml.safe_load(text)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as problem:
        raise ConfigError(
            f"--config cannot be read: {' '.join(str(problem).split())}.",
            "Give a JSON or YAML file of the section `training`, or its JSON.",
        ) from problem
    return training_section(values or {})


def write_answer(path: Path, answer: dict[str, Any]) -> None:
    """Leaves word for whoever started this; the first word counts."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("x", encoding="utf-8") as file:
            json.dump(answer, file, ensure_ascii=False)
    except FileExistsError:
        return


def read_answer(path: Path, how: str) -> FitSummary:
    """What a training that was started left in `path`; `how` says how it ended, where it left nothing.

    Raises:
        TrainingError: it failed; says why.
    """
    from liverank.ranking.fit import FitSummary

    try:
        answer = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        answer = {}
    if "summary" in answer:
        return FitSummary(**answer["summary"])
    if "error" in answer:
        raise TrainingError(answer["error"], answer.get("hint", ""))
    raise TrainingError(f"The training {how}.", "Its log is above; started again it goes on from its last checkpoint.")


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code: 2 for what a user can mend, said in one line."""
    options = _options(arguments)
    silence_telemetry()
    if options.end_with_parent:
        _end_with_parent()
    rank = os.environ.get("RANK") or "0"
    try:
        summary = run(options.features, options.out, read_config(options.config), options.checkpoints)
    except LiverankError as problem:
        who = f"process {rank}: " if rank != "0" else ""
        print(f"Error: {who}{problem}", file=sys.stderr, flush=True)  # noqa: T201
        if options.answer:
            write_answer(options.answer, {"error": problem.message, "hint": problem.hint})
        return problem.exit_code
    except KeyboardInterrupt:
        print("Interrupted; started again it goes on from its last checkpoint.", file=sys.stderr)  # noqa: T201
        return INTERRUPTED
    if options.answer and summary:
        write_answer(options.answer, {"summary": asdict(summary)})
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m liverank.ranking.launch", description=__doc__)
    parser.add_argument("--features", type=Path, required=True, help="the features folder")
    parser.add_argument("--out", type=Path, required=True, help="where the bundle goes")
    parser.add_argument("--checkpoints", type=Path, required=True, help="embeddings and training states, shared by all")
    parser.add_argument("--config", default="{}", help="section `training`: a JSON or YAML file, or its JSON")
    parser.add_argument("--answer", type=Path, help="file for the summary, or for the error")
    parser.add_argument("--end-with-parent", action="store_true", help="end when standard input is closed")
    return parser.parse_args(arguments)


def _end_with_parent() -> None:
    """Ends this process when whoever started it is gone, kill -9 included: its end of standard input closes then."""

    def watch() -> None:
        while os.read(0, 1024):
            pass
        os._exit(ENDED)

    threading.Thread(target=watch, daemon=True).start()


if __name__ == "__main__":
    sys.exit(main())
