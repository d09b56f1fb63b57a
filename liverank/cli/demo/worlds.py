"""Where the demo's users come from: the synthetic world, or the real events after a cut."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from liverank.cli.demo.story import Story
from liverank.errors import DataError

if TYPE_CHECKING:
    from liverank.data.traffic import World

DIRT = 0.01
REPLAYED_BASKETS = 2500
LEAST_BASKETS = 200


@dataclass(frozen=True)
class Setting:
    """The training source, the users, and how much traffic there is of them."""

    source: Path
    world: World
    window: int
    """Impressions of a window."""
    drifted: int
    """Impressions after the drift, before the monitor looks again."""
    judged: int
    """Requests in validation and test, each, so that the retraining trains on most of what has drifted."""
    pause: float
    """Seconds between two requests while the retraining runs; a replay must not run out of baskets meanwhile."""


def synthetic(folder: Path, story: Story) -> Setting:
    """Generated data, and its own users as live traffic."""
    from liverank.data.synthetic import generate
    from liverank.data.tastes import SyntheticSettings
    from liverank.data.traffic import SyntheticWorld

    for table, rows in generate(SyntheticSettings(dirt=DIRT), folder).items():
        if table != "rejected":
            story.say(f"{rows:,} {table}")
    story.say("synthetic: every item, user and event is invented, about one row in a hundred broken on purpose")
    # Of fewer drifted requests the retraining learns too little, and of fewer that are judged the gate sees too little,
    # to rule a loss out: of 4,000 and 500 one in five challengers was refused that was better by 0.013.
    return Setting(folder, SyntheticWorld(folder), window=1000, drifted=6000, judged=800, pause=0.05)


def replayed(source: str, folder: Path, story: Story) -> Setting:
    """Real events: the older part trains, the last baskets come back as live traffic.

    Raises:
        DataError: too few baskets for the story.
    """
    from liverank.config import DataConfig
    from liverank.data.ingest import ingest
    from liverank.data.traffic import BasketReplay, split_for_replay

    summary = ingest(DataConfig(source=source), folder / "all")
    for table, rows in summary.rows.items():
        story.say(f"{rows:,} {table}")
    cut = _cut(folder / "all")
    split_for_replay(folder / "all", cut, folder / "before")
    world = BasketReplay(folder / "all", cut)
    story.say(
        f"events before {cut:%Y-%m-%d %H:%M} are the training source, {len(world):,} later baskets the live traffic"
    )
    window = len(world) // 6
    return Setting(folder / "before", world, window=window, drifted=2 * window, judged=max(50, window // 3), pause=0.4)


def _cut(dataset: Path) -> datetime:
    """The time of the basket before which all but the replayed ones lie."""
    import pyarrow.compute as pc

    from liverank import columns as c
    from liverank.data.dataset import read_table

    events = read_table(dataset, "interactions")
    baskets = events.group_by([c.USER_ID, c.TIMESTAMP]).aggregate([])
    kept = min(REPLAYED_BASKETS, baskets.num_rows // 5)
    if kept < LEAST_BASKETS:
        raise DataError(
            f"The demo needs some {5 * LEAST_BASKETS:,} visits (one user at one time) and found {baskets.num_rows:,}.",
            "Use more data, or `liverank run` without the live part.",
        )
    times = baskets.column(c.TIMESTAMP).take(pc.sort_indices(baskets.column(c.TIMESTAMP)))
    return times[baskets.num_rows - kept].as_py()
