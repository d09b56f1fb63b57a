"""What hypothesis makes of a valid body: bytes, other JSON, or the body with places replaced, removed or added."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-2, 5),
    st.floats(),
    st.text(max_size=12),
    st.just("2026-03-01"),
)
ANY_JSON = st.recursive(
    SCALARS, lambda of: st.lists(of, max_size=4) | st.dictionaries(st.text(max_size=8), of, max_size=4), max_leaves=8
)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value inside another."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inside:
        yield (*path, key)
        yield from places(one, (*path, key))


@st.composite
def damaged(draw: st.DrawFn, whole: Any) -> Any:
    """The value with one to three places changed."""
    value = copy.deepcopy(whole)
    for _ in range(draw(st.integers(1, 3))):
        found = list(places(value))
        if not found:
            return draw(ANY_JSON)
        *path, key = draw(st.sampled_from(found))
        parent = value
        for step in path:
            parent = parent[step]
        what = draw(st.sampled_from(["replace", "replace", "remove", "repeat", "add"]))
        if what == "remove":
            del parent[key]
        elif what == "repeat":
            parent[key] = [copy.deepcopy(parent[key])] * draw(st.integers(0, 3))
        elif what == "add" and isinstance(parent, dict):
            parent[draw(st.text(max_size=8))] = draw(ANY_JSON)
        else:
            parent[key] = draw(ANY_JSON)
    return value


@st.composite
def bodies(draw: st.DrawFn, whole: Any) -> bytes:
    """The bytes of a request: mostly JSON, sometimes cut off or with a byte changed."""
    kind = draw(st.sampled_from(["damaged"] * 6 + ["json", "json", "bytes"]))
    if kind == "bytes":
        return draw(st.binary(max_size=64))
    body = bytearray(json.dumps(draw(damaged(whole) if kind == "damaged" else ANY_JSON)).encode())
    cut = draw(st.sampled_from(["", "", "", "", "cut", "byte"]))
    if body and cut == "cut":
        del body[draw(st.integers(0, len(body) - 1)) :]
    elif body and cut == "byte":
        body[draw(st.integers(0, len(body) - 1))] = draw(st.integers(0, 255))
    return bytes(body)
