"""KServe's own doors: v1 `:predict`, v2 REST and gRPC, all onto the same service.

Importing this imports kserve, which reads `sys.argv`: only `serving.server` does it, with the arguments hidden.
"""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from kserve import InferOutput, InferRequest, InferResponse, Model
from kserve.errors import InvalidInput, ServerNotReady

from liverank.tensors import flat
from serving import api
from serving.api import RankRequest, RankResponse, Refused
from serving.calls import LEFT
from serving.metrics import Metrics
from serving.service import RankingService
from serving.stages import DECODE, ENCODE

PARAMETERS = frozenset({"k", "surface", "session_id"})
"""The fields of a rank request that v2 takes as request parameters; it ignores others, as the protocol says."""

SAID = ("user_id", "experiment", "variant")
"""The fields of a rank response, there for some requests, that v2 gives as response parameters."""


class Overloaded(ServerNotReady):
    """Too many wait: 503, or UNAVAILABLE over gRPC, which reads `reason`."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.error_msg = message
        self.reason = message


class _Instances(msgspec.Struct, forbid_unknown_fields=True):
    instances: list[RankRequest]


class Predictor(Model):
    """The ranker as a KServe model.

    v1: `{"instances": [rank request, ...]}` -> `{"predictions": [rank response, ...]}`. v2: BYTES tensors `user_id`
    [1], which a visitor's request leaves out, and `candidates` [n], parameters `k`, `surface`, `session_id` ->
    `item_id` BYTES [k] and `score` FP32 [k], best first, parameters `impression_id`, `degraded` and, where the request
    has them, `user_id`, `experiment` and `variant`.
    """

    def __init__(self, name: str, service: RankingService, metrics: Metrics) -> None:
        super().__init__(name)
        self._service = service
        self._metrics = metrics
        self.ready = True

    async def healthy(self) -> bool:
        """Whether requests are ranked and recorded: what `/v2/models/{name}/ready` says."""
        return bool(self.ready) and self._service.ready

    def get_input_types(self) -> list[dict[str, Any]]:
        """The tensors that v2 takes."""
        return [_tensor("user_id", "BYTES", 1), _tensor("candidates", "BYTES", -1)]

    def get_output_types(self) -> list[dict[str, Any]]:
        """The tensors that v2 gives."""
        return [_tensor("item_id", "BYTES", -1), _tensor("score", "FP32", -1)]

    async def predict(self, payload: Any, headers: Mapping[str, str] | None = None) -> Any:
        """Ranks every instance, or the one request of a v2 call."""
        started, status = time.perf_counter(), 500
        v2 = isinstance(payload, InferRequest)
        try:
            answer = await (self._infer(payload) if v2 else self._predict(payload))
            status = 200
            return answer
        except asyncio.CancelledError:
            status = LEFT
            raise
        except Refused as refusal:
            status = refusal.status
            raise (InvalidInput if status == 400 else Overloaded)(refusal.message) from refusal
        finally:
            self._metrics.answered("v2 infer" if v2 else "v1 :predict", status, time.perf_counter() - started)

    async def _predict(self, payload: Any) -> dict[str, Any]:
        began = time.perf_counter()
        try:
            # Bytes come where the content type is not exactly application/json.
            requests = (
                msgspec.json.decode(payload, type=_Instances)
                if isinstance(payload, bytes)
                else msgspec.convert(payload, _Instances)
            )
        except api.UNREADABLE as problem:
            raise Refused(400, str(problem)) from problem
        self._metrics.stages.lap(DECODE, began)
        answers = await self._service.rank_all(requests.instances)
        began = time.perf_counter()
        told = {"predictions": [msgspec.to_builtins(answer) for answer in answers]}
        self._metrics.stages.lap(ENCODE, began)
        return told

    async def _infer(self, payload: InferRequest) -> InferResponse:
        began = time.perf_counter()
        asked = _rank_request(payload)
        self._metrics.stages.lap(DECODE, began)
        ranked = await self._service.rank(asked)
        began = time.perf_counter()
        told = _response(payload, self.name, ranked)
        self._metrics.stages.lap(ENCODE, began)
        return told


def _rank_request(payload: InferRequest) -> RankRequest:
    tensors = {tensor.name: tensor for tensor in payload.inputs}
    users = _strings(tensors, "user_id") if "user_id" in tensors else [None]
    if len(users) != 1:
        raise Refused(400, f"The input tensor 'user_id' must hold one user, not {len(users)}.")
    given = {name: value for name, value in _parameters(payload.parameters).items() if name in PARAMETERS}
    fields = {"user_id": users[0], "candidates": _strings(tensors, "candidates"), **given}
    try:
        return msgspec.convert(fields, RankRequest)
    except msgspec.ValidationError as problem:
        raise Refused(400, str(problem)) from problem


def _tensor(name: str, datatype: str, size: int) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": [size]}


def _strings(tensors: Mapping[str, Any], name: str) -> list[str]:
    tensor = tensors.get(name)
    if tensor is None:
        raise Refused(400, f"The input tensor '{name}' is missing; there are {sorted(tensors)}.")
    if tensor.datatype != "BYTES":
        raise Refused(400, f"The input tensor '{name}' must be BYTES, not {tensor.datatype}.")
    try:
        values = list(flat(tensor.as_numpy().tolist() if tensor._raw_data is not None else tensor.data))
    except (TypeError, ValueError, RecursionError, struct.error) as problem:
        raise Refused(400, f"The input tensor '{name}' holds no strings: {problem}.") from problem
    for value in values:
        if not isinstance(value, (str, bytes)):
            raise Refused(400, f"The input tensor '{name}' holds no strings: there is a {type(value).__name__}.")
    if not values or len(values) != _size(tensor.shape):
        raise Refused(400, f"The input tensor '{name}' has {len(values)} values and shape {list(tensor.shape)}.")
    try:
        return [value.decode() if isinstance(value, bytes) else str(value) for value in values]
    except UnicodeDecodeError as problem:
        raise Refused(400, f"The input tensor '{name}' is not UTF-8: {problem}.") from problem


def _size(shape: Iterable[int]) -> int:
    size = 1
    for length in shape:
        size *= length
    return size


def _parameters(parameters: Mapping[str, Any] | None) -> dict[str, Any]:
    # gRPC wraps each value in a message with one of several fields; REST gives it plain.
    plain = {}
    for name, value in (parameters or {}).items():
        kind = value.WhichOneof("parameter_choice") if hasattr(value, "WhichOneof") else None
        plain[name] = getattr(value, kind) if kind else value
    return plain


def _response(payload: InferRequest, name: str, answer: RankResponse) -> InferResponse:
    count = len(answer.ranking)
    return InferResponse(
        response_id=payload.id or answer.impression_id,
        model_name=name,
        model_version=answer.model_version,
        use_binary_outputs=payload.use_binary_outputs,
        requested_outputs=payload.request_outputs,
        infer_outputs=[
            InferOutput("item_id", [count], "BYTES", data=[line.item_id for line in answer.ranking]),
            InferOutput("score", [count], "FP32", data=[line.score for line in answer.ranking]),
        ],
        parameters={
            "impression_id": answer.impression_id,
            "degraded": "; ".join(answer.degraded),
            **{name: said for name in SAID if (said := getattr(answer, name)) is not msgspec.UNSET},
        },
    )
