"""What KServe's logger tells: pairs joined into impressions, in any order, however often; nothing vanishes."""

from __future__ import annotations

import base64
import json
import random
from datetime import UTC, datetime

import msgspec
import pytest
from cloudevents.conversion import to_binary, to_structured
from cloudevents.http import CloudEvent
from hypothesis import given, settings
from hypothesis import strategies as st

from liverank.config.data import SourceConfig
from liverank.data.cloudevents import REQUEST, RESPONSE, from_http, from_json
from liverank.data.collect import collect
from liverank.data.inference_pseudonyms import pseudonymous
from liverank.data.sources.registry import format_of
from liverank.errors import DataError
from liverank.events import from_table
from liverank.pseudonyms import Pseudonyms
from tests.data.reading import lines, read, reasons, refused, told

AT = "2026-03-02T10:00:00.123456789Z"
MOMENT = datetime(2026, 3, 2, 10, 0, 0, 123457, UTC)
ASKED = {
    "user_id": "anna", "candidates": ["a", {"item_id": "b", "score": 0.5}, "c"], "session_id": "s", "surface": "home",
    "context": {"device": "tv"}, "k": 2,
}  # fmt: skip
ANSWER = {
    "impression_id": "i1", "model_version": "3", "degraded": ["texts: 1"], "timing_ms": {"total": 1},
    "ranking": [{"item_id": "c", "score": 2.0, "position": 1}, {"item_id": "b", "score": 1.0, "position": 2}],
}  # fmt: skip
LINE = ANSWER["ranking"][0]
V2_ASKED = {
    "inputs": [
        {"name": "user_id", "shape": [1], "datatype": "BYTES", "data": ["anna"]},
        {"name": "candidates", "shape": [1, 3], "datatype": "BYTES", "data": [["a", "b", "c"]]},
    ],
    "parameters": {"session_id": "s", "surface": "home", "k": 2},
}
V2_ANSWER = {
    "model_name": "liverank", "model_version": "3", "id": "x",
    "parameters": {"impression_id": "i1", "degraded": "texts: 1; deadline", "experiment": "spring", "variant": "new"},
    "outputs": [
        {"name": "item_id", "shape": [2], "datatype": "BYTES", "data": ["c", "b"]},
        {"name": "score", "shape": [2], "datatype": "FP32", "data": [2.0, 1.0]},
    ],
}  # fmt: skip


def event(kind, number, data, **more):
    """As KServe's agent makes it."""
    attributes = {
        "type": kind, "source": "http://localhost:9081/", "id": str(number), "time": AT, "component": "predictor",
        "inferenceservicename": "ranker", "namespace": "rec", "endpoint": "", "recordedtime": AT,
        "metadata": "{}", "datacontenttype": "application/json", **more,
    }  # fmt: skip
    return CloudEvent(attributes, data)


def pair(number, request=ASKED, response=ANSWER):
    return event(REQUEST, number, request), event(RESPONSE, number, response)


def own(number):
    """A pair with an impression of its own."""
    return pair(number, ASKED, {**ANSWER, "impression_id": f"i{number}"})


def log(path, *events):
    return lines(path, *(to_structured(one)[1].decode() for one in events))


def shown(dataset):
    return from_table(dataset.tables["impressions"], "impressions")


def test_a_request_and_its_response_are_an_impression(tmp_path):
    source = log(tmp_path / "log.jsonl", *pair(1))
    assert told(source) == "cloudevents"
    (found,) = shown(read(source))
    assert (found.impression_id, found.user_id, found.session_id, found.surface) == ("i1", "anna", "s", "home")
    assert (found.timestamp, found.context) == (MOMENT, {"device": "tv"})
    assert (found.model_version, found.degraded, found.experiment_arm) == ("3", ["texts: 1"], None)
    assert [(line.item_id, line.position, line.score, line.propensity) for line in found.shown] == [
        ("c", 1, 2.0, 1.0), ("b", 2, 1.0, 1.0),
    ]  # fmt: skip
    assert [(line.incoming_position, line.incoming_score) for line in found.shown] == [(3, None), (2, 0.5)]


