"""The worlds that live traffic can come from: the synthetic one and real baskets."""

from __future__ import annotations

from liverank.data.replay import BasketReplay, split_for_replay
from liverank.data.synthetic_world import SyntheticWorld
from liverank.data.world import LiveRequest, World

__all__ = ["BasketReplay", "LiveRequest", "SyntheticWorld", "World", "split_for_replay"]
