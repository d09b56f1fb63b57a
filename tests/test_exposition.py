"""Prometheus' text and quantiles, beside Prometheus' own parser and values worked out by hand."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from liverank.exposition import Scrape, gained, gained_buckets, quantile, read_exposition

INF = math.inf
WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


def as_prometheus_reads(text: str) -> set[tuple[str, frozenset[tuple[str, str]], str]]:
    return {
        (sample.name, frozenset(sample.labels.items()), repr(float(sample.value)))
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@given(st.lists(WORDS, min_size=1, max_size=5, unique=True), st.floats())
def test_what_prometheus_writes_is_read_as_its_own_parser_reads_it(words: list[str], number: float) -> None:
    registry = CollectorRegistry()
    counter = Counter("seen", "Words, \\ and\nlines.", ["word", "other"], registry=registry)
    for word in words:
        counter.labels(word, 'a="b",c').inc(3)
    Gauge("level", "A number.", registry=registry).set(number)
    Histogram("took", "Seconds.", registry=registry).observe(0.3)
    text = generate_latest(registry).decode()
    read = {
        (name, frozenset(labels.items()), repr(value))
        for name, samples in read_exposition(text).samples.items()
        for labels, value in samples
    }
    assert read == as_prometheus_reads(text)


def test_lines_that_are_no_sample_are_passed_over() -> None:
    assert read_exposition("<html>\n\n# a 1\na{ 1\na b\na 1 1700000000000\n").samples == {"a": [({}, 1.0)]}


def test_labels_choose_samples() -> None:
    scrape = read_exposition('a{x="1",y="1"} 1\na{x="1",y="2"} 2\na{x="2",y="2"} 4\n')
    assert (scrape.total("a"), scrape.total("a", x="1"), scrape.total("a", x="1", y="2")) == (7, 3, 2)
    assert scrape.total("b") == scrape.total("a", z="") == 0


def test_a_counter_that_began_anew_gained_what_it_shows() -> None:
    assert (gained(5, 7), gained(5, 5), gained(5, 2)) == (2, 0, 2)


@pytest.mark.parametrize(
    ("share", "buckets", "expected"),
    [
        (0.5, [(1.0, 0.0), (2.0, 4.0), (INF, 4.0)], 1.5),
        (0.0, [(1.0, 2.0), (2.0, 4.0), (INF, 4.0)], 0.0),
        (1.0, [(1.0, 2.0), (2.0, 4.0), (INF, 4.0)], 2.0),
        (0.25, [(1.0, 2.0), (2.0, 4.0), (INF, 4.0)], 0.5),
        (0.99, [(1.0, 1.0), (2.0, 1.0), (INF, 100.0)], 2.0),
        (0.5, [(1.0, 0.0), (INF, 3.0)], 1.0),
        (0.5, [(1.0, 0.0), (INF, 0.0)], None),
        (0.5, [(INF, 3.0)], None),
        (0.5, [], None),
    ],
)
def test_quantiles(share: float, buckets: list[tuple[float, float]], expected: float | None) -> None:
    assert quantile(share, buckets) == expected


@given(st.lists(st.integers(0, 9), min_size=1, max_size=8), st.floats(0, 1), st.floats(0, 1))
def test_quantiles_rise_and_stay_within_the_bounds(counts: list[int], one: float, other: float) -> None:
    total, buckets = 0, []
    for at, count in enumerate(counts):
        total += count
        buckets.append((float(at + 1), float(total)))
    buckets.append((INF, float(total)))
    low, high = quantile(min(one, other), buckets), quantile(max(one, other), buckets)
    if not total:
        assert low is high is None
        return
    assert low is not None
    assert high is not None
    assert 0 <= low <= high <= len(counts)


def test_a_histogram_between_two_scrapes() -> None:
    registry = CollectorRegistry()
    took = Histogram("took", "Seconds.", ["stage"], buckets=(1, 2), registry=registry)
    took.labels("a").observe(0.5)
    before = read_exposition(generate_latest(registry).decode())
    for stage, seconds in (("a", 1.5), ("b", 0.5), ("b", 9.0)):
        took.labels(stage).observe(seconds)
    after = read_exposition(generate_latest(registry).decode())
    assert gained_buckets(before, after, "took", stage="a") == [(1.0, 0.0), (2.0, 1.0), (INF, 1.0)]
    assert gained_buckets(before, after, "took") == [(1.0, 1.0), (2.0, 2.0), (INF, 3.0)]
    assert gained_buckets(after, before, "took", stage="a") == [(1.0, 0.0), (2.0, 1.0), (INF, 1.0)]
    assert gained_buckets(before, Scrape(), "took") == []
