"""The OpenAPI document of liverank's own routes, made from the structs that read requests and write answers."""

from __future__ import annotations

import inspect
from typing import Annotated, Any

import msgspec

import liverank
from liverank.events import Item, Record
from serving.api import RECORD_NAMES, RankRequest, RankResponse
from serving.rerank import USER_HEADER, RerankRequest, RerankResponse
from serving.rerank_routes import PATHS

Schema = dict[str, Any]


class Taken(msgspec.Struct):
    """How many records came, and how many of them were new."""

    accepted: int
    new: int


class Exported(msgspec.Struct):
    """What the store holds about a user."""

    user_id: str
    records: list[Record]


class ModelVersions(msgspec.Struct):
    """The versions that answered the user, those that may have learned from them, and what nobody here can know."""

    answered: list[str]
    may_have_learned: list[str]
    unknown: str


class Erased(msgspec.Struct):
    """How many records of a user were erased."""

    user_id: str
    erased: int
    model_versions: ModelVersions


class Loaded(msgspec.Struct):
    """The version that serves now."""

    name: str
    version: str
    state: str


class ErrorAnswer(msgspec.Struct):
    """Every error, in one line."""

    error: Annotated[str, msgspec.Meta(min_length=1)]


BODY_PROBLEMS = {400: "The body breaks the contract; the message names the field, or the index of the record."}
TOO_LARGE = {413: "The body has more than `serving.max_body_bytes`."}
ALWAYS = {
    401: "The bearer token is missing or wrong.",
    403: "Without a token: the request is for another host than this one, or comes from another site's page.",
    500: "A defect; the server's log says more.",
    503: "The queue is full or the live store cannot be used; `Retry-After` may say when to come again.",
}
NO_MODEL = {404: "There is no model of this name."}
_REFERENCE = "#/components/schemas/{name}"
_ANSWERS = (Taken, Exported, Erased, Loaded, ErrorAnswer, RankResponse, RerankResponse)


def document() -> Schema:
    """The document, OpenAPI 3.1."""
    kinds = (RankRequest, RerankRequest, *RECORD_NAMES.values(), *_ANSWERS)
    _, schemas = msgspec.json.schema_components(kinds, ref_template=_REFERENCE)
    for schema in schemas.values():
        schema["description"] = inspect.cleandoc(schema.get("description", "")).split("\n\n")[0].replace("\n", " ")
    for name, kind in (("InteractionIn", "Interaction"), ("ItemIn", "Item")):
        schemas[name] = _untagged(schemas[kind])
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "liverank",
            "version": liverank.__version__,
            "description": "Rankings for one user, live. KServe's own routes are described by its protocol.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "security": [{}, {"token": []}],
        "paths": _paths(),
        "components": {
            "schemas": dict(sorted(schemas.items())),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _paths() -> dict[str, Schema]:
    every, items = [_reference("InteractionIn"), *map(_of, RECORD_NAMES.values())], [_reference("ItemIn"), _of(Item)]
    user, model = [_parameter("user_id")], [{**_parameter("name"), "example": "liverank"}]
    rerank = {
        **_operation("Ranks documents for a query and a user.", {200: RerankResponse}, _of(RerankRequest)),
        "parameters": [_parameter(USER_HEADER, "header")],
    }
    load = _operation("Swaps to the current champion.", {200: Loaded}, problems=NO_MODEL)
    unload = _operation("Always refused: the model is not unloaded while the server runs.", {}, problems=NO_MODEL)
    take = _operation("Takes records; answers once they are on disk.", {202: Taken}, _batch("events", every))
    add = _operation("Takes items; they are rankable once this answers.", {200: Taken}, _batch("items", items))
    return {
        "/v1/rank": {"post": _operation("Ranks candidates for a user.", {200: RankResponse}, _of(RankRequest))},
        **{path: {"post": rerank} for path in PATHS},
        "/v1/events": {"post": take},
        "/v1/items": {"put": add},
        "/v1/users/{user_id}": {
            "parameters": user,
            "get": _operation("Tells what the store holds about a user.", {200: Exported}),
            "delete": _operation("Erases a user.", {200: Erased}),
        },
        "/v2/repository/models/{name}/load": {"parameters": model, "post": load},
        "/v2/repository/models/{name}/unload": {"parameters": model, "post": unload},
    }


def _operation(
    summary: str, answers: dict[int, type], body: Schema | None = None, problems: dict[int, str] | None = None
) -> Schema:
    """One operation: its answers by status, its body, and the errors that only it has."""
    found = {**({} if body is None else {**BODY_PROBLEMS, **TOO_LARGE}), **(problems or {}), **ALWAYS}
    responses = {status: _answer(inspect.cleandoc(kind.__doc__ or ""), _of(kind)) for status, kind in answers.items()}
    responses |= {status: _answer(why, _of(ErrorAnswer)) for status, why in found.items()}
    operation: Schema = {
        "summary": summary,
        "responses": {str(status): response for status, response in sorted(responses.items())},
    }
    if body is not None:
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
    return operation


def _answer(description: str, schema: Schema) -> Schema:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _parameter(name: str, place: str = "path") -> Schema:
    schema = {"type": "string", "minLength": 1} if place == "path" else {"type": "string", "maxLength": 256}
    return {"name": name, "in": place, "required": place == "path", "schema": schema}


def _batch(field: str, records: list[Schema]) -> Schema:
    """`{field: [record, ...]}`, `[record, ...]` or one record."""
    record = {"anyOf": records}
    several = {"type": "array", "items": record}
    named = {"type": "object", "properties": {field: several}, "required": [field], "additionalProperties": False}
    return {"anyOf": [named, several, *records]}


def _untagged(schema: Schema) -> Schema:
    """A record that need not say what it is."""
    properties = {name: value for name, value in schema["properties"].items() if name != "record"}
    required = [name for name in schema["required"] if name != "record"]
    return {**schema, "properties": properties, "required": required}


def _of(kind: type) -> Schema:
    return _reference(kind.__name__)


def _reference(name: str) -> Schema:
    return {"$ref": _REFERENCE.format(name=name)}
