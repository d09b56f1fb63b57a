"""What all tests share: a quiet environment and the folder of real data."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from liverank.config.store_place import VARIABLE
from liverank.environment import silence_telemetry
from tests.store.redis_server import RedisServer, redis_server

silence_telemetry()
os.environ["HF_HUB_OFFLINE"] = "1"
# No test reads or writes a live store of the environment it happens to run in.
os.environ.pop(VARIABLE, None)
# Two workers on two cores: torch threads that fight for them make every test slower.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# The first example pays for imports; what is slow on a busy machine is not wrong.
settings.register_profile("suite", deadline=None)
settings.load_profile("suite")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A real redis-server for all tests of a process; each takes the database of its own folder."""
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


def real_data(name: str) -> Path:
    """Path of a real data file; skips the test where the data is not at hand."""
    folder = Path(os.environ.get("LIVERANK_DATA") or ROOT.parent / "shared" / "data")
    path = folder / name
    if not path.exists():
        pytest.skip(f"real data {name} is not at hand: set LIVERANK_DATA to its folder")
    return path
