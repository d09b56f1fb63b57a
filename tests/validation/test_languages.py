"""Languages and scripts of items: what the configuration expects, and what the last accepted data had."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from liverank.errors import ConfigError
from tests.validation.conftest import Judged, Tables, clean
from tests.validation.test_trends import many, run

Judge = Callable[..., Judged]
TITLES = {
    "en": ["Red running shoes for women", "Garden chair with cushion", "Learn to play the guitar"],
    "de": ["Rote Laufschuhe für Damen", "Gartenstuhl mit Kissen", "Holzspielzeug für Kleinkinder"],
    "zh": ["女士红色跑步鞋", "带坐垫的花园椅", "我们为什么要睡觉"],
    "": ["Nike Air Max 90", "LEGO 75192", "XL", "🔥🔥", "12 / 34"],
}
STEADY = ("scripts-steady", "languages-steady")


def titled(titles: Iterable[str | None]) -> Tables:
    """Twenty clicks on each of four days, on items of one category with these titles."""
    tables = many(4, 20)
    tables["items"] = [
        {"item_id": f"i{n}", "title": title, "category": "a", "attributes": []} for n, title in enumerate(titles)
    ]
    return tables


def written(**counts: int) -> Tables:
    """Items with so many titles in each language; `names` are in none."""
    chosen = {"" if code == "names" else code: count for code, count in counts.items()}
    return titled(TITLES[code][n % len(TITLES[code])] for code, count in chosen.items() for n in range(count))


def detail(judged: Judged, name: str) -> str:
    (check,) = [check for check in judged.result.checks if check.name == name]
    return check.detail


def last_profile(folder: Path) -> dict[str, int]:
    # Runs of one instant have names in no order.
    newest = max((folder / "history").glob("*.json"), key=lambda path: path.stat().st_mtime_ns)
    return dict(json.loads(newest.read_text(encoding="utf-8"))["profile"]["languages"])


def test_items_in_another_language_are_warned_of(judge: Judge) -> None:
    tables = written(en=80, de=15, zh=5, names=50)
    assert judge(tables).not_passed() == {}
    assert judge(tables, languages=["en", "de", "zh"]).not_passed() == {}
    judged = judge(tables, languages=["en", "zh"])
    assert judged.not_passed() == {"item-language": "warn"}
    # What has no sure language counts for none: of 100, not of 150.
    assert detail(judged, "item-language") == (
        "15.0% of 100 items whose language is told are in another (de 15); at most 5.0% may be."
    )
    assert "Gartenstuhl mit Kissen" in judged.page
    assert "15 failing" in judged.page
    assert judge(tables, languages=["en", "zh"], max_other_languages=0.15).not_passed() == {}
    stopped = judge(tables, languages=["en"], severities={"item-language": "stop"})
    assert not stopped.result.ok


def test_names_and_numbers_are_in_no_language(judge: Judge) -> None:
    judged = judge(written(names=60), languages=["zh"])
    assert judged.not_passed() == {}
    assert detail(judged, "item-language") == "The language of no item can be told."


def test_a_language_that_nobody_can_tell_is_a_mistake(judge: Judge) -> None:
    for wrong in ("english", "EN", "zh-CN"):
        with pytest.raises(ConfigError, match=f"validation.languages: there is no '{wrong}'"):
            judge(clean(), languages=[wrong])
    with pytest.raises(ConfigError, match="cannot be 'set-aside': it judges the table"):
        judge(clean(), severities={"item-language": "set-aside"})


@pytest.mark.parametrize("title", ["", None, "🔥🛋️", "مصباح أحمر", "\u202eabc\u202c", "e\u0301" * 500])
def test_whatever_stands_in_a_title_is_judged(judge: Judge, title: str | None) -> None:
    tables = clean()
    tables["items"][0]["title"] = title
    judged = judge(tables, languages=["en", "zh"])
    assert judged.outcome("languages-steady") == ("pass", 0)
    assert judged.result.ok


def test_another_language_of_the_same_script_is_noticed(tmp_path: Path) -> None:
    first = run(tmp_path, "one", written(en=100, names=20))
    assert first.not_passed() == {}
    assert "no accepted run" in detail(first, "languages-steady")
    judged = run(tmp_path, "two", written(en=80, de=20, names=20), max_new_words=1)
    assert judged.not_passed() == {"languages-steady": "warn"}
    assert "most moved: de from 0.0% to 20.0%" in detail(judged, "languages-steady")
    assert "German (de)" in judged.page
    assert "undetermined" in judged.page


def test_another_script_is_noticed_even_where_no_language_is_sure(tmp_path: Path) -> None:
    run(tmp_path, "one", titled(["Nike Air Max 90"] * 100))
    judged = run(tmp_path, "two", titled(["Nike Air Max 90"] * 80 + ["ქართ"] * 20), max_new_words=1)
    assert judged.not_passed() == {"scripts-steady": "warn"}
    assert "most moved: other from 0.0% to 20.0%" in detail(judged, "scripts-steady")


@pytest.mark.parametrize(
    "later",
    [
        {"en": 60, "zh": 40},
        {"en": 75, "zh": 55, "names": 30},
        # More names and article numbers than before are no change of language.
        {"en": 60, "zh": 40, "names": 15},
        {"en": 57, "zh": 40, "de": 3},
    ],
)
def test_about_the_same_languages_are_steady(tmp_path: Path, later: dict[str, int]) -> None:
    run(tmp_path, "one", written(en=60, zh=40))
    judged = run(tmp_path, "two", written(**later))
    assert not {*STEADY} & {*judged.not_passed()}
    assert last_profile(tmp_path).get("", 0) == later.get("names", 0)


def test_few_sure_titles_say_too_little_for_a_change(tmp_path: Path) -> None:
    run(tmp_path, "one", written(en=40, names=60))
    judged = run(tmp_path, "two", written(de=40, names=60), max_new_words=1)
    assert judged.not_passed() == {}
    assert detail(judged, "languages-steady") == "There are too few items of a sure language to compare."


def test_a_past_that_told_no_languages_is_no_reference_for_them(tmp_path: Path) -> None:
    run(tmp_path, "one", written(en=60))
    (record,) = (tmp_path / "history").glob("*.json")
    old = json.loads(record.read_text(encoding="utf-8"))
    del old["profile"]["languages"]
    record.write_text(json.dumps(old), encoding="utf-8")
    judged = run(tmp_path, "two", written(de=60), max_new_words=1)
    assert judged.not_passed() == {}
    assert "German (de)" in judged.page


def test_items_set_aside_speak_for_no_language(tmp_path: Path) -> None:
    tables = written(en=60, de=30)
    for row in tables["items"][60:]:
        row["item_id"] = ""
    run(tmp_path, "one", tables)
    assert last_profile(tmp_path) == {"en": 60}
