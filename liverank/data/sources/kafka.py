"""A Kafka topic of JSON records: landed once and for all with a workspace, read as far as the broker has it without."""

from __future__ import annotations

import json
import os
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Final
from urllib.parse import quote

from liverank.config.data import SourceConfig
from liverank.data.landing import DRAFT, Landing, Segment, flush
from liverank.data.mapping import check
from liverank.data.sources.kafka_address import address
from liverank.data.sources.kafka_messages import message_parts
from liverank.data.sources.kafka_topic import SCHEMA, Topic
from liverank.data.sources.parts import Format, Note, Parts
from liverank.errors import DataError
from liverank.progress import note, stage

SCHEME: Final = "kafka://"
MARK: Final = "topic.json"


def recognises(config: SourceConfig) -> bool:
    """Whether the source is a Kafka address."""
    return config.source.startswith(SCHEME)


def read(config: SourceConfig) -> Parts:
    """All that the broker still has of the topic now; no group is moved.

    Raises:
        DataError: the brokers cannot be reached or stop answering, or there is no such topic.
    """
    check(config.mapping)
    with closing(Topic(address(config.source))) as topic:
        for chunk in topic.chunks({partition: first for partition, (first, _) in topic.ends.items()}):
            yield from message_parts(chunk.messages, f"{topic.address.topic}/{chunk.partition}", config)


def read_landed(config: SourceConfig, workspace: Path) -> Parts:
    """Lands what the topic has gained since the last run, then reads all that was ever landed.

    Raises:
        DataError: as `read`; the landing is damaged; or it is of another topic or cluster.
    """
    check(config.mapping)
    place = address(config.source)
    landing = Landing(workspace / "landing" / f"kafka-{quote(config.name or place.topic, safe='')}", SCHEMA)
    with landing.writing(), closing(Topic(place)) as topic:
        land_topic(topic, landing)
    with landing.reading():
        yield from (Note(text) for text in _holes(landing))
        for segment in landing.segments():
            name, _, partition = segment.stream.rpartition("-")
            yield from message_parts(landing.read(segment), f"{name}/{partition}", config)


def land_topic(topic: Topic, landing: Landing) -> int:
    """Lands the new messages and then, segment by segment, moves the group; returns the number of new messages.

    What was landed says where to go on. The group's offsets are for those who watch it: they are put right first.
    """
    _check_mark(topic, landing)
    streams = {partition: f"{topic.address.topic}-{partition}" for partition in topic.ends}
    cursors = {partition: landing.cursor(stream) for partition, stream in streams.items()}
    landed = {partition: cursor + 1 for partition, cursor in cursors.items() if cursor is not None}
    starts = {partition: _start(topic, partition, landed.get(partition)) for partition in topic.ends}
    group = bool(topic.address.group)
    if group:
        known = topic.committed()
        topic.commit({partition: offset for partition, offset in landed.items() if known.get(partition) != offset})
    count = 0
    total = sum(end - starts[partition] for partition, (_, end) in topic.ends.items())
    with stage(f"land {topic.address.topic}", total=total) as progress:
        for chunk in topic.chunks(starts):
            landing.land(Segment(streams[chunk.partition], chunk.first, chunk.last), chunk.messages)
            if group:
                topic.commit({chunk.partition: chunk.last + 1})
            count += chunk.messages.num_rows
            progress.advance(chunk.last - chunk.first + 1)
    landing.compact()
    return count


def _start(topic: Topic, partition: int, landed: int | None) -> int:
    first, end = topic.ends[partition]
    if landed is None:
        return first
    if landed > end:
        raise DataError(
            f"{topic.address.topic}/{partition} ends at offset {end:,}, but {landed:,} were landed of it before: the "
            "topic was made anew.",
            "Give data.name another name to land the new topic beside the old one, or delete the old landing folder.",
        )
    if landed < first:
        note(f"{topic.address.topic}/{partition}: Kafka deleted {first - landed:,} messages before they were read.")
    return max(landed, first)


def _check_mark(topic: Topic, landing: Landing) -> None:
    """A landing is of one topic of one cluster: offsets of another one mean something else."""
    mark = landing.folder / MARK
    own = {"topic": topic.address.topic, "cluster": topic.cluster}
    if mark.exists():
        old = json.loads(mark.read_text(encoding="utf-8"))
        if old["topic"] != own["topic"] or (old["cluster"] and own["cluster"] and old["cluster"] != own["cluster"]):
            raise DataError(
                f"{landing.folder} has the topic {old['topic']} of the Kafka cluster {old['cluster']}, and now it "
                f"should be {own['topic']} of {own['cluster']}.",
                "Give each source its own data.name.",
            )
        return
    draft = mark.with_name(mark.name + DRAFT)
    draft.write_text(json.dumps(own), encoding="utf-8")
    flush(draft)
    os.replace(draft, mark)
    flush(landing.folder)


def _holes(landing: Landing) -> list[str]:
    """What retention took before it was landed, by the segments' names."""
    segments = landing.segments()
    return [
        f"{one.stream}: the messages from offset {one.last + 1:,} to {two.first - 1:,} were deleted by Kafka before "
        "they could be read."
        for one, two in pairwise(segments)
        if one.stream == two.stream and one.last + 1 < two.first
    ]


FORMAT: Final = Format(
    "kafka", "a Kafka topic of JSON records (kafka://broker:9092/topic)", recognises, read, read_landed
)