def test_v1_gives_an_impression_for_each_instance(tmp_path):
    visitor = {"candidates": ["a"], "context": {"timestamp": "2026-03-01T12:00:00+08:00"}}
    other = {
        "impression_id": "i2",
        "ranking": [{"item_id": "a", "score": 0.0, "position": 1}],
        "user_id": "anonymous-1",
    }
    source = log(tmp_path / "log", *pair(1, {"instances": [ASKED, visitor]}, {"predictions": [ANSWER, other]}))
    first, second = shown(read(source))
    assert (first.impression_id, first.user_id) == ("i1", "anna")
    assert (second.impression_id, second.user_id) == ("i2", "anonymous-1")
    assert (second.timestamp, second.context) == (datetime(2026, 3, 1, 4, tzinfo=UTC), {})


def test_v2_tensors(tmp_path):
    (found,) = shown(read(log(tmp_path / "log", *pair(1, V2_ASKED, V2_ANSWER))))
    assert (found.user_id, found.session_id, found.surface) == ("anna", "s", "home")
    assert [(line.item_id, line.propensity, line.incoming_position) for line in found.shown] == [
        ("c", None, 3), ("b", None, 2),
    ], "v2 does not tell whether lines were drawn"  # fmt: skip
    assert found.degraded == ["texts: 1", "deadline"]
    assert (found.experiment_arm.name, found.experiment_arm.variant) == ("spring", "new")


def test_interleaved_and_drawn_lines(tmp_path):
    ranking = [{**line, "variant": name} for line, name in zip(ANSWER["ranking"], ("new", "control"), strict=True)]
    duel = {**ANSWER, "ranking": ranking, "experiment": "duel"}
    drawn = {**ANSWER, "impression_id": "i2", "ranking": [{**ANSWER["ranking"][0], "propensity": 0.25}]}
    one, two = shown(read(log(tmp_path / "log", *pair(1, ASKED, duel), *pair(2, ASKED, drawn))))
    assert (one.experiment_arm.variant, one.experiment_arm.teams) == ("", ["new", "control"])
    assert [line.propensity for line in one.shown] == [None, None]
    assert [line.propensity for line in two.shown] == [0.25]


@pytest.mark.parametrize("seed", range(3))
def test_any_order_and_any_number_of_deliveries(tmp_path, seed):
    events = [half for number in range(30) for half in own(number)]
    expected = shown(read(log(tmp_path / "plain", *events)))
    draw = random.Random(seed)
    again = events + draw.sample(events, 20)
    draw.shuffle(again)
    folder = tmp_path / "shuffled"
    folder.mkdir()
    log(folder / "1.jsonl", *again[:25])
    log(folder / "2.jsonl", *again[25:])
    found = read(folder)
    assert {one.impression_id: one for one in shown(found)} == {one.impression_id: one for one in expected}
    assert len(shown(found)) == 30
    assert found.notes == ["20 events were delivered more than once, and count once."]
    assert refused(found) == []


def test_what_is_alone_is_told(tmp_path):
    (early, _), (_, late) = own(1), own(2)
    found = read(log(tmp_path / "log", *own(0), early, late))
    assert [one.impression_id for one in shown(found)] == ["i0"]
    assert refused(found) == [("impressions", "log", 4, "the response 2 has no request in this log")]
    (note,) = found.notes
    assert note.startswith("1 requests have no response, beside 1 that have")


