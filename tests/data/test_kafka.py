"""A topic is landed exactly once, whatever dies, on librdkafka's mock cluster and on a real broker where there is one.

The newest broker that a package registry was found to ship is Kafka 0.9: see tests/data/brokers.py.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from liverank.config.data import SourceConfig
from liverank.data.landing import Landing
from liverank.data.sources import kafka, kafka_topic
from liverank.data.sources.kafka import read, read_landed, recognises
from liverank.data.sources.kafka_address import address, settings
from liverank.data.sources.kafka_topic import Topic
from liverank.data.sources.parts import Batch, Note, Refused
from liverank.errors import ConfigError, DataError
from tests.data.brokers import Broker, mock_broker, real_broker
from tests.data.dying import dies_at

topics = (f"topic-{number}" for number in count())


@pytest.fixture(scope="module", params=["mock", "real"])
def broker(request, tmp_path_factory) -> Iterator[Broker]:
    start = mock_broker() if request.param == "mock" else real_broker(tmp_path_factory.mktemp("kafka"))
    with start as found:
        yield found


@pytest.fixture(autouse=True)
def environment(monkeypatch, request):
    if "broker" in request.fixturenames:
        for name, value in request.getfixturevalue("broker").environment().items():
            monkeypatch.setenv(name, value)


def click(number: int, **more) -> bytes:
    event = {"event_id": f"e{number}", "user_id": "u", "item_id": f"i{number}", "timestamp": "2026-03-01T12:00:00Z"}
    return json.dumps({**event, **more}).encode()


@pytest.fixture
def topic(broker) -> str:
    """A topic with 30 clicks: 10 in each of the partitions 0, 1 and 2."""
    name = next(topics)
    for partition in range(3):
        broker.produce(name, partition, *(click(10 * partition + n) for n in range(10)))
    return name


def source(broker: Broker, topic: str, **more) -> SourceConfig:
    return SourceConfig(source=f"kafka://{broker.address}/{topic}?timeout=20&group=trainer", **more)


def events(parts) -> list[str]:
    return [row["event_id"] for part in parts if isinstance(part, Batch) for row in part.rows.to_pylist()]


def by_partition(parts) -> list[str]:
    """The events, partition after partition: a topic tells how they follow each other within a partition alone."""
    return events(sorted((part for part in parts if isinstance(part, Batch)), key=lambda part: part.file))


def names(*numbers: int) -> list[str]:
    return [f"e{number}" for number in numbers]


def segments(workspace: Path, topic: str) -> list[str]:
    return sorted(path.name for path in (workspace / "landing" / f"kafka-{topic}").glob("*.parquet"))


def test_a_topic_is_landed_once_and_its_group_follows(broker, topic, tmp_path):
    config = source(broker, topic)
    assert events(read_landed(config, tmp_path)) == names(*range(30))
    assert segments(tmp_path, topic)[1] == f"{topic}-1.{0:020d}-{9:020d}.parquet"
    assert broker.committed(topic, "trainer", 3) == [10, 10, 10]
    broker.produce(topic, 1, click(100), click(101))
    assert events(read_landed(config, tmp_path)) == names(*range(20), 100, 101, *range(20, 30))
    assert segments(tmp_path, topic)[2] == f"{topic}-1.{10:020d}-{11:020d}.parquet"
    assert broker.committed(topic, "trainer", 3) == [10, 12, 10]
    assert events(read_landed(config, tmp_path)) == names(*range(20), 100, 101, *range(20, 30))
    assert by_partition(read(config)) == names(*range(20), 100, 101, *range(20, 30))


def test_what_was_landed_wins_over_the_group(broker, topic, tmp_path):
    config = source(broker, topic)
    list(read_landed(config, tmp_path / "one"))
    # A fresh workspace reads all again although the group is at the end; the group is not moved back by reading.
    assert events(read_landed(config, tmp_path / "two")) == names(*range(30))
    client = Topic(address(config.source))
    client.commit({0: 3, 1: 10})
    client.close()
    assert events(read_landed(config, tmp_path / "one")) == names(*range(30))
    assert broker.committed(topic, "trainer", 3) == [10, 10, 10]


def test_small_chunks_in_order(broker, topic, tmp_path, monkeypatch):
    monkeypatch.setattr(kafka_topic, "CHUNK_MESSAGES", 4)
    real = kafka_topic.Topic._connected

    class Few:
        """Gives three messages at a time instead of a thousand."""

        def __init__(self, consumer):
            self._consumer = consumer

        def consume(self, _, timeout):
            return self._consumer.consume(3, timeout)

        def __getattr__(self, name):
            return getattr(self._consumer, name)

    monkeypatch.setattr(kafka_topic.Topic, "_connected", lambda self: Few(real(self)))
    assert events(read_landed(source(broker, topic), tmp_path)) == names(*range(30))
    # How many messages an answer holds is the client's affair; the segments follow on each other whatever it is.
    ends = [[int(end) for end in name.split(".")[1].split("-")] for name in segments(tmp_path, topic)]
    assert len(ends) > 3
    assert all(first in (0, before[1] + 1) for before, (first, _) in zip([[0, -1], *ends], ends, strict=False))


def test_the_topic_ends_where_it_ended_at_the_start(broker, topic, tmp_path, monkeypatch):
    real = kafka_topic.Topic.__post_init__

    def late(self):
        real(self)
        broker.produce(topic, 0, click(99))

    monkeypatch.setattr(kafka_topic.Topic, "__post_init__", late)
    assert by_partition(read(source(broker, topic))) == names(*range(30))


def test_messages_of_all_kinds(broker, tmp_path):
    topic = next(topics)
    messages = [
        b'{"record": "item", "item_id": "a", "title": "\xe8\x93\x9d", "attributes": {"k": "v"}}',
        click(1, record="interaction"),
        b"{not json",
        b'{"record": "order", "order": 1}',
        b'{"user_id": "u", "attributes": {}}',
        None,
        b'["no", "object"]',
        b'{"impression_id": "m", "user_id": "u", "timestamp": "2026-03-01T12:00:00Z", "shown": '
        b'[{"item_id": "a", "position": 1}]}',
        b'{"something": "else"}',
        click(2),
    ]
    broker.produce(topic, 2, *messages)
    parts = list(read_landed(source(broker, topic), tmp_path))
    found = {part.table: part for part in parts if isinstance(part, Batch)}
    assert found["items"].rows.to_pylist() == [{"attributes": '{"k":"v"}', "item_id": "a", "title": "蓝"}]
    assert (found["interactions"].file, found["interactions"].lines.to_pylist()) == (f"{topic}/2", [1, 9])
    assert found["users"].lines.to_pylist() == [4]
    assert found["impressions"].rows["shown"].to_pylist() == ['[{"item_id":"a","position":1}]']
    (refused,) = [part.rows.to_pylist() for part in parts if isinstance(part, Refused)]
    assert [(row["file"], row["line"]) for row in refused] == [(f"{topic}/2", line) for line in (2, 3, 5, 6, 8)]
    assert refused[0]["reason"].startswith(f"the message at offset 2 of {topic}/2 is not a JSON object")
    assert refused[1]["reason"].endswith("has the record 'order', which is none of item, user, impression, interaction")
    assert refused[2]["reason"].endswith("has no value")
    assert refused[3]["row"] == '["no", "object"]'


def test_a_mapping_explains_messages(broker, tmp_path):
    topic = next(topics)
    broker.produce(
        topic,
        0,
        b'{"who": {"id": 7}, "sku": "a", "at": "2026-03-01T12:00:00Z"}',
        b'{"who": {"id": 8}, "sku": "b", "at": "2026-03-01T12:00:00Z", "eur": 2.5}',
        b'{"sku": "a"}',
    )
    mapping = {
        "interactions": {"user_id": "who.id", "item_id": "sku", "timestamp": "at", "value": "eur", "type": "verb"}
    }
    parts = list(read_landed(source(broker, topic, mapping=mapping), tmp_path))
    (batch,) = [part for part in parts if isinstance(part, Batch)]
    assert batch.rows.select(["user_id", "item_id"]).to_pylist() == [
        {"user_id": "7", "item_id": "a"},
        {"user_id": "8", "item_id": "b"},
    ]
    assert [part.text for part in parts if isinstance(part, Note)] == [
        f"{topic}/0: no message has verb, which data.mapping.interactions.type names."
    ]
    assert [part.rows["line"].to_pylist() for part in parts if isinstance(part, Refused)] == [[2]]


def test_kill_9_at_every_step(broker, topic, tmp_path, monkeypatch):
    """Dies before, within and after every write, rename and commit to the broker; the next run puts it right."""
    monkeypatch.setattr("liverank.data.landing.MOST_SEGMENTS", 3)
    deaths = 0
    for step in count(1):
        workspace = tmp_path / str(step)
        config = SourceConfig(source=f"kafka://{broker.address}/{topic}?timeout=20&group=trainer-{step}")
        more = ((kafka_topic.Topic, "commit"),)
        died = dies_at(step, lambda config=config, workspace=workspace: list(read_landed(config, workspace)), more)
        landed = segments(workspace, topic)
        assert events(read_landed(config, workspace)) == names(*range(30))
        assert set(landed) <= set(segments(workspace, topic))
        assert broker.committed(topic, f"trainer-{step}", 3) == [10, 10, 10]
        deaths += died
        if not died:
            break
    assert deaths == 2 + 1 + 3 * 5 + 1


def test_a_topic_made_anew_and_one_of_another_name_are_refused(broker, topic, tmp_path):
    list(read_landed(source(broker, topic, name="shop"), tmp_path))
    other = next(topics)
    broker.produce(other, 0, click(1))
    with pytest.raises(DataError, match=r"Give each source its own data\.name"):
        list(read_landed(source(broker, other, name="shop"), tmp_path))
    folder = tmp_path / "landing" / "kafka-shop"
    shutil.copy(folder / f"{topic}-0.{0:020d}-{9:020d}.parquet", folder / f"{topic}-0.{10:020d}-{19:020d}.parquet")
    with pytest.raises(DataError, match=rf"{topic}/0 ends at offset 10, but 20 were landed"):
        list(read_landed(source(broker, topic, name="shop"), tmp_path))


def test_what_retention_took_is_said(broker, topic, tmp_path, monkeypatch):
    config = source(broker, topic)
    list(read_landed(config, tmp_path))
    broker.produce(topic, 0, click(50), click(51))
    real = kafka_topic.Topic._watermarks

    def later(self, partition):
        low, high = real(self, partition)
        return (max(low, 11) if partition == 0 else low), high

    monkeypatch.setattr(kafka_topic.Topic, "_watermarks", later)
    parts = list(read_landed(config, tmp_path))
    assert events(parts) == names(*range(10), 51, *range(10, 30))
    (said,) = [part.text for part in parts if isinstance(part, Note)]
    assert said == f"{topic}-0: the messages from offset 10 to 10 were deleted by Kafka before they could be read."


def test_a_topic_that_is_not_there(broker, topic):
    with pytest.raises(DataError, match=rf"has no topic nothing\. It has .*{topic}|has no topic nothing"):
        list(read(source(broker, "nothing")))


def test_no_broker(tmp_path):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        config = SourceConfig(source=f"kafka://127.0.0.1:{listener.getsockname()[1]}/t?timeout=1")
        with pytest.raises(
            DataError, match=r"Kafka at 127\.0\.0\.1:\d+: no answer within 1 s .*; .*Connection refused"
        ):
            list(read_landed(config, tmp_path))
    assert not list((tmp_path / "landing" / "kafka-t").glob("*.parquet"))


def test_a_broker_that_dies_meanwhile(tmp_path, monkeypatch):
    """What was landed stays, the first part of each partition; the error says where it stopped."""
    monkeypatch.setenv("LIVERANK_KAFKA_MAX_PARTITION_FETCH_BYTES", "2000")
    monkeypatch.setenv("LIVERANK_KAFKA_QUEUED_MIN_MESSAGES", "1")
    monkeypatch.setattr(kafka_topic, "CHUNK_MESSAGES", 5)
    with mock_broker() as broker:
        broker.produce("t", 0, *(click(n, context={"long": "x" * 1000}) for n in range(2000)))
        config = SourceConfig(source=f"kafka://{broker.address}/t?timeout=2")
        chunks = Topic.chunks

        def cut(self, starts):
            for chunk in chunks(self, starts):
                yield chunk
                broker.stop()

        monkeypatch.setattr(Topic, "chunks", cut)
        with pytest.raises(DataError, match=r"the brokers fell silent, t/0 at offset \d+"):
            list(read_landed(config, tmp_path))
    landing = Landing(tmp_path / "landing" / "kafka-t", kafka_topic.SCHEMA)
    offsets = [offset for one in landing.segments() for offset in landing.read(one)["offset"].to_pylist()]
    assert offsets == list(range(len(offsets)))
    assert 0 < len(offsets) < 2000


@pytest.mark.parametrize(
    "wrong",
    ["kafka://", "kafka://b:9092", "kafka:///t", "kafka://u:secret@b/t", "kafka://b/t?x=1", "kafka://b/t?timeout=soon"],
)
def test_addresses_that_say_too_little_or_too_much(wrong):
    with pytest.raises(ConfigError, match="kafka://broker:9092/topic") as refused:
        address(wrong)
    assert "secret" not in str(refused.value)


def test_addresses():
    found = address("kafka://a:9092,b:9092/clicks?group=g")
    assert (found.brokers, found.topic, found.group, found.timeout) == ("a:9092,b:9092", "clicks", "g", 30.0)
    assert recognises(SourceConfig(source="kafka://a/t"))
    assert not recognises(SourceConfig(source="s3://a/t"))


def test_security_settings_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("LIVERANK_KAFKA_SASL_USERNAME", "me")
    monkeypatch.setenv("LIVERANK_KAFKA_SASL_PASSWORD", "hidden-word")
    monkeypatch.setenv("LIVERANK_KAFKA_SECURITY_PROTOCOL", "SASL_PLAINTEXT")
    monkeypatch.setenv("LIVERANK_KAFKA_SASL_MECHANISMS", "PLAIN")
    found = settings(os.environ)
    assert found["sasl.password"] == "hidden-word"
    with mock_broker() as broker, pytest.raises(DataError) as refused:
        # The mock cluster knows no SASL: the handshake fails, and the password is in no message.
        list(read(SourceConfig(source=f"kafka://{broker.address}/t?timeout=1")))
    assert "hidden-word" not in str(refused.value)
    monkeypatch.setenv("LIVERANK_KAFKA_GROUP_ID", "x")
    with pytest.raises(ConfigError, match=r"LIVERANK_KAFKA_GROUP_ID cannot be set\. Instead, set .group="):
        settings(os.environ)


def test_a_setting_that_kafka_does_not_know(monkeypatch):
    monkeypatch.setenv("LIVERANK_KAFKA_SASL_PASWORD", "hidden-word")
    with pytest.raises(ConfigError, match=r"sasl\.pasword") as refused:
        list(read(SourceConfig(source="kafka://127.0.0.1:1/t?timeout=1")))
    assert "hidden-word" not in str(refused.value)


def test_the_format_lands(tmp_path):
    assert kafka.FORMAT.read_landed is read_landed
