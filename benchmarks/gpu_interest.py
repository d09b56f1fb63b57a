"""How fast the interest model trains on this machine: `python -m benchmarks.gpu_interest`.

Needs torch, numpy and safetensors alone (transformers brings the last), so that it runs on a machine lent for minutes.
Sequences are made up in the shape of ML-1M: 6,040 users, 3,416 items, 165 events a user, each item with 640 text
features. One line for each setting: events a second of all processes, the share of the device's matrix speed, peak
memory. With several GPUs every setting also runs on all of them, under torchrun.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass, field, fields, replace
from itertools import product
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from liverank.ranking.checkpoint import Checkpoint
from liverank.ranking.interactions import Events, Floats
from liverank.ranking.interest_training import train
from liverank.ranking.ranks import Ranks

DAY = 86400.0


@dataclass(frozen=True)
class Interest:
    """The settings of `liverank.config.InterestConfig` that training reads, for a machine without pydantic."""

    block: str = "gated"
    dimension: int = 128
    layers: int = 2
    heads: int = 2
    dropout: float = 0.3
    id_dropout: float = 0.1
    text_hidden: int = 256
    history_length: int = 200
    batch_steps: int = 0
    accumulate: int = 1
    gradient_checkpointing: bool = False
    compile: bool = False
    full_softmax_items: int = 4096
    negatives: int = 2048
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    label_smoothing: float = 0.1
    epochs: int = 2
    patience: int = 3
    averaging: float = 0.998
    checkpoint_steps: int = 10**9


@dataclass(frozen=True)
class Training:
    """The settings of `liverank.config.TrainingConfig` that training reads."""

    seed: int = 7
    device: str = "auto"
    threads: int = 0
    interest: Interest = field(default_factory=Interest)


@dataclass(frozen=True)
class Shape:
    """What is trained on."""

    users: int = 6040
    items: int = 3416
    events: int = 165
    """Mean events a user."""
    width: int = 640
    """Text features of an item."""


def synthetic(shape: Shape, seed: int = 0) -> tuple[Floats, Events]:
    """Text features `[items, width]` and events: lengths and popularity are skewed as real ones are."""
    rng = np.random.default_rng(seed)
    lengths = np.maximum(5, rng.lognormal(np.log(shape.events) - 0.4, 0.9, shape.users)).astype(np.int64)
    total = int(lengths.sum())
    popularity = np.cumsum(np.arange(1, shape.items + 1) ** -0.8)
    items = np.searchsorted(popularity, rng.random(total) * popularity[-1]).astype(np.int32)
    user = np.repeat(np.arange(shape.users, dtype=np.int32), lengths)
    at = np.arange(total) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    events = Events(
        user=user,
        item=np.minimum(items, shape.items - 1),
        type=np.zeros(total, np.int16),
        weight=np.ones(total, np.float32),
        timestamp=(at * DAY).astype(np.float64),
        users=tuple(map(str, range(shape.users))),
        types=("click",),
    )
    return rng.standard_normal((shape.items, shape.width), np.float32), events


def measured(shape: Shape, config: Training, ranks: Ranks | None = None) -> dict[str, Any]:
    """Trains and says how it went; the same in every process."""
    features, events = synthetic(shape)
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Checkpoint(Path(folder) / "checkpoint.safetensors")
        _, report = train(features, events, cast(Any, config), None, checkpoint, ranks)
    return asdict(report)


def on_all(shape: Shape, config: Training, processes: int) -> dict[str, Any]:
    """The same on several processes of this machine."""
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "answer.json"
        order = json.dumps({"shape": asdict(shape), "config": asdict(config), "answer": str(answer)})
        launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
        subprocess.run(
            [sys.executable, *launcher, "-m", "benchmarks.gpu_interest", "--order", order],
            cwd=Path(__file__).resolve().parent.parent,
            check=True,
        )
        return dict(json.loads(answer.read_text(encoding="utf-8")))


def obey(order: dict[str, Any]) -> None:
    """What each process of `on_all` does."""
    interest = Interest(**order["config"].pop("interest"))
    ranks = Ranks.from_environment()
    found = measured(Shape(**order["shape"]), Training(interest=interest, **order["config"]), ranks)
    if ranks.first:
        Path(order["answer"]).write_text(json.dumps(found), encoding="utf-8")


HEAD = "| batch steps | compile | processes | events/s | matrix speed | padding | waiting | peak MiB | GPU MiB | loss |"


def line(config: Training, found: dict[str, Any]) -> str:
    """One row of the table."""
    cells = [
        f"{config.interest.batch_steps:,}",
        "yes" if config.interest.compile else "no",
        str(found["processes"]),
        f"{found['events_per_second']:,.0f}",
        f"{found['flop_utilisation']:.1%}",
        f"{found['padding']:.1%}",
        f"{found['waiting']:.1%}",
        f"{found['peak_mib']:,.0f}",
        f"{found['peak_gpu_mib']:,.0f}",
        f"{found['losses'][-1]:.3f}",
    ]
    return f"| {' | '.join(cells)} |"


def main() -> int:
    """Measures every setting that is asked for."""
    options = _options()
    if options.order:
        obey(json.loads(options.order))
        return 0
    shape = Shape(**{one.name: getattr(options, one.name) for one in fields(Shape)})
    print(f"{_device()}; {shape}\n\n{HEAD}\n|{'---|' * 10}", flush=True)
    for size, compiled in product(options.batch_steps, options.compile):
        interest = replace(
            Interest(dimension=options.dimension, epochs=options.epochs), batch_steps=size, compile=bool(compiled)
        )
        config = Training(device=options.device, threads=options.threads, interest=interest)
        print(line(config, measured(shape, config)), flush=True)
        if options.processes > 1:
            print(line(config, on_all(shape, config, options.processes)), flush=True)
    return 0


def _device() -> str:
    if not torch.cuda.is_available():
        return f"CPU, torch {torch.__version__}"
    return f"{torch.cuda.device_count()} x {torch.cuda.get_device_name()}, torch {torch.__version__}"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu_interest", description=__doc__)
    for one in fields(Shape):
        parser.add_argument(f"--{one.name}", type=int, default=one.default)
    parser.add_argument("--batch-steps", type=int, nargs="+", default=[4096, 16384, 65536])
    parser.add_argument("--compile", type=int, nargs="+", choices=[0, 1], default=[0, 1])
    parser.add_argument("--dimension", type=int, default=128)
    parser.add_argument("--epochs", type=int, default=2, help="the last one is measured")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0: torch's default")
    parser.add_argument("--processes", type=int, default=torch.cuda.device_count())
    parser.add_argument("--order", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
