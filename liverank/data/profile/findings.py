"""What an engineer should know before training, told from the figures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from liverank.data.languages import NAMES
from liverank.data.profile.numbers import duration, exact, many, share

Finding = dict[str, str]
Figures = Mapping[str, Any]
_FAR: Final = (("events", "event", "events"), ("lists", "shown list", "shown lists"))
_ENOUGH_TEXTS: Final = 50


def findings(figures: Figures) -> list[Finding]:
    """`[{kind, text, do}]`: `mend` (spoils a model), `mind` (decide something), `know`; the gravest first."""
    found = [*_rows(figures), *_times(figures), *_lists(figures), *_items(figures), *_users(figures)]
    return sorted(found, key=lambda one: ("mend", "mind", "know").index(one["kind"]))


def _say(kind: str, text: str, do: str) -> Finding:
    return {"kind": kind, "text": text, "do": do}


def _rows(figures: Figures) -> Iterator[Finding]:
    tables = figures["tables"]
    events, refused = tables["interactions"]["rows"], tables["rejected"]["rows"]
    if not events:
        yield _say("mend", "There is no interaction.", "Training needs events: user_id, item_id, timestamp[, type].")
    total = refused + sum(tables[name]["rows"] for name in ("items", "users", "impressions", "interactions"))
    if refused > 0.01 * total:
        reason = figures["refused"][0]
        yield _say(
            "mend" if refused > 0.2 * total else "mind",
            f"{share(refused, total)} of the rows were refused, most because: {reason['reason']}.",
            "See the reasons at the end of this page; rejected.parquet has the rows.",
        )


def _times(figures: Figures) -> Iterator[Finding]:
    points, left = figures["volume"]["points"], figures["volume"]["left"]
    if left["events"] or left["lists"]:
        what = [many(left[name], *words) for name, *words in _FAR if left[name]]
        alone = left["events"] + left["lists"] == 1
        yield _say(
            "mend",
            f"{' and '.join(what)} {'lies' if alone else 'lie'} far from all others in time ({left['first'][:10]}"
            f"{'' if alone else ' to ' + left['last'][:10]}).",
            "A wrong clock or dirt? The charts over time leave that out; validation can set such times aside.",
        )
    if mere := _mere_dates(figures):
        yield _say(
            "mind",
            f"{mere} of the events lie in one hour of the day: the times look like mere dates.",
            "Order within a day is unknown, so sessions and transitions inside it mean little.",
        )
    empty = [point for point in points if not sum(point["types"])]
    if len(points) >= 7 and len(empty) > 0.1 * len(points):
        unit = figures["volume"]["bucket"]
        yield _say(
            "mind",
            f"{len(empty)} of {len(points)} {unit}s {'has' if len(empty) == 1 else 'have'} no event at all.",
            "Is a part missing?",
        )
    late = figures["late"]
    if late["told"] and late["seconds"]["p99"] is not None and late["seconds"]["p99"] > 3600:
        yield _say(
            "mind",
            f"One event in a hundred arrives {duration(late['seconds']['p99'])} late or later.",
            "Features use it from its arrival on; close a day only after that long.",
        )
    if late["early"]:
        early = many(late["early"], "event arrived before it", "events arrived before they")
        yield _say("mend", f"{early} happened.", "Clocks differ: mend them.")


def _mere_dates(figures: Figures) -> str:
    """Share of the events in the busiest hour of the day where that is nearly all of them."""
    by_hour = [sum(row[hour] for row in figures["week"]) for hour in range(24)]
    return share(max(by_hour), sum(by_hour)) if max(by_hour) > 0.9 * sum(by_hour) else ""


def _lists(figures: Figures) -> Iterator[Finding]:
    found = figures["exposure"]
    if not found["lists"]:
        if figures["tables"]["interactions"]["rows"]:
            yield _say("mind", "No shown list was logged.", "Evaluation is on sampled candidates; log impressions.")
        return
    answered = found["answered"]
    if answered["lost"]:
        yield _say(
            "mend",
            f"{share(answered['lost'], answered['events'])} of the events name a list that is not there.",
            "Bring the impressions of the same span.",
        )
    if answered["linked"] < 0.5 * answered["events"]:
        yield _say(
            "mind",
            f"Only {share(answered['linked'], answered['events'])} of the events say which list they answer.",
            "Clicks by position and the funnel count those alone; send impression_id with events.",
        )
    propensity, position = found["propensity"], found["position"]
    if not position:
        yield _say("mend", "The logged lists are all empty.", "Log what was shown: item_id and position of each line.")
        return
    if propensity["broken"]:
        yield _say(
            "mend",
            f"{many(propensity['broken'], 'propensity is', 'propensities are')} not in (0, 1].",
            "Log the chance with which the line was picked for its position.",
        )
    if not propensity["told"]:
        yield _say("mind", "Lists carry no propensities.", "A later ranker can only be evaluated with bias.")
    elif propensity["min"] < 1e-4:
        yield _say(
            "mind",
            f"Propensities go down to {propensity['min']:.1g}.",
            "Counterfactual estimates need clipping; a floor under exploration helps.",
        )
    if position["power"]:
        yield _say(
            "know",
            f"Lists in random order show position bias: clicks fall with position to the power of "
            f"−{position['power']['value']:.2f}.",
            "An unbiased curve: use it to weigh clicks.",
        )


def _items(figures: Figures) -> Iterator[Finding]:
    items, texts = figures["items"], figures["texts"]
    events = figures["tables"]["interactions"]["rows"]
    if items["unknown_events"]:
        yield _say(
            "mend" if items["unknown_events"] > 0.05 * events else "mind",
            f"{share(items['unknown_events'], events)} of the events are on "
            f"{many(items['unknown_items'], 'item', 'items')} that the catalogue lacks.",
            "Validation sets them aside unless it is told otherwise.",
        )
    if items["catalogue"] and items["untouched"] > 0.3 * items["catalogue"]:
        yield _say(
            "know",
            f"{share(items['untouched'], items['catalogue'])} of the catalogue has no event.",
            "Only its text can rank it.",
        )
    if texts["items"] and texts["without_words"] > 0.02 * texts["items"]:
        yield _say(
            "mind",
            f"{share(texts['without_words'], texts['items'])} of the items have neither title nor text.",
            "Language models have nothing to read there.",
        )
    yield from _tongues(texts["languages"])
    if texts["items"] and not figures["categories"]["categories"]:
        yield _say("know", "No item has a category.", "Caps and diversity by category have nothing to hold on to.")
    if items["active"] and items["top_shares"]["1%"] > 0.3:
        yield _say(
            "mind",
            f"The top 1 % of the items has {share(items['top_shares']['1%'], 1)} of the events.",
            "Judge a ranker against popularity, and by slices.",
        )
    late = figures["unseen"][len(figures["unseen"]) // 2 :]
    new, total = sum(row["items"] for row in late), sum(row["n"] for row in late)
    if len(figures["unseen"]) > 6 and new > 0.1 * total:
        yield _say(
            "mind",
            f"{share(new, total)} of the later half's events are on items first seen in the same unit of time "
            f"({figures['volume']['bucket']}).",
            "Ids alone cannot rank those: lean on text, and retrain often.",
        )


def _tongues(found: Figures) -> Iterator[Finding]:
    sure = found["looked_at"] - found["undetermined"]
    others = [row for row in found["told"] if row["code"] != "en"]
    foreign = sum(row["n"] for row in others)
    if sure >= _ENOUGH_TEXTS and foreign > 0.1 * sure:
        named = ", ".join(NAMES[row["code"]] for row in others[:3])
        yield _say(
            "mind",
            f"{share(foreign, sure)} of the texts whose language is told are not English ({named}"
            f"{' ...' if len(others) > 3 else ''}).",
            "The default language model reads English; name a multilingual one in training.language_model.",
        )


def _users(figures: Figures) -> Iterator[Finding]:
    users, bots = figures["users"], figures["bots"]
    events = figures["tables"]["interactions"]["rows"]
    if bots["users"]:
        yield _say(
            "mend" if bots["events"] > 0.05 * events else "mind",
            f"{many(bots['users'], 'user looks like a bot and has', 'users look like bots and have')} "
            f"{share(bots['events'], events)} of the events.",
            "Validation can set such users aside.",
        )
    yield from _visits(figures)
    if users["active"] and users["once"] > 0.5 * users["active"]:
        yield _say(
            "mind",
            f"{share(users['once'], users['active'])} of the users have one event only.",
            "For them everything hangs on the session and the context.",
        )


def _visits(figures: Figures) -> Iterator[Finding]:
    visits = figures["sessions"]
    gaps, sessions = visits["gaps"], visits["events"]["n"]
    # Two quantiles that are the same to the microsecond: all gaps between them are.
    same = gaps["n"] >= 100 and gaps["p50"] == gaps["p90"] and gaps["p50"] % 1 == 0
    # Mere dates, of which another finding speaks, are whole days apart.
    if same and not (gaps["p50"] % 86_400 == 0 and _mere_dates(figures)):
        yield _say(
            "mind",
            f"Four gaps in ten or more between a user's events are {exact(int(gaps['p50']))} exactly: those times were "
            "made up or rounded.",
            "Their order may hold; sessions, hours and the rule for bots do not.",
        )
    if visits["several"] > 0.1 * sessions and visits["at_once"] >= 0.9 * visits["several"]:
        yield _say(
            "know",
            "Nine in ten sessions of several events are one instant: events come in baskets.",
            "What happens within a session cannot be learned here; from basket to basket it can.",
        )
    elif sessions >= 10 and visits["several"] <= 0.1 * sessions:
        yield _say(
            "know",
            "Nine sessions in ten are a single event.",
            "There is little to learn within a session; from one to the next there is.",
        )
