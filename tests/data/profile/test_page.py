"""The page: complete in itself, safe, and silent about who."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from html.parser import HTMLParser

import pytest
from typer.testing import CliRunner

from liverank.cli.data_command import app
from liverank.data.profile.numbers import duration, powers, share, short, ticks
from liverank.data.profile.page import page
from liverank.data.profile.run import profile
from liverank.errors import ConfigError, DataError, OutputError
from tests.conftest import real_data
from tests.data.profile.folder import at, event, figures, folder, item, shown
from tests.data.writing import clicks_csv

NOW = datetime(2026, 4, 1, tzinfo=UTC)
EVIL = "<script>alert('x')</script>\"&"


class Reader(HTMLParser):
    """Collects elements and checks that they are closed in order."""

    VOID = frozenset({"meta"})

    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.attributes, self.said = [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]

    def handle_data(self, data):
        self.said.append(data)


def check(text):
    """Well-formed, and without a way to load or run anything."""
    found = Reader(text)
    assert found.open == []
    assert not {"script", "link", "img", "iframe", "object", "embed", "base", "form"} & set(found.tags)
    assert not {"src", "href", "action", "data", "srcset"} & {name for _, name, _ in found.attributes}
    assert not any(name.startswith("on") for _, name, _ in found.attributes)
    assert not re.search(r"url\(|@import|https?:|//[a-z]", text)
    assert not re.search(r"\b(nan|inf)\b", re.sub(r"<style>.*</style>", "", text))
    return found


def test_the_synthetic_world(world):
    found = check(page(profile(world), NOW))
    said = " ".join(found.said)
    for title in (
        "When things happen",
        "Clicks by position",
        "Propensities",
        "Concentration",
        "Likely bots",
        "Scripts",
        "Languages",
    ):
        assert title in said
    assert "synthetic data" in said
    assert not re.search(r"user-\d", page(profile(world), NOW))


def test_the_real_shop(tmp_path):
    source = real_data("uci-online-retail/online_retail.parquet")
    out = tmp_path / "uci.html"
    done = CliRunner().invoke(app, ["report", str(source), "--out", str(out)], catch_exceptions=False)
    assert done.exit_code == 0
    text = out.read_text(encoding="utf-8")
    check(text)
    assert "No shown list was logged." in text
    assert "17850" not in re.sub(r'"[^"]*"', "", text)  # its first customer


def test_text_of_the_source_is_text(tmp_path):
    names = [EVIL, "مصباح", "🛋️ sofa", "x" * 5000]
    records = [
        *(item(f"i{at}", name, category=name) for at, name in enumerate(names)),
        shown("l", ["i0", "i1"], surface=EVIL),
        event("u", "i0", kind=EVIL[:60], impression_id="l"),
    ]
    path = folder(tmp_path / "evil", *records, source=EVIL, origin=EVIL)
    found = check(page(profile(path), NOW))
    assert any(EVIL in said for said in found.said)
    assert any("مصباح" in said for said in found.said)


@pytest.mark.parametrize(
    "records",
    [
        [],
        [item("a")],
        [event("u", "a")],
        [shown("l", ["a"])],
        [shown("l", []), event("u", "a", impression_id="l")],
        [shown("l", ["a", "b"], propensities=[0.5, 1.0]), event("u", "a", impression_id="l")],
        [item("a"), event("u", "a"), event("u", "a", at(days=365 * 900))],
    ],
)
def test_next_to_nothing_is_a_page_too(tmp_path, records):
    check(page(figures(tmp_path, *records), NOW))


def test_nobody_is_named(tmp_path):
    events = [event("secret-person", "a", at(seconds=3 * n), session_id="secret-visit") for n in range(400)]
    path = folder(tmp_path, item("a", "Lamp"), *events)
    found = profile(path)
    assert found["bots"]["users"] == 1
    assert "secret" not in json.dumps(found) + page(found, NOW)


def test_any_source_from_the_command_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    source = clicks_csv(tmp_path / "clicks.csv", "u,a,2026-01-31T12:00:00Z", "v,a,2026-02-01T13:00:00Z")
    done = CliRunner().invoke(app, ["report", str(source)], catch_exceptions=False)
    assert done.exit_code == 0
    assert "Wrote report.html: 2 interactions." in done.stdout
    check((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clicks.csv", "report.html"]
    asked = CliRunner().invoke(app, ["report", str(source), "--json"], catch_exceptions=False)
    assert json.loads(asked.stdout[asked.stdout.index("{") :])["tables"]["interactions"]["rows"] == 2


def told(*arguments):
    done = CliRunner().invoke(app, ["report", *arguments, "--json"], catch_exceptions=False)
    return json.loads(done.stdout[done.stdout.index("{") :])["tables"]["interactions"]


def test_a_source_that_needs_a_mapping_is_read_as_configured(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = "Größe;wer;was;wann\ngroß;u;a;2026-01-31T12:00:00\nklein;v;b;2026-01-31T13:00:00\n"
    (tmp_path / "log.csv").write_text(text, encoding="cp1252")
    clicks_csv(tmp_path / "more.csv", "w,a,2026-02-01T13:00:00Z")
    mapping = "mapping: {interactions: {user_id: wer, item_id: was, timestamp: wann}}"
    (tmp_path / "liverank.yaml").write_text(
        f"data:\n  source: log.csv\n  encoding: cp1252\n  timezone: Asia/Shanghai\n  {mapping}\n"
        "  sources: [{source: more.csv}]\n"
    )
    assert told()["rows"] == 3
    alone = {"rows": 2, "first": "2026-01-31T04:00:00+00:00", "last": "2026-01-31T05:00:00+00:00"}
    assert told("log.csv") == alone
    assert told("log.csv", "--timezone", "UTC")["first"] == "2026-01-31T12:00:00+00:00"
    assert told("more.csv")["rows"] == 1
    (tmp_path / "liverank.yaml").rename(tmp_path / "own.yaml")
    assert told("log.csv", "-c", "own.yaml", "--format", "contract") == alone
    (tmp_path / "own.yaml").write_text(f"data: {{{mapping}}}")
    assert told("log.csv", "-c", "own.yaml", "--encoding", "cp1252", "--timezone", "Asia/Shanghai") == alone
    with pytest.raises(ConfigError, match="no source to report on"):
        told()


@pytest.mark.parametrize(
    ("arguments", "problem", "said"),
    [
        (["absent.csv"], DataError, "absent.csv"),
        (["clicks.csv", "--out", "."], OutputError, "is a folder"),
        (["clicks.csv", "--out", "clicks.csv/where.html"], OutputError, "cannot be made or written"),
        (["clicks.csv", "--timezone", "Mars"], ConfigError, "Mars"),
        (["clicks.csv", "--memory", "plenty"], ConfigError, "amount of memory"),
    ],
)
def test_what_a_user_can_mend_is_one_line(tmp_path, monkeypatch, arguments, problem, said):
    monkeypatch.chdir(tmp_path)
    clicks_csv(tmp_path / "clicks.csv", "u,a,2026-01-31T12:00:00Z")
    with pytest.raises(problem, match=said):
        CliRunner().invoke(app, ["report", *arguments], catch_exceptions=False)
    assert not (tmp_path / "report.html").exists()


@pytest.mark.parametrize(
    ("value", "said"),
    [(0, "0"), (7, "7"), (950, "950"), (1234, "1.2k"), (2000, "2k"), (3.4e6, "3.4M"), (250_000, "250k"), (0.5, "0.5")],
)
def test_short_numbers(value, said):
    assert short(value) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(None, "–"), (0, "0 s"), (0.25, "0.25 s"), (45, "45 s"), (90, "1.5 min"), (7200, "2 h"), (373 * 86_400, "373 d")],
)
def test_durations(seconds, said):
    assert duration(seconds) == said


def test_shares_never_round_to_none_or_all():
    assert share(0, 10) == "0.0 %"
    assert share(1, 100_000) == "0.001 %"
    assert share(99_999, 100_000) != "100.0 %"
    assert share(1, 1) == "100.0 %"
    assert share(1, 0) == "–"


@pytest.mark.parametrize("largest", [0, 1e-9, 0.3, 1, 7, 99, 100, 101, 12_345, 1e12])
def test_ticks_reach_the_largest(largest):
    found = ticks(largest)
    assert found[0] == 0
    assert found[-1] >= largest
    assert 2 <= len(found) <= 6
    assert powers(1, max(largest, 2))[-1] >= largest
