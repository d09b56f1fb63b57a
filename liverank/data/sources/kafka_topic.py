"""A bounded reading of a Kafka topic: every partition from a given offset to where it ends when the reading begins."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import pyarrow as pa

from liverank.data.sources.kafka_address import PREFIX, Address, settings
from liverank.errors import ConfigError, DataError
from liverank.progress import note

CHUNK_MESSAGES: Final = 50_000
CHUNK_BYTES: Final = 64 << 20
WAIT_SECONDS: Final = 0.05
"""How long fewer than a thousand messages are waited for: the end of a topic costs that much."""
SCHEMA: Final = pa.schema(
    [("offset", pa.int64()), ("appended", pa.timestamp("us", tz="UTC")), ("value", pa.large_binary())]
)
"""Messages as they came; `appended` is the broker's clock where a topic keeps that (LogAppendTime), else null."""


@dataclass(frozen=True)
class Chunk:
    """Messages of one partition: all that there are from offset `first` to offset `last`."""

    partition: int
    first: int
    last: int
    messages: pa.Table


@dataclass
class _Partition:
    """What of a partition was read and is not yet part of a chunk."""

    first: int
    end: int
    messages: list[Any] = field(default_factory=list)
    size: int = 0
    ended: bool = False

    @property
    def next(self) -> int:
        return self.messages[-1].offset() + 1 if self.messages else self.first

    def add(self, message: Any) -> None:
        if message.offset() < self.end:
            self.messages.append(message)
            self.size += len(message.value() or b"")
        # Marks of transactions take offsets and are no messages: the end may have none before it.
        self.ended = self.ended or message.offset() >= self.end - 1