def test_a_line_that_is_being_written_is_left_for_the_next_time(tmp_path):
    source = log(tmp_path / "log", *own(0), *own(1))
    whole = source.read_bytes()
    for end in (len(whole) - 2, whole.rindex(b"{") - 40, whole.rindex(b"\n", 0, -1) + 1 + 1):
        source.write_bytes(whole[:end])
        found = read(source)
        assert [one.impression_id for one in shown(found)] == ["i0"]
        assert refused(found) == []
        assert [note[:26] for note in found.notes if "no response" not in note] == ["1 files end within a line,"]
    source.write_bytes(whole)
    found = read(source)
    assert ([one.impression_id for one in shown(found)], found.notes) == (["i0", "i1"], [])


@pytest.mark.parametrize("end", [b"", b"\r", b"\r\n"])
def test_a_whole_last_line_counts_whatever_its_end(tmp_path, end):
    source = log(tmp_path / "log", *own(0))
    source.write_bytes(source.read_bytes().removesuffix(b"\n") + end)
    found = read(source)
    assert ([one.impression_id for one in shown(found)], found.notes) == (["i0"], [])
    source.write_bytes(source.read_bytes() + (b"" if end else b"\n") + b"{" + (end or b"\n"))
    assert [line for _, _, line, _ in refused(read(source))] == [3], "a line with an end is no longer written"


def test_components_of_one_request_are_pairs_of_their_own(tmp_path):
    """A transformer before the predictor passes the id on."""
    outer = [event(kind, 1, data, component="transformer") for kind, data in ((REQUEST, ASKED), (RESPONSE, ANSWER))]
    found = read(log(tmp_path / "log", *outer, *pair(1, ASKED, {**ANSWER, "impression_id": "inner"})))
    assert [one.impression_id for one in shown(found)] == ["i1", "inner"]


def test_an_id_that_a_client_uses_twice_is_told(tmp_path):
    other = event(REQUEST, 1, {**ASKED, "user_id": "ben"})
    found = read(log(tmp_path / "log", *pair(1), other))
    assert [one.user_id for one in shown(found)] == ["anna"]
    assert reasons(found) == {"The id 1 was used before, for another request.": 1}


@pytest.mark.parametrize(
    ("request_", "response", "why"),
    [
        ({"events": []}, ANSWER, "It asks for no ranking"),
        (ASKED, {"accepted": 1}, "It gives no ranking"),
        ({**ASKED, "candidates": []}, ANSWER, "In the request: Expected `array` of length >= 1"),
        ({**ASKED, "candidates": ["a"]}, ANSWER, "The response shows 'c', which is no candidate"),
        ({**ASKED, "user_id": None}, ANSWER, "Neither the request nor the response names a user."),
        ({**ASKED, "context": {"timestamp": "noon"}}, ANSWER, "In context.timestamp"),
        ({"instances": [ASKED] * 2}, {"predictions": [ANSWER]}, "The request asks for 2 lists, its response gives 1."),
        ({"instances": 3}, {"predictions": []}, "In instances"),
        (ASKED, {**ANSWER, "impression_id": ""}, "In the response"),
        ({"inputs": [{"name": "candidates", "parameters": {"binary_data_size": 9}}]}, V2_ANSWER, "binary"),
        ({"inputs": []}, V2_ANSWER, "In inputs"),
        (V2_ASKED, {"outputs": []}, "The output tensors"),
        (V2_ASKED, {**V2_ANSWER, "parameters": {}}, "In outputs"),
        ({"inputs": V2_ASKED["inputs"] + V2_ASKED["inputs"][:1]}, V2_ANSWER, "The tensor 'user_id' is there twice."),
        ({**ASKED, "context": {"timestamp": "0001-01-01T00:00:00+23:00"}}, ANSWER, "has no equal in UTC"),
        ({**ASKED, "candidates": ["a", "b", "c", "b"]}, ANSWER, "two of the candidate 'b'"),
        (ASKED, {**ANSWER, "ranking": [LINE, {**LINE, "position": 2}]}, "two of the line of item 'c'"),
        (ASKED, {**ANSWER, "ranking": [LINE, {**LINE, "item_id": "a"}]}, "two of the line at position 1"),
        ({**ASKED, "candidates": ["a", {"item_id": "c", "score": 3e38}]}, ANSWER, "In the request"),
        (ASKED, {**ANSWER, "ranking": [{**LINE, "position": 0}]}, "In the response"),
        (ASKED, {**ANSWER, "ranking": [{**LINE, "position": 2**31}]}, "In the response: Expected `int` <= 2147483647"),
        (ASKED, {**ANSWER, "ranking": [{**LINE, "propensity": 7.5}]}, "In the response"),
    ],
)
def test_pairs_that_are_no_ranking_are_set_aside(tmp_path, request_, response, why):
    found = read(log(tmp_path / "log", *pair(7, request_, response)))
    assert shown(found) == []
    ((table, file, line, reason),) = refused(found)
    assert (table, file, line) == ("impressions", "log", 1)
    assert reason.startswith("the request 7 and its response: ")
    assert why in reason


