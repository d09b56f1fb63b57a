"""Checks of the accepted table as a whole: against limits of the configuration, and against the runs before.

Drift is the Jensen-Shannon divergence of two distributions in base 2: 0 where they are equal, 1 where nothing is in
both. New words are counted by how often they stand in titles.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from statistics import median
from typing import Any, Final

from liverank.config import ValidationConfig
from liverank.data.languages import UNDETERMINED
from liverank.validation.profile import Profile
from liverank.validation.suites import Measure

LAST_RUNS: Final = 5
"""Accepted runs whose median number of rows a new run is compared with."""
LEAST_ROWS: Final = 50
"""Events, items or words below which shares say too little to be compared."""
_STEADY: Final = (
    "rows-steady",
    "days-steady",
    "types-steady",
    "categories-steady",
    "scripts-steady",
    "languages-steady",
    "words-known",
)
MOST_NAMED: Final = 5
"""Languages that a sentence names."""
Record = Mapping[str, Any]
Told = dict[str, Measure | str]
"""Check -> what was measured, or why there was nothing to measure."""


def jensen_shannon(one: Mapping[str, float], other: Mapping[str, float]) -> float:
    """Divergence of two distributions given as counts, in base 2.

    >>> jensen_shannon({"a": 1, "b": 1}, {"a": 5, "b": 5})
    0.0
    >>> jensen_shannon({"a": 1}, {"b": 1})
    1.0
    """
    total, others = sum(one.values()), sum(other.values())
    result = 0.0
    for key in sorted(set(one) | set(other)):
        here, there = one.get(key, 0) / total, other.get(key, 0) / others
        middle = (here + there) / 2
        result += sum(share * math.log2(share / middle) / 2 for share in (here, there) if share > 0)
    return max(0.0, min(1.0, result))


def new_words(now: Profile, before: Profile) -> tuple[float, int]:
    """Share of the occurrences of words that are of new words, and how many occurrences it judges."""
    below = min(now["words"]["below"], before["words"]["below"])
    seen = {word: count for word, count in now["words"]["words"].items() if int(word, 16) < below}
    total = sum(seen.values())
    known = before["words"]["words"]
    return sum(count for word, count in seen.items() if word not in known) / max(1, total), total


def measure(now: Profile, before: Sequence[Record], config: ValidationConfig, at: datetime) -> Told:
    """Measures every check of kinds volume and trend that needs the profile.

    Args:
        now: the profile of the data under judgment.
        before: records of the history, oldest first, those of runs that passed.
        config: the limits.
        at: the time of the run.
    """
    told = _alone(now, config, at)
    if not before:
        none = "There is no accepted run to compare with yet."
        return {**told, **dict.fromkeys(_STEADY, none)}
    reference: Profile = before[-1]["profile"]
    told["rows-steady"] = _rows(now, before, config.volume_tolerance)
    told["days-steady"] = _days(now, reference, config.volume_tolerance)
    told["types-steady"] = _drift(now["types"], reference["types"], config.max_type_drift)
    told["categories-steady"] = _drift(now["categories"], reference["categories"], config.max_category_drift)
    most = config.max_language_drift
    told["scripts-steady"] = _drift(now["scripts"], reference.get("scripts", {}), most, "items")
    told["languages-steady"] = _drift(in_a_language(now), in_a_language(reference), most, "items of a sure language")
    share, judged = new_words(now, reference)
    told["words-known"] = (
        Measure(share, most=config.max_new_words, detail=f"{share:.1%} of the words of titles are new.")
        if judged >= LEAST_ROWS and reference["words"]["words"]
        else "There are too few words to compare."
    )
    return told


def _alone(now: Profile, config: ValidationConfig, at: datetime) -> Told:
    arrivals, newest = now["arrivals"], now["newest"]
    late = arrivals["late"] / max(1, arrivals["known"])
    told: Told = {
        "days-complete": Measure(
            now["empty_days"],
            most=config.max_empty_days,
            detail=f"{now['empty_days']:,} of the days since {now['first_day']} have no interaction.",
        ),
        "events-in-time": Measure(
            late,
            most=config.max_late_share,
            detail=f"{late:.1%} arrived more than {config.late_hours:g} hours after they happened.",
        ),
        "events-fresh": "validation.max_age_days sets no limit.",
        "item-language": _foreign(now, config),
    }
    if config.max_age_days and newest is not None:
        age = at.timestamp() / 86_400 - newest / 86_400e6
        told["events-fresh"] = Measure(
            max(0.0, age), most=config.max_age_days, detail=f"The newest interaction is {age:.1f} days old."
        )
    return told


def in_a_language(profile: Profile) -> dict[str, int]:
    """Language -> items of the sample, without those whose language is not told.

    Profiles of runs before languages were told have none.
    """
    return {code: count for code, count in profile.get("languages", {}).items() if code != UNDETERMINED}


def _foreign(now: Profile, config: ValidationConfig) -> Measure | str:
    if not config.languages:
        return "validation.languages allows any."
    told = in_a_language(now)
    others = {code: count for code, count in told.items() if code not in config.languages}
    total, foreign = sum(told.values()), sum(others.values())
    if not total:
        return "The language of no item can be told."
    named = ", ".join(f"{code} {count:,}" for code, count in list(others.items())[:MOST_NAMED])
    return Measure(
        foreign / total,
        most=config.max_other_languages,
        detail=f"{foreign / total:.1%} of {total:,} items whose language is told are in another"
        f"{f' ({named})' if named else ''}; at most {config.max_other_languages:.1%} may be.",
    )


def _ratio(now: float, then: float, tolerance: float, detail: str) -> Measure:
    """Within a factor of `tolerance` up and down."""
    return Measure(now / then, least=1 / tolerance, most=tolerance, detail=detail)


def _rows(now: Profile, before: Sequence[Record], tolerance: float) -> Measure | str:
    then = median(record["profile"]["rows"] for record in before[-LAST_RUNS:])
    if not then:
        return "The last accepted runs had no rows."
    return _ratio(
        now["rows"], then, tolerance, f"{now['rows']:,} interactions; the last accepted runs had {then:,.0f}."
    )


def _days(now: Profile, reference: Profile, tolerance: float) -> Measure | str:
    """The new days but the last, which may not be over, against the days before."""
    newest = max(reference["days"], default="")
    fresh = [count for day, count in sorted(now["days"].items())[:-1] if day > newest]
    if not fresh or not reference["days"]:
        return "There is no whole day that the last accepted data did not have."
    here, there = median(fresh), median(reference["days"].values())
    return _ratio(here, there, tolerance, f"{here:,.0f} rows on a new day (median); {there:,.0f} before.")


def _drift(here: Mapping[str, int], there: Mapping[str, int], most: float, what: str = "events") -> Measure | str:
    if min(sum(here.values()), sum(there.values())) < LEAST_ROWS:
        return f"There are too few {what} to compare."
    value = jensen_shannon(here, there)
    moved = max(sorted(set(here) | set(there)), key=lambda key: abs(_share(here, key) - _share(there, key)))
    return Measure(
        value,
        most=most,
        detail=f"Divergence {value:.3f}, at most {most:g}; most moved: {moved or '(none)'} from "
        f"{_share(there, moved):.1%} to {_share(here, moved):.1%}.",
    )


def _share(counts: Mapping[str, int], key: str) -> float:
    return counts.get(key, 0) / max(1, sum(counts.values()))
