"""Where a Kafka topic is: brokers, topic and group from the source's address, security from the environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

from liverank.errors import ConfigError

PREFIX: Final = "LIVERANK_KAFKA_"
OWN: Final = {
    "group.id": "set ?group= in the source",
    "bootstrap.servers": "name the brokers in the source",
    **dict.fromkeys(("enable.auto.commit", "auto.offset.reset", "enable.partition.eof"), "leave it out"),
}
"""librdkafka's properties that the source decides itself, and what to do instead."""


@dataclass(frozen=True)
class Address:
    """`kafka://broker:9092,broker:9092/topic?group=name&timeout=30`."""

    brokers: str
    topic: str
    group: str
    """Consumer group whose offsets follow what was landed; empty: none."""
    timeout: float
    """Seconds to wait for an answer of the brokers."""


def address(source: str) -> Address:
    """Reads a source's address.

    Raises:
        ConfigError: it names no broker or topic, or has an option that means nothing.
    """
    parts = urlsplit(source)
    options = dict(parse_qsl(parts.query))
    unknown = sorted(set(options) - {"group", "timeout"})
    topic = unquote(parts.path).strip("/")
    try:
        seconds = float(options.get("timeout", 30))
    except ValueError:
        unknown, seconds = ["timeout"], 0.0
    if "@" in parts.netloc or not parts.netloc or not topic or "/" in topic or unknown:
        raise ConfigError(
            "A Kafka source is written kafka://broker:9092/topic?group=name&timeout=30"
            + (f", without {unknown[0]}={options[unknown[0]]}." if unknown else "."),
            f"User and password go into the environment: {PREFIX}SASL_USERNAME and {PREFIX}SASL_PASSWORD.",
        )
    return Address(parts.netloc, topic, options.get("group", ""), seconds)


def settings(environment: Mapping[str, str]) -> dict[str, str]:
    """librdkafka's properties from `LIVERANK_KAFKA_*`: SASL_USERNAME is sasl.username.

    Raises:
        ConfigError: one of them is not the user's to set.
    """
    found = {name[len(PREFIX) :].lower().replace("_", "."): name for name in environment if name.startswith(PREFIX)}
    for key in OWN:
        if key in found:
            raise ConfigError(f"{found[key]} cannot be set.", f"Instead, {OWN[key]}.")
    return {key: environment[name] for key, name in found.items()}