def test_without_any_time_there_is_no_impression(tmp_path):
    request, response = (to_structured(half)[1] for half in pair(1))
    timeless = [json.dumps({k: v for k, v in json.loads(one).items() if k != "time"}) for one in (request, response)]
    assert "says when that was" in str(refused(read(lines(tmp_path / "log", *timeless, *timeless)))[0])


def test_lines_that_are_no_events(tmp_path):
    good = to_structured(pair(1)[0])[1].decode()
    bad = [
        "{", "[]", good.replace('"1.0"', '"0.3"'), good.replace("inference.request", "inference.feedback"),
        good[: len(good) // 2], good.replace('"id": "1"', '"id": ""'),
        good.replace('"data": {', '"data_base64": "!", "x": {'),
        good.replace('"data": {', '"data_base64": "ä", "x": {'),
        good.replace(AT, "0001-01-01T00:00:00+23:00"),
        good.replace('"data": {', '"data": [{').replace("}}", "}}]"),
    ]  # fmt: skip
    found = read(lines(tmp_path / "log", good, *bad))
    assert [line for _, _, line, _ in refused(found)] == list(range(2, 2 + len(bad)))


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_no_line_vanishes(tmp_path_factory, data):
    """Each line is half of an impression, a redelivery, a request that waits, or set aside."""
    texts = [to_structured(half)[1].decode() for number in range(3) for half in own(number)]
    for _ in range(data.draw(st.integers(1, 6))):
        good = data.draw(st.sampled_from(texts))
        start, end = sorted((data.draw(st.integers(0, len(good))), data.draw(st.integers(0, len(good)))))
        piece = data.draw(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Zl", "Zp"]), max_size=9))
        texts.insert(data.draw(st.integers(1, len(texts))), good[:start] + piece + good[end:])
    source = lines(tmp_path_factory.mktemp("dirt") / "log", *texts)
    config = SourceConfig(source=str(source), format="cloudevents")
    found = collect(format_of(config).read(config))
    counts = {note.partition(" ")[2][:12]: int(note.partition(" ")[0]) for note in found.notes}
    again, waiting = counts.get("events were ", 0), counts.get("requests hav", 0)
    pairs_aside = sum("and its response" in reason for reason in found.rejected.column("reason").to_pylist())
    filled = sum(bool(text.strip()) for text in texts)
    used = 2 * len(shown(found)) + again + waiting + found.rejected.num_rows + pairs_aside
    assert used == filled


def test_http_in_both_modes():
    request, _ = pair(1)
    for convert in (to_binary, to_structured):
        headers, body = convert(request)
        found = from_http({name.lower(): value for name, value in headers.items()}, body)
        assert (found.id, found.type, found.data, found.component) == ("1", REQUEST, ASKED, "predictor")
        assert found.time == MOMENT
    # With the content type of the client's request, which may be anything.
    headers, body = to_binary(request)
    assert from_http({**headers, "content-type": "text/plain", "ce-id": "%E7%89%A9"}, body).id == "物"


def test_data_in_base64():
    _, body = to_structured(pair(1)[0])
    fields = json.loads(body)
    data = base64.b64encode(json.dumps(fields.pop("data")).encode()).decode()
    assert from_json(json.dumps({**fields, "data_base64": data})).data == ASKED


@pytest.mark.parametrize(
    ("headers", "body", "why"),
    [
        ({}, b"{}", "neither ce- headers"),
        ({"content-type": "application/cloudevents-batch+json"}, b"[]", "Batches"),
        ({"content-type": "application/cloudevents+json"}, b"{}", "missing required field `specversion`"),
        ({"ce-specversion": "1.0"}, b"{}", "missing required field `type`"),
        ({"ce-specversion": "1.0", "ce-type": REQUEST, "ce-source": "x", "ce-id": "1"}, b"", "no JSON object"),
        ({"ce-specversion": "1.0", "ce-type": REQUEST, "ce-source": "x", "ce-id": "1"}, b"\xff", "no JSON object"),
        ({"ce-specversion": "1.0", "ce-type": "ping", "ce-source": "x", "ce-id": "1"}, b"{}", "Invalid enum value"),
    ],
)
def test_what_is_no_event_over_http(headers, body, why):
    with pytest.raises(DataError, match=why):
        from_http(headers, body)


MORE = {"user": "anna", "email": "anna@example.com", "nested": {"user_id": ["anna"]}}
NAMED = {**ASKED, **MORE, "candidates": ["a", {"item_id": "b", "score": 0.5, "text": "for anna", **MORE}, "c"]}
NAMING = {**ANSWER, **MORE, "user_id": "anna", "ranking": [{**line, **MORE} for line in ANSWER["ranking"]]}
TENSOR = {"name": "email", "shape": [1], "datatype": "BYTES", "data": ["anna@example.com"], **MORE}


@pytest.mark.parametrize(
    ("request_", "response"),
    [
        (NAMED, NAMING),
        ({"instances": [NAMED], **MORE}, {"predictions": [NAMING], **MORE}),
        (
            {
                "inputs": [TENSOR, *({**tensor, "parameters": MORE} for tensor in V2_ASKED["inputs"])],
                "parameters": {**V2_ASKED["parameters"], **MORE},
                "id": "anna",
                **MORE,
            },
            {
                **V2_ANSWER,
                "outputs": [TENSOR, *({**tensor, **MORE} for tensor in V2_ANSWER["outputs"])],
                "parameters": {**V2_ANSWER["parameters"], "user_id": "anna", **MORE},
                "id": "anna",
                **MORE,
            },
        ),
    ],
    ids=["rank", "v1", "v2"],
)
def test_pseudonyms_stand_for_users_and_sessions_and_nothing_else_is_kept(tmp_path, request_, response):
    names = Pseudonyms(b"a long secret of the operator's")
    whole = [from_json(to_structured(half)[1]) for half in pair(1, request_, response)]
    hidden = [msgspec.json.encode(pseudonymous(half, names)).decode() for half in whole]
    assert "anna" in str(whole[0]) + str(whole[1])
    assert "anna" not in "".join(hidden)
    (found,) = shown(read(lines(tmp_path / "hidden", *hidden)))
    (expected,) = shown(read(log(tmp_path / "whole", *pair(1, request_, response))))
    assert found == msgspec.structs.replace(expected, user_id=names.user("anna"), session_id=names.session("s"))


def test_a_visitor_without_a_session_stays_one_under_pseudonyms(tmp_path):
    names = Pseudonyms(b"a long secret of the operator's")
    halves = pair(1, {"candidates": ["c", "b"]}, {**ANSWER, "user_id": "anonymous-1"})
    hidden = [msgspec.json.encode(pseudonymous(from_json(to_structured(half)[1]), names)).decode() for half in halves]
    (found,) = shown(read(lines(tmp_path / "hidden", *hidden)))
    assert (found.user_id, found.session_id) == (names.user("anonymous-1"), None)
