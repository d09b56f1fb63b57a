"""The files of the parts that are missing: the rows of a frame, sorted and parted by their day."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

import pyarrow as pa

from liverank.features.engine import Engine, F, Frame, staged
from liverank.features.parts import Part, PartStore

_PART = "part"


class PartFiles:
    """Writes what is computed for the missing parts into a store."""

    def __init__(self, engine: Engine, store: PartStore, days: Sequence[int], missing: Sequence[Part]) -> None:
        self.engine, self.store, self.missing = engine, store, missing
        self._of_days = engine.rows(pa.table(_parts_of(days, missing)))

    def prepared(self, kind: str, frame: Frame, day: str, order: Sequence[str]) -> Callable[[], None]:
        """What computes the frame and writes each part's rows; parts without a row get an empty file.

        It may be called in another thread, while the engine computes other things.

        Args:
            kind: of the files.
            frame: rows of all missing parts.
            day: column with the day that tells the part; left out of the files unless they are sorted by it.
            order: columns that the rows of a file are sorted by.
        """
        names = [name for name in frame.columns if name != day or day in order]
        frame = staged(frame)
        placed = frame.join(self._of_days, F.col("of_day") == F.col(day)).select(*names, _PART)
        nothing = self.engine.arrow(frame.select(*names).limit(0))
        return partial(self._write, kind, self.engine.groups(staged(placed), _PART, order, kind), nothing)

    def _write(self, kind: str, groups: Iterator[tuple[int, pa.Table]], nothing: pa.Table) -> None:
        left = dict(enumerate(self.missing))
        # One part is written while the next one is sorted.
        with ThreadPoolExecutor(1) as writer:
            last: Future[None] | None = None
            for at, rows in groups:
                _ = last and last.result()
                last = writer.submit(self.store.write, kind, left.pop(at), rows)
            _ = last and last.result()
        for part in left.values():
            self.store.write(kind, part, nothing)


def _parts_of(days: Sequence[int], missing: Sequence[Part]) -> dict[str, list[int]]:
    inside = [(day, at) for at, part in enumerate(missing) for day in days if part.first <= day <= part.last]
    return {"of_day": [day for day, _ in inside], _PART: [at for _, at in inside]}
