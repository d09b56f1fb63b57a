from __future__ import annotations

import msgspec
import pytest

from liverank.certificates import Erased, ModelVersions, is_genuine, read, signed
from liverank.errors import DataError

KEY = b"a key"
PLAIN = Erased(
    certificate_id="c",
    erased_at="2026-03-01T12:00:00+00:00",
    user_id="anna",
    store="0123456789abcdef",
    erased=3,
    records={"impression": 1, "interaction": 2},
    model_versions=ModelVersions(["1"], ["2"], "others"),
    to_do=["something"],
)


def test_what_was_signed_is_genuine_in_any_layout() -> None:
    certificate = signed(PLAIN, KEY)
    assert is_genuine(read(msgspec.json.format(msgspec.json.encode(certificate))), KEY)
    shuffled = dict(reversed(msgspec.to_builtins(certificate).items()))
    assert is_genuine(read(msgspec.json.encode(shuffled)), KEY)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("erased", 4),
        ("user_id", "ben"),
        ("erased_at", "2026-03-02T12:00:00+00:00"),
        ("to_do", []),
        ("records", {"impression": 3}),
        ("model_versions", {"answered": ["1"], "may_have_learned": [], "unknown": "others"}),
        ("signature", {"algorithm": "none", "value": ""}),
        ("signature", None),
    ],
)
def test_what_was_changed_is_not(field: str, value: object) -> None:
    changed = msgspec.to_builtins(signed(PLAIN, KEY)) | {field: value}
    assert not is_genuine(read(msgspec.json.encode(changed)), KEY)


def test_another_key_or_none() -> None:
    assert not is_genuine(signed(PLAIN, KEY), b"another key")
    assert signed(PLAIN, b"") is PLAIN
    assert not is_genuine(PLAIN, b"")
    assert not is_genuine(signed(PLAIN, KEY), b"")


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b"[]", b'{"user_id": 3}'])
def test_other_files_are_refused(content: bytes) -> None:
    with pytest.raises(DataError, match="no certificate"):
        read(content)
    more = msgspec.to_builtins(signed(PLAIN, KEY)) | {"more": 1}
    with pytest.raises(DataError, match="more than one does"):
        read(msgspec.json.encode(more))
