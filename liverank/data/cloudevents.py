"""CloudEvents 1.0 as KServe's logger posts them: one for each inference request and one for its response.

Both carry the request's id, and as data the body as it went over the wire. Read are the HTTP binding's binary and
structured modes and, in files, the JSON format, one event a line (github.com/cloudevents/spec, version 1.0).
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal
from urllib.parse import unquote

import msgspec

from liverank.errors import DataError
from liverank.events import Timestamp
from liverank.instants import in_utc

PREFIX: Final = "org.kubeflow.serving.inference."
REQUEST: Final = "org.kubeflow.serving.inference.request"
RESPONSE: Final = "org.kubeflow.serving.inference.response"
STRUCTURED: Final = "application/cloudevents"
BATCH: Final = "application/cloudevents-batch"
_HEADER: Final = "ce-"
_Word = Annotated[str, msgspec.Meta(min_length=1, max_length=1024)]


class InferenceEvent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One event; attributes that are not named here have no effect."""

    specversion: Literal["1.0"]
    type: Literal["org.kubeflow.serving.inference.request", "org.kubeflow.serving.inference.response"]
    id: _Word
    source: _Word
    time: Timestamp | None = None
    namespace: str = ""
    inferenceservicename: str = ""
    component: str = ""
    endpoint: str = ""
    data: dict[str, Any]

    @property
    def pair(self) -> str:
        """What a request and its response have in common, and no other event has."""
        return "\0".join((self.namespace, self.inferenceservicename, self.endpoint, self.component, self.id))


_OBJECT: Final = msgspec.json.Decoder(dict[str, Any])


def from_json(text: bytes | str) -> InferenceEvent:
    """An event in the JSON format.

    Raises:
        DataError: it is none, or its data is no JSON object.
    """
    try:
        return _event(_plain(_OBJECT.decode(text)))
    except (msgspec.DecodeError, UnicodeError, RecursionError) as problem:
        raise DataError(f"This is no CloudEvent of KServe's logger: {problem}") from problem


def from_http(headers: Mapping[str, str], body: bytes) -> InferenceEvent:
    """An event as it comes over HTTP, in either mode; header names in lower case.

    Raises:
        DataError: as `from_json`, or it is a batch, which KServe does not send.
    """
    kind = headers.get("content-type", "").lower()
    if kind.startswith(BATCH):
        raise DataError("Batches of CloudEvents are not read: send one a request.")
    if kind.startswith(STRUCTURED):
        return from_json(body)
    attributes: dict[str, Any] = {
        name.removeprefix(_HEADER): unquote(value) for name, value in headers.items() if name.startswith(_HEADER)
    }
    if "specversion" not in attributes:
        raise DataError("This is no CloudEvent: it has neither ce- headers nor the content type of one.")
    try:
        return _event({**attributes, "data": _OBJECT.decode(body)})
    except (msgspec.DecodeError, UnicodeError, RecursionError) as problem:
        raise DataError(f"The event's body is no JSON object that can be read: {problem}") from problem


def _plain(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields with `data` in place of `data_base64`."""
    if "data_base64" not in fields:
        return fields
    try:
        data = base64.b64decode(str(fields.pop("data_base64")), validate=True)
    except ValueError as problem:  # binascii.Error is one; text beyond ASCII raises the plain one
        raise DataError(f"The event's data_base64 is no Base64: {problem}.") from problem
    return {**fields, "data": _OBJECT.decode(data)}


def _event(fields: dict[str, Any]) -> InferenceEvent:
    event = msgspec.convert(fields, InferenceEvent)
    if event.time is not None:
        in_utc(event.time)
    return event
