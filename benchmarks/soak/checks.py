"""What a soak has to show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from benchmarks.soak.memory import SEEN_MIB_AN_HOUR, Memory, Slope
from benchmarks.soak.traffic import RANK, Tally
from liverank.events import Interaction

MOST_NAMED: Final = 5


class Verdict(StrEnum):
    """What a check comes to."""

    PASSED = "passed"
    FAILED = "failed"
    CANNOT_TELL = "cannot tell"
    """The soak was too short to say; it does not fail for that."""


@dataclass(frozen=True)
class Check:
    """One of them."""

    name: str
    verdict: Verdict
    found: str

    @classmethod
    def of(cls, name: str, passed: bool, found: str) -> Check:
        """One that can always tell."""
        return cls(name, Verdict.PASSED if passed else Verdict.FAILED, found)

    @property
    def passed(self) -> bool:
        """Whether it shows what it has to."""
        return self.verdict is Verdict.PASSED

    @property
    def failed(self) -> bool:
        """Whether it shows the contrary."""
        return self.verdict is Verdict.FAILED


def requests_check(tally: Tally) -> Check:
    """No request failed otherwise than the contract says."""
    told = "; ".join(f"{count} times {what}" for what, count in tally.failed.most_common(MOST_NAMED))
    found = told or f"none of {tally.sent.total():,}"
    return Check.of("failed requests, but for refusals that the contract names", not tally.failed, found)


def rankings_check(tally: Tally) -> Check:
    """Rankings go on whatever the store does: none is refused for it."""
    refused = {what: count for what, count in tally.refusals.items() if what.startswith(RANK) and "store" in what}
    return Check.of("rankings refused for the store", not refused, str(sum(refused.values())))


def events_check(tally: Tally, kept: Mapping[str, Sequence[Interaction]]) -> Check:
    """Every acknowledged event is there, once, as it was sent, and no other event is.

    Args:
        tally: what was acknowledged, and what may or may not be there.
        kept: user -> the events that the store holds.
    """
    found = [event for events in kept.values() for event in events]
    times = Counter(event.event_id for event in found)
    there = {event.event_id: event for event in found}
    wrong = {
        "lost": tally.acknowledged.keys() - there.keys(),
        "doubled": {name for name, count in times.items() if count > 1},
        "altered": {name for name, sent in tally.acknowledged.items() if name in there and there[name] != sent},
        "never sent": there.keys() - tally.acknowledged.keys() - tally.unknown,
    }
    told = ", ".join(f"{len(names)} {what} ({', '.join(sorted(names)[:2])})" for what, names in wrong.items() if names)
    right = f"{len(tally.acknowledged):,} there as they were sent"
    return Check.of("acknowledged events", not any(wrong.values()), told or right)


def swaps_check(wanted: int, troubles: Sequence[str], done: int) -> Check:
    """Each swap brought the version that was promoted before it to every server that was up."""
    found = "; ".join(troubles[:MOST_NAMED]) or f"{done} of {wanted}"
    return Check.of("swaps of the model", not troubles and done == wanted, found)


def faults_check(tally: Tally) -> Check:
    """The faults met requests: a soak whose Redis and servers fell while nobody asked shows nothing."""
    refused = sum(count for what, count in tally.refusals.items() if "store" in what)
    lacking = sum(count for why, count in tally.degraded.items() if "store" in why)
    found = f"{tally.unreachable:,} met the killed server, {refused + lacking:,} the store that was away"
    return Check.of("requests that met the faults", tally.unreachable > 0 and refused + lacking > 0, found)


def memory_check(memory: Memory, found: Slope | None) -> Check:
    """Memory does not grow by more than chance, and chance leaves room for little.

    A growth that stands out fails however wide the interval is.
    """
    name = f"memory of {memory.name}"
    if found is None:
        return Check(name, Verdict.CANNOT_TELL, "too few samples")
    told = f"{found.estimate:+.1f} MiB an hour ({found.low:+.1f} to {found.high:+.1f})"
    if found.grows:
        return Check(name, Verdict.FAILED, told)
    if not found.tells:
        return Check(name, Verdict.CANNOT_TELL, f"{told}; {SEEN_MIB_AN_HOUR:.0f} would not stand out")
    return Check(name, Verdict.PASSED, told)
