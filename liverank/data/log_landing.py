"""Keeps the landing of the live store's log equal to the log: new records in, erased users out."""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.compute as pc

from liverank import columns as c
from liverank.data.landing import DRAFT, Landing, Segment, flush
from liverank.data.log_pages import ARRIVED, SEQUENCE, instant, pages
from liverank.progress import note, stage

if TYPE_CHECKING:
    from liverank.store import Erasure, LiveStore

OF_USERS: Final = ("interactions", "impressions", "users")
ERASED_FILE: Final = "erased.json"
READER_FILE: Final = "reader"
COMPARED: Final = 100
"""Records at a segment's end by which it is known to be of this log."""


def land_log(store: LiveStore, landing: Landing) -> int:
    """Makes the landing equal to the log: new records in, erased users out; returns the number of new records."""
    stream = f"log-{store.identity()}"
    _drop_what_the_log_is_not(store, landing, stream)
    landed, since = 0, landing.cursor(stream) or 0
    tell_of_trimmed(store, since)
    # What was landed before this run began, and so in a workspace that outlives runs: the store may let go of it.
    store.acknowledge(f"landing {_reader(landing)}", since)
    with stage("land the live store's log") as progress:
        for page in pages(store, since):
            last = page[SEQUENCE][-1].as_py()
            landing.land(Segment(stream, since + 1, last), page)
            since, landed = last, landed + page.num_rows
            progress.advance(page.num_rows)
    # After the last page: what was read of a user before the erasure is landed by now.
    _forget(landing, store.erasures())
    landing.compact()
    return landed


def tell_of_trimmed(store: LiveStore, since: int) -> None:
    """Says where the log no longer has what comes after a cursor."""
    if since < store.trimmed():
        note(
            f"The live store has removed interactions and impressions up to number {store.trimmed():,} from its log "
            "(store.log_records), and not all of them were read here before: this data lacks them."
        )


def _reader(landing: Landing) -> str:
    """A name that no other landing has, and that this one keeps."""
    file = landing.folder / READER_FILE
    if not file.exists():
        draft = file.with_name(file.name + DRAFT)
        draft.write_text(secrets.token_hex(6), encoding="utf-8")
        flush(draft)
        os.replace(draft, file)
    return file.read_text(encoding="utf-8")


def _drop_what_the_log_is_not(store: LiveStore, landing: Landing, stream: str) -> None:
    """The store may be another one now, or an older copy put back: the landing follows it, from what both agree on."""
    foreign = [segment for segment in landing.segments() if segment.stream != stream]
    if foreign:
        note("The live store is another one than was landed before: its log is landed anew.")
        (landing.folder / ERASED_FILE).unlink(missing_ok=True)
        landing.drop(foreign)
    end = store.cursor()
    for segment in reversed(landing.segments(stream)):
        if segment.last <= end and _agrees(store, landing, segment):
            return
        note("The live store's log differs from what was landed of it: the last part is landed anew.")
        landing.drop([segment])


def _agrees(store: LiveStore, landing: Landing, segment: Segment) -> bool:
    """Whether the latest landed records, as far as the log still holds them, arrived when the log says."""
    rows = landing.read(segment, [SEQUENCE, ARRIVED])
    tail = rows.slice(max(0, rows.num_rows - COMPARED))
    if not tail.num_rows:
        return True
    landed = dict(zip(tail[SEQUENCE].to_pylist(), tail[ARRIVED].to_pylist(), strict=True))
    log = store.export_arrivals(min(landed) - 1, COMPARED)
    return all(landed.get(sequence, instant(at)) == instant(at) for sequence, at, _ in log)


def _forget(landing: Landing, erasures: list[Erasure]) -> None:
    """Takes erased users out of the segments; the mark of how far that got is written last, so it is done again."""
    mark = landing.folder / ERASED_FILE
    new = erasures[_applied(mark, erasures) :]
    if not new:
        return
    limits = {erasure.user: erasure.sequence for erasure in new}
    taken = sum(_forget_in(landing, segment, limits) for segment in landing.segments())
    note(f"{len(new):,} users were erased since the last run: {taken:,} of their records left the landing.")
    draft = mark.with_name(mark.name + DRAFT)
    draft.write_text(json.dumps(asdict(erasures[-1])), encoding="utf-8")
    flush(draft)
    os.replace(draft, mark)
    flush(landing.folder)


def _applied(mark: Path, erasures: list[Erasure]) -> int:
    """How many of the erasures were applied; none where the mark is of another store's."""
    if not mark.exists():
        return 0
    last = json.loads(mark.read_text(encoding="utf-8"))
    return next((at for at, erasure in enumerate(erasures, 1) if asdict(erasure) == last), 0)


def _forget_in(landing: Landing, segment: Segment, limits: dict[str, int]) -> int:
    from liverank.store import user_hash

    if segment.first > max(limits.values()):
        return 0
    rows = landing.read(segment, [SEQUENCE, *(f"{name}.{c.USER_ID}" for name in OF_USERS)])
    users = pc.coalesce(*(pc.struct_field(rows[name], [c.USER_ID]) for name in OF_USERS)).combine_chunks()
    codes = users.dictionary_encode()
    last = pa.array([limits.get(user_hash(user), 0) for user in codes.dictionary.to_pylist()], pa.int64())
    erased = pc.less_equal(rows[SEQUENCE], pc.fill_null(last.take(codes.indices), 0))
    count = int(pc.sum(erased).as_py() or 0)
    if count:
        landing.land(segment, landing.read(segment).filter(pc.invert(erased)))
    return count
