"""The playground as a browser runs it: clicks re-rank, titles stay text, and nothing leaves the server."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from liverank.pseudonyms import Pseudonyms
from tests.serving.browser import Page, browser, chromium
from tests.serving.conftest import Server, click
from tests.serving.test_playground import ITEMS, KEY, ON, SCRIPT

pytestmark = pytest.mark.skipif(chromium() is None, reason="there is no chromium (Debian's package is enough)")

LINES = "[...document.querySelectorAll('#list li')].map((line) => line.dataset.item)"
SENT = "document.querySelector('#status').textContent.startsWith('Sent: ')"
MOVE = "document.querySelector('#list li[data-item=\"{}\"] .move').getAttribute('aria-label')"
PHONE = {"width": 360, "height": 740}


@pytest.fixture(scope="module")
def tabs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Page]]:
    with browser(tmp_path_factory.mktemp("profile")) as open_tab:
        yield open_tab


@pytest.fixture(scope="module")
def playing(servers: Callable[..., Server]) -> Server:
    return filled(servers(ON).start())


def filled(server: Server) -> Server:
    with server.client() as client:
        assert client.put("/v1/items", json={"items": ITEMS}).status_code == 200
    return server


@pytest.fixture
def tab(tabs: Callable[[], Page], playing: Server) -> Iterator[Page]:
    """A tab whose console stays empty, and that asks its own server alone."""
    page = tabs()
    yield page
    page.tell("new Promise((done) => setTimeout(done, 50))")
    assert page.problems == []
    assert [url for url in page.requested if not url.startswith((playing.url, "data:,"))] == []


def opened(page: Page, server: Server, width: int = 1280, height: int = 900) -> list[str]:
    page.go(f"{server.url}/playground", width, height)
    return list(page.wait(f"{LINES}.length && {LINES}"))


def choose(page: Page, control: str, value: str) -> None:
    """Sets a control as a user does, and waits for the list that follows."""
    page.tell("document.querySelector('#status').textContent = ''")
    page.tell(
        f"((field) => {{ field.value = {value!r}; field.dispatchEvent(new Event('change')); }})"
        f"(document.querySelector('#{control}'))"
    )
    page.wait("document.querySelector('#status').textContent")


def test_a_click_re_ranks_at_once(tab: Page, playing: Server) -> None:
    before = opened(tab, playing)
    assert len(before) == 10
    chosen = before[6]
    tab.click("#list li:nth-child(7) button")
    tab.wait(SENT)
    after = tab.tell(LINES)
    assert after[0] == chosen
    assert after[1:7] == before[:6]
    assert tab.tell(MOVE.format(chosen)) == "up by 6"
    assert tab.tell(MOVE.format(before[0])) == "down by 1"
    assert tab.tell("document.querySelectorAll('#history li').length") == 1
    user = tab.tell("document.querySelector('#user').value")
    with playing.client() as client:
        records = client.get(f"/v1/users/{user}").json()["records"]
    shown = [record["impression_id"] for record in records if record["record"] == "impression"]
    (event,) = (record for record in records if record["record"] == "interaction")
    assert (event["item_id"], event["type"], event["impression_id"]) == (chosen, "click", shown[0])


def test_a_pseudonym_is_marked_and_ranked_by_what_it_did(
    tabs: Callable[[], Page], servers: Callable[..., Server]
) -> None:
    server = filled(servers(ON, "serving.pseudonym_variable=SECRET", environment={"SECRET": KEY}).start())
    with server.client() as client:
        assert client.post("/v1/events", json=click(1, "anna", "sku-7")).status_code == 202
    page = tabs()
    assert len(opened(page, server)) == 10
    assert page.tell("document.querySelector('#pseudonym').hidden") is True
    pseudonym = Pseudonyms(KEY.encode()).user("anna")
    assert page.tell("[...document.querySelectorAll('#users option')].map((one) => one.value)") == [pseudonym]
    choose(page, "query", "a, sku-3, sku-7")
    choose(page, "user", pseudonym)
    assert page.tell(LINES) == ["sku-7", "a", "sku-3"]
    page.wait("document.querySelectorAll('#history li').length === 1")
    assert page.tell("document.querySelector('#pseudonym').hidden") is False
    page.click("#list li[data-item=sku-3] button")
    page.wait(SENT)
    with server.client() as client:
        events = [one for one in client.get("/v1/users/anna").json()["records"] if one["record"] == "interaction"]
    assert [event["item_id"] for event in events] == ["sku-7", "sku-3"]
    choose(page, "user", "anna")
    assert page.tell("document.querySelector('#pseudonym').hidden") is True
    assert page.problems == []


def test_titles_are_text_whatever_they_hold(tab: Page, playing: Server) -> None:
    opened(tab, playing)
    choose(tab, "query", "a, b/?&, never met")
    assert sorted(tab.tell(LINES)) == ["a", "b/?&", "never met"]
    assert SCRIPT in tab.tell("document.querySelector('#list').innerText")
    assert "<b>bold</b>" in tab.tell("document.querySelector('#list').innerText")
    tab.click("#list li[data-item=a] button")
    tab.wait(SENT)
    assert SCRIPT in tab.tell("document.querySelector('#history').innerText")
    assert tab.tell("document.querySelectorAll('#list script, #list b, #history script').length") == 0
    assert tab.tell("document.title") == "liverank playground"


def test_rules_shape_the_list(tab: Page, playing: Server) -> None:
    opened(tab, playing)
    choose(tab, "cap", "1")
    kinds = "[...document.querySelectorAll('#list .about')].slice(0, 3).map((line) => line.innerText.split(' · ')[0])"
    assert len(set(tab.tell(kinds))) == 3
    assert "rules: at most 1" in tab.tell("document.querySelector('#degraded').innerText")
    assert tab.tell("document.querySelector('#costs-card').hidden") is False
    choose(tab, "cap", "")
    chosen = tab.tell(LINES)[3]
    tab.click("#list li:nth-child(4) button")
    tab.wait(SENT)
    assert tab.tell(LINES)[0] == chosen
    choose(tab, "seen", "*")
    assert chosen not in tab.tell(LINES)
    choose(tab, "diversity", "dpp")
    assert tab.tell("document.querySelector('#relevance-field').hidden") is False
    choose(tab, "k", "4")
    assert len(tab.tell(LINES)) == 4
    choose(tab, "deadline", "9")
    assert tab.tell("document.querySelector('#deadline').getAttribute('aria-valuetext')") == "500 ms"


def test_exploration_shows_the_chances(tab: Page, playing: Server) -> None:
    opened(tab, playing)
    tab.click("#exploration")
    tab.wait("document.querySelector('#list').innerText.includes('chance 0.')")
    assert tab.tell("document.querySelector('#surface').disabled") is True


def test_the_keyboard_is_enough(tab: Page, playing: Server) -> None:
    before = opened(tab, playing)
    tab.tell("document.querySelector('#again').focus()")
    for _ in range(3):
        tab.press("Tab", 9)
    focused = "document.activeElement.closest('li')?.dataset.item"
    assert tab.tell(focused) == before[2]
    tab.press("Enter", 13, "\r")
    tab.wait(SENT)
    assert tab.tell(LINES)[0] == before[2]
    assert tab.tell(focused) == before[2], "the focus goes with the item"
    tab.tell("document.querySelector('#types input:checked').focus()")
    tab.press("ArrowRight", 39)
    assert tab.tell("document.querySelector('#types input:checked').value") == "cart"
    unnamed = "[...document.querySelectorAll('input, select')].filter((field) => !field.labels.length).length"
    assert tab.tell(unnamed) == 0


def test_another_user_has_another_history_and_can_be_forgotten(tab: Page, playing: Server) -> None:
    opened(tab, playing)
    first = tab.tell("document.querySelector('#user').value")
    tab.click("#list li:nth-child(2) button")
    tab.wait(SENT)
    events = "document.querySelectorAll('#history li').length"
    tab.click("#make-up")
    tab.wait(f"{events} === 0")
    assert tab.tell("document.querySelector('#user').value") != first
    choose(tab, "user", first)
    tab.wait(f"{events} === 1")
    tab.click("#forget")
    tab.wait(f"{events} === 0")
    with playing.client() as client:
        records = client.get(f"/v1/users/{first}").json()["records"]
    assert "interaction" not in [record["record"] for record in records]


def test_a_phone_needs_no_scrolling_sideways(tab: Page, playing: Server) -> None:
    opened(tab, playing, **PHONE)
    width = "document.documentElement.scrollWidth"
    assert tab.tell(width) <= PHONE["width"]
    tab.click("summary")
    tab.click("#list li:nth-child(5) button")
    tab.wait(SENT)
    assert tab.tell("document.querySelector('#controls').open") is True
    assert tab.tell(width) <= PHONE["width"]
    small = (
        "[...document.querySelectorAll('button:not(.item), select, #list li, #types label, .check')]"
        ".filter((target) => target.checkVisibility() && target.getBoundingClientRect().height < 43.5)"
        ".map((target) => target.outerHTML)"
    )
    assert tab.tell(small) == []


def test_the_token_stays_in_memory(tabs: Callable[[], Page], servers: Callable[..., Server]) -> None:
    server = servers(ON, environment={"LIVERANK_TOKEN": "secret"}).start()
    with server.client(headers={"authorization": "Bearer secret"}) as client:
        client.put("/v1/items", json={"items": ITEMS})
    page = tabs()
    page.go(f"{server.url}/playground")
    shown = "document.querySelector('#token-dialog').open"
    page.wait(shown)
    page.press("Escape", 27)
    page.wait("!document.querySelector('#error').hidden")
    assert page.tell("document.querySelector('#error').textContent") == "This server asks for a token."
    page.click("#again")
    for token in ("wrong", "secret"):
        page.wait(f"{shown} && document.activeElement.id === 'token'")
        page.ask("Input.insertText", text=token)
        page.press("Enter", 13, "\r")
        page.wait("!document.querySelector('#token').value")
    page.wait(f"{LINES}.length === 10")
    assert page.tell(shown) is False
    assert page.tell("document.querySelector('#error').hidden") is True
    assert page.tell("localStorage.length + sessionStorage.length + document.cookie.length") == 0
    assert "secret" not in page.tell("document.documentElement.outerHTML")
    assert all("secret" not in url for url in page.requested)
    assert all("401" in problem for problem in page.problems)


def test_a_server_that_is_gone_is_said(tabs: Callable[[], Page], servers: Callable[..., Server]) -> None:
    server = filled(servers(ON).start())
    page = tabs()
    before = opened(page, server)
    server.kill()
    page.click("#list li:nth-child(3) button")
    page.wait("!document.querySelector('#error').hidden")
    assert page.tell("document.querySelector('#error').textContent") == "The server cannot be reached."
    assert page.tell(LINES) == before
