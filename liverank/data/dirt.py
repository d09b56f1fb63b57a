"""Dirty rows for the synthetic data, so that validation has something real to find; each kind is counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from liverank import columns as c
from liverank.data.catalogue import Floats, Ints
from liverank.data.dataset import REJECTED_SCHEMA, rejected_rows
from liverank.data.synthetic_settings import DirtShares

HOUR: Final = 3_600_000_000
TEN_YEARS: Final = 10 * 365 * 24 * HOUR
KINDS: Final = tuple(DirtShares.model_fields)
_HOPELESS: Final = ("no_user", "broken_field")
"""Rows that the contract cannot express: they join the rejected rows."""


class Dirt:
    """Soils the world's tables as they stream by; which rows depends on their numbers alone, not on how they come."""

    def __init__(self, shares: DirtShares, seed: int) -> None:
        self.shares, self._seed = shares, seed
        self.counts: Counter[str] = Counter()
        self.rejected: list[pa.Table] = []
        self.ahead: list[pa.Table] = []
        """Interactions of the future, which come after all others."""

    @property
    def any(self) -> bool:
        """Whether there is anything to do."""
        return any(self.shares.model_dump().values())

    def items(self, table: pa.Table) -> pa.Table:
        """The items and the dirty ones beside them."""
        parts = [table]
        for kind, soil in _ITEMS.items():
            rows, fresh, _ = self._picked(kind, table, np.arange(table.num_rows))
            parts.append(soil(_replace(rows, c.ITEM_ID, fresh)))
        return pa.concat_tables([part.cast(table.schema) for part in parts])

    def impressions(self, table: pa.Table, numbers: Ints) -> pa.Table:
        """The impressions and the dirty ones beside them; `numbers` names the rows."""
        parts = [table]
        for kind, soil in (("position_gap", _with_gap), ("bad_propensity", _with_bad_propensity)):
            rows, fresh, _ = self._picked(kind, table, numbers)
            if rows.num_rows:
                parts.append(_replace(rows, c.IMPRESSION_ID, fresh).set_column(3, table.schema.field(3), soil(rows)))
        return pa.concat_tables([part.cast(table.schema) for part in parts])

    def interactions(self, table: pa.Table, numbers: Ints) -> pa.Table:
        """The interactions, some arriving late, and the dirty ones beside them; `numbers` names the rows."""
        parts = [self._delayed(table, numbers)]
        for kind in ("duplicate", *_INTERACTIONS):
            rows, fresh, _ = self._picked(kind, parts[0], numbers)
            if kind == "duplicate":
                parts.append(rows)
            elif rows.num_rows:
                soiled = _INTERACTIONS[kind](_replace(rows, c.EVENT_ID, fresh)).cast(table.schema)
                (self.ahead if kind == "future" else parts).append(soiled)
        for kind in _HOPELESS:
            self._reject(kind, *self._picked(kind, table, numbers))
        return pa.concat_tables(parts)

    def _picked(self, kind: str, table: pa.Table, numbers: Ints) -> tuple[pa.Table, pa.Array, Ints]:
        """The rows that are to be soiled, new ids for them, and their numbers."""
        share = getattr(self.shares, kind)
        here = np.flatnonzero(chances(self._seed, kind, numbers) < share) if share else np.empty(0, np.int64)
        self.counts[kind] += len(here)
        text = pa.array(numbers[here]).cast(pa.string())
        fresh = pc.binary_join_element_wise("dirt", kind.replace("_", "-"), text, "-")
        return table.take(pa.array(here)), fresh, numbers[here]

    def _delayed(self, table: pa.Table, numbers: Ints) -> pa.Table:
        """The rows with the time at which they arrive: late ones after 1 to 72 hours, overtaken ones in 5 minutes."""
        if not (self.shares.late or self.shares.out_of_order):
            return table
        late = chances(self._seed, "late", numbers) < self.shares.late
        overtaken = ~late & (chances(self._seed, "out_of_order", numbers) < self.shares.out_of_order)
        self.counts.update(late=int(late.sum()), out_of_order=int(overtaken.sum()))
        draw = chances(self._seed, "delay", numbers)
        wait = np.where(late, HOUR * 72.0**draw, 1 + draw * HOUR / 12).astype(np.int64)
        time = table.column(c.TIMESTAMP).cast(pa.int64()).to_numpy() + wait
        arrival = pa.array(time, table.schema.field(c.RECEIVED_AT).type, mask=~(late | overtaken))
        return _replace(table, c.RECEIVED_AT, arrival)

    def _reject(self, kind: str, rows: pa.Table, fresh: pa.Array, numbers: Ints) -> None:
        if not rows.num_rows:
            return
        rows = _replace(rows, c.EVENT_ID, fresh).drop_columns([c.CONTEXT])
        if kind == "no_user":
            raw, reason = _replace(rows, c.USER_ID, pa.nulls(rows.num_rows, pa.string())), f"{c.USER_ID} is missing"
            self.rejected.append(rejected_rows("interactions", raw, pa.repeat(pa.scalar(reason), rows.num_rows)))
            return
        even = pa.array(numbers % 2 == 0)
        words, times = rows.filter(even), rows.filter(pc.invert(even))
        words = _replace(words, c.VALUE, pa.repeat(pa.scalar("many"), words.num_rows))
        cut = pc.utf8_slice_codeunits(pc.strftime(times.column(c.TIMESTAMP), "%Y-%m-%dT%H:%M"), 0, 13)
        for name, raw in ((c.VALUE, words), (c.TIMESTAMP, _replace(times, c.TIMESTAMP, cut))):
            if raw.num_rows:
                reason = "is not a number" if name == c.VALUE else "is not a time"
                reasons = pc.binary_join_element_wise(name, raw.column(name), reason, " ").combine_chunks()
                self.rejected.append(rejected_rows("interactions", raw, reasons))

    def refused(self) -> pa.Table:
        """The rejected rows so far, which are then forgotten."""
        found, self.rejected = self.rejected, []
        return pa.concat_tables([REJECTED_SCHEMA.empty_table(), *found])

    def told(self) -> dict[str, int]:
        """How many rows of each kind there are, kinds without any left out."""
        return {kind: self.counts[kind] for kind in KINDS if self.counts[kind]}


