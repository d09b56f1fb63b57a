"""Live traffic: both worlds under one contract, reactions by what users really want, drift that hurts and is learnt."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow.compute as pc
import pytest

from liverank.data.dataset import Dataset, empty_tables, read_dataset, write_dataset
from liverank.data.live import KEYS
from liverank.data.synthetic import generate
from liverank.data.tastes import SyntheticSettings
from liverank.data.traffic import BasketReplay, SyntheticWorld, World, split_for_replay
from liverank.errors import DataError
from liverank.events import Interaction as Event
from liverank.events import Item, encode_record, to_table

CUT = datetime(2026, 2, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """Baskets of 60 customers: customer u buys from ten items of its own, two baskets before the cut and two after."""
    rng = np.random.default_rng(0)
    events = []
    for day in (-20, -10, 5, 15):
        for user in range(60):
            picks = rng.choice(10, 3, replace=False) + 10 * (user % 12)
            at = CUT + timedelta(days=day, minutes=user)
            events += [
                Event(
                    event_id=f"{day}-{user}-{n}",
                    user_id=f"u{user}",
                    item_id=f"i{item}",
                    type="purchase",
                    timestamp=at,
                    value=2.0,
                    session_id=f"s{day}-{user}",
                    context={"country": "EIRE"},
                )
                for n, item in enumerate(picks)
            ]
    tables = empty_tables()
    tables["interactions"] = to_table(events, "interactions")
    tables["items"] = to_table([Item(item_id=f"i{n}", title=f"thing {n}") for n in range(120)], "items")
    folder = tmp_path_factory.mktemp("shop")
    write_dataset(Dataset(tables), folder)
    return folder


class WorldContract:
    """What every world promises."""

    @pytest.fixture
    def live(self) -> World:
        raise NotImplementedError

    @pytest.fixture
    def same(self) -> World:
        raise NotImplementedError

    def test_requests_come_in_time_order_with_distinct_candidates(self, live):
        requests = []
        for request in live.requests(30):
            live.react(request, request.candidates, f"i{len(requests)}")
            requests.append(request)
        assert len(requests) == 30
        times = [request.timestamp for request in requests]
        assert times == sorted(times)
        assert all(time.tzinfo is not None for time in times)
        assert all(len(set(request.candidates)) == len(request.candidates) >= 20 for request in requests)

    def test_the_same_seed_asks_and_answers_the_same(self, live, same):
        assert self._log(live) == self._log(same)

    def _log(self, world):
        lines = []
        for number, request in enumerate(world.requests(20)):
            events = world.react(request, request.candidates, f"imp-{number}")
            lines.append((request, [encode_record(event) for event in events]))
        return lines

    def test_answers_are_events_of_the_impression(self, live):
        total = 0
        for number, request in enumerate(live.requests(30)):
            events = live.react(request, request.candidates[:15], f"imp-{number}")
            total += len(events)
            assert {event.item_id for event in events} <= set(request.candidates[:15])
            assert all(event.impression_id == f"imp-{number}" for event in events)
            assert all(event.user_id == request.user_id for event in events)
            assert all(event.timestamp > request.timestamp for event in events)
            assert [event.timestamp for event in events] == sorted(event.timestamp for event in events)
            ids = [event.event_id for event in events]
            assert len(set(ids)) == len(ids)
        assert total > 10

    def test_a_request_is_answered_once(self, live):
        (request,) = live.requests(1)
        live.react(request, request.candidates, "a")
        with pytest.raises(DataError, match="is not open"):
            live.react(request, request.candidates, "b")


class TestSyntheticWorld(WorldContract):
    @pytest.fixture
    def live(self, world):
        return SyntheticWorld(world, seed=1)

    @pytest.fixture
    def same(self, world):
        return SyntheticWorld(world, seed=1)

    def test_it_goes_on_after_the_data_with_known_items_and_some_new_users(self, world, live):
        dataset = read_dataset(world)
        end = pc.max(dataset.tables["impressions"].column("timestamp")).as_py()
        items = set(dataset.tables["items"].column(KEYS["items"]).to_pylist())
        users = set(dataset.tables["users"].column(KEYS["users"]).to_pylist())
        seen = set()
        for number, request in enumerate(live.requests(100)):
            live.react(request, request.candidates, f"i{number}")
            assert request.timestamp > end
            assert set(request.candidates) <= items
            seen.add(request.user_id)
        assert 0 < len(seen - users) < len(seen & users)

    def test_a_better_order_gets_more_clicks_at_the_top(self, world):
        """The same requests, ranked by what the user wants and in reverse."""
        first = {}
        for name, sign in (("best", -1), ("worst", 1)):
            live, tops = SyntheticWorld(world, seed=2), 0
            for number, request in enumerate(live.requests(150)):
                intent, regime = live._wants[request.session_id, request.timestamp]
                numbers = np.array([[int(item.removeprefix("item-")) for item in request.candidates]])
                wanted = live.tastes.attraction(intent, numbers, regime)[0]
                ranked = [request.candidates[n] for n in np.argsort(sign * wanted)]
                events = live.react(request, ranked, f"i{number}")
                tops += any(event.item_id in ranked[:3] and event.type == "click" for event in events)
            first[name] = tops
        assert first["best"] > 3 * max(first["worst"], 1)

    def test_unknown_items_in_the_ranking_are_never_clicked(self, live):
        (request,) = live.requests(1)
        assert live.react(request, ["pinned-by-a-rule"] * 3, "i") == []

    def test_it_reads_dirty_and_ingested_data(self, tmp_path):
        generate(SyntheticSettings(users=50, items=60, days=5, dirt=0.1, seed=2), tmp_path / "dirty")
        assert next(SyntheticWorld(tmp_path / "dirty").requests(1)).candidates

    def test_other_data_is_refused(self, shop):
        with pytest.raises(DataError, match="is not synthetic"):
            SyntheticWorld(shop)

    def test_after_a_drift_the_old_counts_mislead_and_new_ones_help(self, world):
        """Item-to-item counts learnt before the drift fall; learnt again with the new traffic they come back."""
        live = SyntheticWorld(world, seed=3, users=100)
        ranker = Counts(200)
        before = ranker.walk(live, 700, learn=True)[-400:]
        live.drift()
        frozen = ranker.copy()
        fallen = frozen.walk(live, 400, learn=False)
        ranker.last = dict(frozen.last)
        ranker.walk(live, 1500, learn=True)
        back = ranker.walk(live, 400, learn=False)
        assert np.mean(fallen) < 0.6 * np.mean(before)
        assert np.mean(back) > np.mean(fallen) + 0.5 * (np.mean(before) - np.mean(fallen))


class Counts:
    """A small ranker: how often an item was clicked after the last click."""

    def __init__(self, items):
        self.follows, self.last = np.zeros((items, items)), {}

    def copy(self):
        other = Counts(len(self.follows))
        other.follows, other.last = self.follows.copy(), dict(self.last)
        return other

    def walk(self, live, count, learn):
        """Reciprocal rank of the first click, for each of the next requests that gets one."""
        found = []
        for request in live.requests(count):
            numbers = np.array([int(item.removeprefix("item-")) for item in request.candidates])
            last = self.last.get(request.user_id)
            score = self.follows[last, numbers] if last is not None else np.zeros(len(numbers))
            ranked = [request.candidates[place] for place in np.argsort(-score, kind="stable")]
            events = live.react(request, ranked, f"{request.session_id}-{request.timestamp:%d%H%M%S}")
            picked = [event.item_id for event in events if event.type == "click"]
            if picked and last is not None:
                found.append(1 / (1 + min(ranked.index(item) for item in picked)))
            for item in picked:
                number = int(item.removeprefix("item-"))
                if learn and last is not None:
                    self.follows[last, number] += 1
                self.last[request.user_id] = number
        return found


class TestBasketReplay(WorldContract):
    @pytest.fixture
    def live(self, shop):
        return BasketReplay(shop, CUT, seed=1, candidates=30)

    @pytest.fixture
    def same(self, shop):
        return BasketReplay(shop, CUT, seed=1, candidates=30)

    def test_every_basket_after_the_cut_is_asked_for_once_and_bought(self, live):
        assert len(live) == 120
        bought = 0
        for number, request in enumerate(live.requests(1000)):
            events = live.react(request, list(reversed(request.candidates)), f"i{number}")
            assert {event.value for event in events} == {2.0}
            assert {event.type for event in events} == {"purchase"}
            own = int(request.user_id[1:]) % 12
            assert all(int(event.item_id[1:]) // 10 == own for event in events)
            assert request.timestamp >= CUT
            assert request.context == {"country": "EIRE"}
            bought += len(events)
        assert len(live) == 0
        assert bought == 120 * 3

    def test_half_of_the_candidates_at_most_are_the_basket(self, shop):
        live = BasketReplay(shop, CUT, candidates=4)
        for request in live.requests(5):
            assert len(live.react(request, request.candidates, request.session_id)) == 2

    def test_drift_is_one_fixed_exchange_of_items(self, shop):
        plain, drifted = (BasketReplay(shop, CUT, seed=4, candidates=30) for _ in range(2))
        drifted.drift()
        exchange: dict[str, str] = {}
        for before, after in zip(plain.requests(120), drifted.requests(120), strict=True):
            for old, new in zip(before.candidates, after.candidates, strict=True):
                assert exchange.setdefault(old, new) == new
            was = {event.item_id for event in plain.react(before, before.candidates, "i")}
            now = {event.item_id for event in drifted.react(after, after.candidates, "i")}
            assert {exchange[item] for item in was} == now
        assert len(set(exchange.values())) == len(exchange)
        assert all(old != new for old, new in exchange.items())

    def test_the_part_before_the_cut_is_the_training_source(self, shop, tmp_path):
        part = split_for_replay(shop, CUT, tmp_path / "before")
        events = read_dataset(tmp_path / "before").tables["interactions"]
        assert events.num_rows == part.tables["interactions"].num_rows == 360
        assert pc.max(events.column("timestamp")).as_py() < CUT
        assert read_dataset(tmp_path / "before").tables["items"].num_rows == 120

    def test_a_cut_outside_the_data_is_refused(self, shop):
        with pytest.raises(DataError, match="Choose another cut"):
            BasketReplay(shop, CUT + timedelta(days=900))
