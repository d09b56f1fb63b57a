"""One small synthetic world for all tests of this folder."""

from __future__ import annotations

import pytest

from liverank.data.synthetic import generate
from liverank.data.tastes import SyntheticSettings


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    """A synthetic dataset folder: 400 users, 200 items, 20 days."""
    folder = tmp_path_factory.mktemp("world")
    generate(SyntheticSettings(users=400, items=200, days=20, seed=11), folder)
    return folder