def chances(seed: int, kind: str, numbers: Ints) -> Floats:
    """A number in [0, 1) for each row by its number: the same however the rows are cut (SplitMix64's finaliser)."""
    salt = (seed * 0x9E3779B97F4A7C15 + (KINDS.index(kind) if kind in KINDS else len(KINDS)) + 1) % 2**64
    z = numbers.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(salt * 0xD1342543DE82EF95 % 2**64)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        z = (z ^ (z >> np.uint64(shift))) * np.uint64(factor)
    z ^= z >> np.uint64(31)
    return np.asarray((z >> np.uint64(11)).astype(np.float64) / 2.0**53)


def _constant(name: str, value: object) -> Callable[[pa.Table], pa.Table]:
    return lambda rows: _replace(rows, name, pa.repeat(pa.scalar(value), rows.num_rows))


def _unknown_item(rows: pa.Table) -> pa.Table:
    return _replace(rows, c.ITEM_ID, pc.replace_substring(rows.column(c.ITEM_ID), "item", "gone"))


def _future(rows: pa.Table) -> pa.Table:
    return _replace(rows, c.TIMESTAMP, pc.add(rows.column(c.TIMESTAMP), pa.scalar(TEN_YEARS, pa.duration("us"))))


def _empty(rows: pa.Table) -> pa.Table:
    return _constant(c.TEXT, "")(_constant(c.TITLE, "")(rows))


def _cut(rows: pa.Table) -> pa.Table:
    texts = [text[: max(1, len(text) // 2)] for text in rows.column(c.TEXT).to_pylist()]
    return _replace(rows, c.TEXT, pa.array(texts, pa.string()))


def _garbled(rows: pa.Table) -> pa.Table:
    for name in (c.TITLE, c.TEXT):
        # The dash makes sure that every text has something to garble.
        texts = [f"{text} \N{EN DASH}".encode().decode("latin-1") for text in rows.column(name).to_pylist()]
        rows = _replace(rows, name, pa.array(texts, pa.string()))
    return rows


def _with_gap(rows: pa.Table) -> pa.Array:
    """The lists without their second line, whose position is then missing."""
    return _lists(rows, lambda lines: [line for line in lines if line[c.POSITION] != 2])


def _with_bad_propensity(rows: pa.Table) -> pa.Array:
    """The lists with a propensity of 0 on top and of 1.5 below."""
    return _lists(rows, lambda lines: [line | {c.PROPENSITY: 0.0 if n == 0 else 1.5} for n, line in enumerate(lines)])


def _lists(rows: pa.Table, soil: Callable[[list[dict[str, object]]], list[dict[str, object]]]) -> pa.Array:
    column = rows.column(c.SHOWN)
    return pa.array([soil(lines) for lines in column.to_pylist()], column.type)


def _replace(rows: pa.Table, name: str, values: pa.Array | pa.ChunkedArray) -> pa.Table:
    return rows.set_column(rows.column_names.index(name), name, values)


_INTERACTIONS: Final = {
    "unknown_item": _unknown_item,
    "future": _future,
    "unknown_type": _constant(c.TYPE, "hover"),
    "negative_value": _constant(c.VALUE, -1.0),
}
_ITEMS: Final = {"empty_text": _empty, "cut_text": _cut, "bad_encoding": _garbled}