@dataclass
class Topic:
    """A connection to a topic's brokers; opening it raises a DataError where that fails."""

    address: Address
    cluster: str | None = field(init=False)
    """The cluster's own id; None where the brokers are too old to have one."""
    ends: dict[int, tuple[int, int]] = field(init=False)
    """Partition -> its first offset and the one after its last, at the opening."""

    def __post_init__(self) -> None:
        self._kafka = _library()
        self._problems: list[str] = []
        self._consumer = self._connected()
        try:
            facts = self._ask(lambda: self._consumer.list_topics(timeout=self.address.timeout))
            self.cluster = facts.cluster_id or None
            partitions = self._partitions(facts)
            self.ends = {one: self._ask(lambda one=one: self._watermarks(one)) for one in partitions}
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Leaves the brokers."""
        self._consumer.close()

    def chunks(self, starts: Mapping[int, int]) -> Iterator[Chunk]:
        """The messages from each partition's start on, up to its end at the opening; of each in order."""
        left = {one: _Partition(starts[one], end) for one, (_, end) in self.ends.items() if starts[one] < end}
        self._consumer.assign([self._place(one, part.first) for one, part in left.items()])
        heard = time.monotonic()
        while left:
            for message in self._consumer.consume(1000, WAIT_SECONDS):
                heard = time.monotonic()
                if message.partition() in left:
                    self._take(message, left[message.partition()])
            if time.monotonic() - heard > self.address.timeout:
                places = ", ".join(f"{self.address.topic}/{one} at offset {part.next:,}" for one, part in left.items())
                raise self._silence(f"the brokers fell silent, {places}")
            full = sum(part.size for part in left.values()) >= CHUNK_BYTES
            full = full or sum(len(part.messages) for part in left.values()) >= CHUNK_MESSAGES
            yield from self._full(left, full)
        self._consumer.unassign()

    def committed(self) -> dict[int, int]:
        """The group's offset of each partition that it has one for."""
        places = [self._place(partition) for partition in self.ends]
        answer = self._ask(lambda: self._consumer.committed(places, timeout=self.address.timeout))
        return {place.partition: place.offset for place in answer if place.offset >= 0}

    def commit(self, offsets: Mapping[int, int]) -> None:
        """Moves the group to these offsets; a failure is told and no more: what is landed is what counts."""
        places = [self._place(partition, offset) for partition, offset in offsets.items()]
        if not places:
            return
        try:
            self._consumer.commit(offsets=places, asynchronous=False)
        except self._kafka.KafkaException as problem:
            note(f"The group {self.address.group} could not be moved ({_said(problem)}); nothing is lost by that.")

    def _full(self, left: dict[int, _Partition], all_of_them: bool) -> Iterator[Chunk]:
        """The chunks of partitions that are at their end, or of all; those at their end are read no further."""
        for one, part in sorted(left.items()):
            if part.messages and (all_of_them or part.ended):
                first, last = part.first, part.next - 1
                yield Chunk(one, first, last, _rows(part.messages, self._kafka.TIMESTAMP_LOG_APPEND_TIME))
                part.first, part.messages, part.size = part.next, [], 0
            if part.ended:
                self._consumer.pause([self._place(one)])
                del left[one]

    def _take(self, message: Any, part: _Partition) -> None:
        problem = message.error()
        if not problem:
            part.add(message)
        elif problem.code() == self._kafka.KafkaError._PARTITION_EOF:
            part.ended = True
        elif problem.fatal() or not problem.retriable():
            raise DataError(
                f"Kafka refuses {self.address.topic}/{message.partition()}: {problem.str()}.",
                "Run again; what was landed until now stays.",
            )
        else:
            self._problems.append(problem.str())

    def _connected(self) -> Any:
        from_environment = settings(os.environ)
        log = logging.getLogger("liverank.kafka")
        log.addHandler(logging.NullHandler())  # what goes wrong is in the errors raised here
        try:
            return self._kafka.Consumer(
                {
                    "client.id": "liverank",
                    "isolation.level": "read_committed",
                    **from_environment,
                    "bootstrap.servers": self.address.brokers,
                    "group.id": self.address.group or "liverank",
                    "enable.auto.commit": False,
                    "enable.partition.eof": True,
                    "auto.offset.reset": "error",
                    "error_cb": lambda problem: self._problems.append(problem.str()),
                },
                logger=log,
            )
        except self._kafka.KafkaException as problem:
            raise ConfigError(
                f"Kafka's client refuses its settings: {_said(problem)}.", f"Mend the {PREFIX}* variables."
            ) from problem

    def _partitions(self, facts: Any) -> Sequence[int]:
        topic = facts.topics.get(self.address.topic)
        if topic is None or not topic.partitions:
            known = sorted(name for name in facts.topics if not name.startswith("_"))
            listed = f" It has {', '.join(known[:10])}." if known else ""
            raise DataError(f"{self.address.brokers} has no topic {self.address.topic}.{listed}", "Name another topic.")
        return sorted(topic.partitions)

    def _watermarks(self, partition: int) -> tuple[int, int]:
        low, high = self._consumer.get_watermark_offsets(self._place(partition), timeout=self.address.timeout)
        return low, high

    def _place(self, partition: int, offset: int = -1001) -> Any:
        return self._kafka.TopicPartition(self.address.topic, partition, offset)

    def _ask(self, question: Any) -> Any:
        try:
            return question()
        except self._kafka.KafkaException as problem:
            self._consumer.poll(0)  # delivers what error_cb has not heard yet
            raise self._silence(f"no answer within {self.address.timeout:g} s ({_said(problem)})") from problem

    def _silence(self, what: str) -> DataError:
        self._consumer.poll(0)
        heard = next((text for text in self._problems if "brokers are down" not in text), "")
        return DataError(
            f"Kafka at {self.address.brokers}: {what}{f'; {heard}' if heard else ''}.",
            f"Check the address, and {PREFIX}SECURITY_PROTOCOL and its kin if the brokers ask for TLS or a password.",
        )


def _rows(messages: list[Any], append_time: int) -> pa.Table:
    times = [message.timestamp() for message in messages]
    appended = [datetime.fromtimestamp(ms / 1000, UTC) if kind == append_time else None for kind, ms in times]
    columns = [[message.offset() for message in messages], appended, [message.value() for message in messages]]
    return pa.table([pa.array(cells, kind.type) for cells, kind in zip(columns, SCHEMA, strict=True)], schema=SCHEMA)


def _said(problem: Any) -> str:
    return str(problem.args[0].str()) if problem.args else str(problem)


def _library() -> Any:
    try:
        import confluent_kafka
    except ImportError as problem:
        raise DataError("Reading from Kafka needs confluent-kafka.", "pip install 'liverank[sources]'") from problem
    return confluent_kafka
