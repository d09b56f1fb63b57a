"""Prometheus' text format, as servers tell their metrics: https://prometheus.io/docs/instrumenting/exposition_formats/."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

Labels = Mapping[str, str]

_SAMPLE: Final = re.compile(r"([a-zA-Z_:][\w:]*)(?:\{(.*)\})? +(\S+)(?: +-?\d+)?", re.DOTALL)
_LABEL: Final = re.compile(r'([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"', re.DOTALL)
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Scrape:
    """All samples of one answer by name, each with its labels."""

    samples: Mapping[str, Sequence[tuple[Labels, float]]] = field(default_factory=dict)

    def of(self, name: str, **labels: str) -> Iterator[tuple[Labels, float]]:
        """The samples of a name that have these labels, and perhaps others."""
        for found, value in self.samples.get(name, ()):
            if labels.items() <= found.items():
                yield found, value

    def total(self, name: str, **labels: str) -> float:
        """Their sum; 0 for none."""
        return sum(value for _, value in self.of(name, **labels))


def read_exposition(text: str) -> Scrape:
    r"""Reads what a server answers; lines that are no sample are passed over.

    >>> dict(read_exposition('# TYPE a counter\na_total{of="x\\"y"} 2.0\n').samples)
    {'a_total': [({'of': 'x"y'}, 2.0)]}
    """
    samples: dict[str, list[tuple[Labels, float]]] = {}
    for line in text.split("\n"):
        found = None if line.startswith("#") else _SAMPLE.fullmatch(line.strip())
        if found is None:
            continue
        name, labels, value = found.groups()
        try:
            number = float(value)
        except ValueError:
            continue
        samples.setdefault(name, []).append(({key: _plain(of) for key, of in _LABEL.findall(labels or "")}, number))
    return Scrape(samples)


def _plain(value: str) -> str:
    return _ESCAPED.sub(lambda found: "\n" if found[1] == "n" else found[1], value)


def gained(before: float, after: float) -> float:
    """What a counter gained; one that is smaller than before has begun anew, with its server."""
    return after - before if after >= before else after


def gained_buckets(before: Scrape, after: Scrape, name: str, **labels: str) -> list[tuple[float, float]]:
    """A histogram's (upper bound, what was counted up to it) between two scrapes, all that have the labels summed."""
    bounds: dict[float, float] = {}
    former = {tuple(sorted(of.items())): value for of, value in before.of(f"{name}_bucket", **labels)}
    for of, value in after.of(f"{name}_bucket", **labels):
        bound = float(of["le"])
        bounds[bound] = bounds.get(bound, 0.0) + gained(former.get(tuple(sorted(of.items())), 0.0), value)
    return sorted(bounds.items())


def quantile(share: float, buckets: Sequence[tuple[float, float]]) -> float | None:
    """The value below which a share of what was counted lies, evenly spread within a bucket; None where nothing was.

    As Prometheus' `histogram_quantile`: what lies beyond the last finite bound counts as that bound, and the first
    bucket begins at 0.

    Args:
        share: 0 to 1.
        buckets: (upper bound, count up to it), ascending, the last bound infinite.

    >>> quantile(0.5, [(1.0, 2.0), (3.0, 6.0), (float("inf"), 6.0)])
    1.5
    """
    if len(buckets) < 2 or not buckets[-1][1]:
        return None
    rank = share * buckets[-1][1]
    lower, below = 0.0, 0.0
    for bound, count in buckets[:-1]:
        if count >= rank and count > below:
            return lower + (bound - lower) * (rank - below) / (count - below)
        lower, below = bound, count
    return lower
