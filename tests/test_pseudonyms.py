from __future__ import annotations

import hashlib
import hmac
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liverank.errors import ConfigError
from liverank.events import Impression, Interaction, Item, ShownItem, User
from liverank.pseudonyms import Pseudonyms, pseudonyms

KEY = b"0123456789abcdef"
NAMES = Pseudonyms(KEY)
AT = datetime(2026, 3, 1, tzinfo=UTC)
CLICK = Interaction(event_id="e", user_id="anna", item_id="i", type="click", timestamp=AT, session_id="s")
LIST = Impression(
    impression_id="l", user_id="anna", timestamp=AT, shown=[ShownItem(item_id="i", position=1)], session_id="s"
)


def test_it_is_the_hmac_cut_to_128_bits() -> None:
    assert NAMES.user("anna") == hmac.new(KEY, b"user\0anna", hashlib.sha256).hexdigest()[:32]
    assert NAMES.session("anna") == hmac.new(KEY, b"session\0anna", hashlib.sha256).hexdigest()[:32]


@given(st.text(min_size=1), st.text(min_size=1))
def test_one_name_a_user_and_no_two_users_with_one(one: str, other: str) -> None:
    assert (NAMES.user(one) == NAMES.user(other)) == (one == other)
    assert NAMES.user(one) not in (one, NAMES.session(one), Pseudonyms(b"another key of 16").user(one))
    assert len(NAMES.user(one)) == 32


def test_without_a_key_everything_is_what_it_was() -> None:
    records = [CLICK, LIST]
    assert not Pseudonyms()
    assert Pseudonyms().records(records) is records
    assert Pseudonyms().returned(records, "ben") is records
    assert (Pseudonyms().user("anna"), Pseudonyms().session("s")) == ("anna", "s")
    assert Pseudonyms().signing_key() == b""


def test_records_of_every_kind() -> None:
    item = Item(item_id="anna")
    click, shown, user, same = NAMES.records([CLICK, LIST, User(user_id="anna"), item])
    for record in (click, shown, user):
        assert record.user_id == NAMES.user("anna")
    for record in (click, shown):
        assert record.session_id == NAMES.session("s")
    assert same is item
    assert NAMES.session(None) is None
    assert [record.user_id for record in NAMES.returned([click, shown, user], "anna")] == ["anna"] * 3


@pytest.mark.parametrize("key", ["", "15 bytes of key"])
def test_a_key_that_can_be_guessed_is_refused(key: str) -> None:
    with pytest.raises(ConfigError, match="SECRET"):
        pseudonyms("SECRET", {"SECRET": key})
    assert pseudonyms("SECRET", {"SECRET": KEY.decode()}).user("anna") == NAMES.user("anna")
    assert not pseudonyms("", {"SECRET": KEY.decode()})


def test_the_signing_key_tells_no_pseudonym() -> None:
    assert NAMES.signing_key() not in (KEY, bytes.fromhex(NAMES.user("signing")))
    assert len(NAMES.signing_key()) == 32
