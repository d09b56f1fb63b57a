"""The playground's routes; the page in a browser is in `test_playground_page`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from typer.testing import CliRunner

from liverank.cli.main import app, register_commands
from liverank.config import Config
from liverank.events import Interaction, Item
from liverank.pseudonyms import Pseudonyms
from liverank.store import open_store
from serving.announcement import Announcement
from serving.playground import EXPLORING, latest_users, with_exploration
from tests.serving.conftest import Server, click, ids
from tests.serving.test_metrics import gained

SCRIPT = "<script>document.title='broken'</script>"
ITEMS = [
    {"item_id": "a", "title": SCRIPT, "category": "<b>bold</b>", "text": "a lamp"},
    {"item_id": "b/?&", "title": "Oak desk", "category": "office", "text": "a desk"},
    *({"item_id": f"sku-{at}", "title": f"Kettle {at} " + "x" * 150, "category": "kitchen"} for at in range(20)),
]
ON = "serving.playground=true"


@pytest.fixture(scope="module")
def playing(servers: Callable[..., Server]) -> Server:
    """A server with the playground and a few items."""
    server = servers(ON).start()
    with server.client() as client:
        assert client.put("/v1/items", json={"items": ITEMS}).status_code == 200
    return server


@pytest.fixture
def play(playing: Server) -> Iterator[httpx.Client]:
    with playing.client() as client:
        yield client


def test_it_is_off_unless_it_is_asked_for(servers: Callable[..., Server]) -> None:
    with servers().start().client() as client:
        for path in ("/playground", "/playground/setup", "/playground/items"):
            assert client.get(path).status_code == 404


def test_the_page_may_run_its_own_script_alone(play: httpx.Client) -> None:
    answer = play.get("/playground")
    assert answer.headers["content-type"].startswith("text/html")
    policy = dict(part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == "'none'"
    assert re.fullmatch(r"'sha256-[\w+/]{43}='", policy["script-src"])
    assert re.fullmatch(r"'sha256-[\w+/]{43}='", policy["style-src"])
    assert answer.headers["x-content-type-options"] == "nosniff"
    for unsafe in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "http://", "https://"):
        assert unsafe not in answer.text.replace("over https ", "")
    assert not re.search(r"\s(style|on\w+)=", answer.text.partition("<body>")[2].partition("<script>")[0])


def test_only_reading_is_answered_there(play: httpx.Client) -> None:
    refusal = play.post("/playground", content=b"")
    assert (refusal.status_code, refusal.headers["allow"]) == (405, "GET, HEAD")
    assert play.head("/playground").text == ""
    assert play.get("/playground/").status_code == 404


def test_the_routes_behind_it_are_guarded(servers: Callable[..., Server]) -> None:
    with servers(ON, environment={"LIVERANK_TOKEN": "secret"}).start().client() as client:
        assert client.get("/playground").status_code == 200
        for path in ("/playground/setup", "/playground/items", "/playground/", "/playground/x"):
            assert client.get(path).status_code == 401
        assert client.post("/playground").status_code == 405
        assert client.get("/playground/items", headers={"authorization": "Bearer secret"}).status_code == 200


def test_another_sites_page_may_not_ask(play: httpx.Client) -> None:
    assert play.get("/playground/items", headers={"host": "evil.example"}).status_code == 403
    assert play.get("/playground/items", headers={"origin": "http://evil.example"}).status_code == 403


def wanted(play: httpx.Client, **query: Any) -> list[str]:
    answer = play.get("/playground/items", params=query)
    assert answer.status_code == 200, answer.text
    assert answer.json()["known"] == len(ITEMS)
    return [item["item_id"] for item in answer.json()["items"]]


def test_items_by_words_by_id_and_by_chance(play: httpx.Client) -> None:
    assert wanted(play, query="oAk office") == ["b/?&"]
    assert wanted(play, query="sku-1", limit=3) == ["sku-1", "sku-10", "sku-11"]
    assert wanted(play, query="nothing of the kind") == []
    assert wanted(play, id=["sku-3", "never met", "a", "a"]) == ["sku-3", "a"]
    assert len(wanted(play, limit=7)) == 7
    assert wanted(play, limit=7, seed=1) == wanted(play, limit=7, seed=1) != wanted(play, limit=7, seed=2)
    assert sorted(wanted(play, limit=200)) == sorted(str(item["item_id"]) for item in ITEMS)


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ({"limit": 201}, "limit"),
        ({"limit": 0}, "limit"),
        ({"limit": "many"}, "limit"),
        ({"seed": -1}, "seed"),
        ({"query": "x" * 201}, "query"),
        ({"id": ["x"] * 201}, "id"),
        ({"offset": 1}, "offset"),
    ],
)
def test_what_is_no_request_for_items(play: httpx.Client, query: dict[str, Any], named: str) -> None:
    answer = play.get("/playground/items", params=query)
    assert answer.status_code == 400
    assert named in answer.json()["error"]


def test_the_setup_says_what_can_be_chosen(play: httpx.Client) -> None:
    play.post("/v1/events", json=click(1, user="seen-lately"))
    told = play.get("/playground/setup").json()
    assert told["event_types"] == ["view", "click", "cart", "purchase", "rating", "dislike"]
    assert told["exploring"] == EXPLORING
    assert "seen-lately" in told["users"]
    assert told["surfaces"] == []


KEY = "a long secret of the operator's"


@pytest.fixture(scope="module")
def hidden(servers: Callable[..., Server]) -> Server:
    """A server whose store knows users by pseudonyms."""
    tokens = {"web": {"variable": "WEB", "scopes": ["rank"]}}
    settings = (ON, "serving.pseudonym_variable=SECRET", f"serving.tokens={json.dumps(tokens)}")
    return servers(*settings, environment={"SECRET": KEY, "LIVERANK_TOKEN": "secret", "WEB": "web"}).start()


def test_pseudonyms_are_offered_as_such_and_ranked_by_what_they_did(hidden: Server) -> None:
    with hidden.client(headers={"authorization": "Bearer secret"}) as client:
        event = click(1, "anna.raw", "c") | {"event_id": "e"}
        assert client.post("/v1/events", json=event).status_code == 202
        body = {"user_id": Pseudonyms(KEY.encode()).user("anna.raw"), "candidates": ["a", "b", "c"]}
        early = client.post("/playground/rank", json=body)
        assert early.status_code == 404, "nothing was offered yet"
        told = client.get("/playground/setup").json()
        assert (told["users"], told["pseudonyms"]) == ([body["user_id"]], True)
        assert ids(client.post("/v1/rank", json=body)) == ["a", "b", "c"], "elsewhere a pseudonym is nobody's id"
        ranked = client.post("/playground/rank", json={**body, "session_id": "session.raw"})
        assert ids(ranked) == ["c", "a", "b"]
        more = {"user_id": body["user_id"], "item_id": "b", "impression_id": ranked.json()["impression_id"]}
        events = [{**event, **more, "event_id": f"played {at}"} for at in range(2)]
        assert client.post("/playground/events", json={"events": events}).json()["new"] == 2
        assert ids(client.post("/playground/rank", json=body)) == ["b", "c", "a"]
        played = client.get(f"/playground/users/{body['user_id']}").json()["records"]
        own = client.get("/v1/users/anna.raw").json()["records"]
        assert [one.get("event_id") for one in played] == [one.get("event_id") for one in own]
        assert len(own) == 5
        held = b"".join(path.read_bytes() for path in hidden.workspace.iterdir() if path.is_file())
        assert b".raw" not in held


def test_ranking_by_pseudonyms_times_each_stage_too(hidden: Server) -> None:
    with hidden.client(headers={"authorization": "Bearer secret"}) as client:
        client.post("/v1/events", json=click(1, "timed.raw"))
        (user, *_) = client.get("/playground/setup").json()["users"]
        body = {"user_id": user, "candidates": ["a", "b"]}
        own = gained(client, lambda: client.post("/v1/rank", json=body))
        assert {"decode", "encode"} <= own.keys()
        assert gained(client, lambda: client.post("/playground/rank", json=body)) == own


def test_the_routes_for_pseudonyms_take_nobody_else(hidden: Server) -> None:
    with hidden.client(headers={"authorization": "Bearer secret"}) as client:
        client.get("/playground/setup")
        other = Pseudonyms(KEY.encode()).user("somebody")
        assert client.post("/playground/rank", json={"user_id": other, "candidates": ["a"]}).status_code == 404
        assert client.post("/playground/rank", json={"candidates": ["a"]}).status_code == 404
        assert client.post("/playground/events", json=click(3, other)).status_code == 404
        assert client.post("/playground/events", json={"record": "item", "item_id": "x"}).status_code == 400
        assert client.get(f"/playground/users/{other}").status_code == 404
    with hidden.client(headers={"authorization": "Bearer web"}) as client:
        assert client.post("/playground/rank", json={"user_id": other, "candidates": ["a"]}).status_code == 403


def test_without_a_key_there_are_no_such_routes(play: httpx.Client) -> None:
    assert play.get("/playground/setup").json()["pseudonyms"] is False
    assert play.post("/playground/rank", json={"user_id": "u", "candidates": ["a"]}).status_code == 404
    assert play.get("/playground/users/u").status_code == 404


def test_the_exploring_surface_draws_its_lists(play: httpx.Client) -> None:
    request = {"user_id": "drawn", "candidates": ["a", "sku-1", "sku-2", "sku-3"]}
    drawn = play.post("/v1/rank", json={**request, "surface": EXPLORING})
    assert len(ids(drawn)) == 4
    assert all("propensity" in line for line in drawn.json()["ranking"])
    assert "propensity" not in play.post("/v1/rank", json={**request, "surface": "playground"}).json()["ranking"][0]


def test_the_exploring_surface_keeps_the_rules_of_the_others() -> None:
    surfaces = {"default": {"exclude": ["a"]}, "home": {}}
    made = with_exploration(Config.model_validate({"serving": {"surfaces": surfaces}})).serving.surfaces
    assert made[EXPLORING].exclude == ("a",)
    assert made[EXPLORING].exploration.share == 1
    assert made["home"].exploration.share == 0
    own = {EXPLORING: {"exploration": {"share": 0.5}}}
    kept = with_exploration(Config.model_validate({"serving": {"surfaces": own}})).serving.surfaces
    assert kept[EXPLORING].exploration.share == 0.5


def test_the_latest_users_come_first(tmp_path: Path) -> None:
    store = open_store(tmp_path / "live.db")
    assert latest_users(store) == []
    store.append([Item(item_id="a")])
    for at, user in enumerate(["u", "v", "u", *(f"w{number}" for number in range(30)), "v"]):
        event = {**click(0, user), "event_id": f"e{at}"}
        store.append([msgspec.convert(event, Interaction)])
    users = latest_users(store)
    assert users[:3] == ["v", "w29", "w28"]
    assert len(users) == len(set(users)) == 20
    store.close()


@pytest.mark.parametrize("option", [[], ["--playground"], ["--set", ON]])
def test_the_command_has_an_option_for_it(option: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    served: list[Config] = []

    def run(config: Config, **options: Any) -> int:
        served.append(config)
        options["on_ready"](Announcement("http://127.0.0.1:1", "127.0.0.1:2", 1, "7"))
        return 2

    monkeypatch.setattr("serving.server.run", run)
    register_commands()
    done = CliRunner().invoke(app, ["serve", *option, "--set", f"workspace={tmp_path}"])
    assert done.exit_code == 130
    assert served[0].serving.playground is bool(option)
    assert ("http://127.0.0.1:1/playground" in done.output) is bool(option)
