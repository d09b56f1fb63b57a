"""The interest model's reader as an ONNX graph: exported, checked against torch, and run by ONNX Runtime."""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from liverank.errors import BundleError
from liverank.ranking.data import Floats
from liverank.ranking.interest_inputs import Inputs
from liverank.ranking.interest_model import GAP_BUCKETS, PADDING_STEP, InterestModel
from liverank.ranking.query_network import INPUTS, NetworkKind, Reader

OPSET: Final = 18
"""The newest that torch's exporter writes without converting; ONNX Runtime reads it since 1.14."""
TOLERANCE: Final = 1e-4
"""How far a number of a query may lie from torch's, as a share of the largest."""
_EVENTWISE: Final = 5
"""The first so many inputs have one entry an event, the others one a request."""
_HINT: Final = "Run: pip install 'liverank[onnx]'"
_CHECKED: Final = ((1, 1), (1, 9), (3, 5))
"""Requests and events of the windows on which a graph is checked."""


class OnnxNetwork:
    """A graph in ONNX Runtime, on one thread: the products are too small to share.

    Raises:
        BundleError: onnxruntime is not installed, or cannot read the graph.
    """

    def __init__(self, graph: bytes, kind: NetworkKind = "onnx") -> None:
        self.kind = kind
        self.alone = kind == "onnx-int8"
        self._graph = graph
        self._session = _session(graph)
        self._wanted = [entry.name for entry in self._session.get_inputs() if entry.name != "vectors"]

    def queries(self, vectors: Floats, inputs: Inputs) -> Floats:
        """See `QueryNetwork`."""
        feeds = {name: getattr(inputs, name) for name in self._wanted}
        queries: Floats = self._session.run(None, {"vectors": vectors, **feeds})[0]
        return queries

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """The graph's bytes: a bundle holds safetensors and JSON, and nothing that runs code when it is read."""
        return {"graph": np.frombuffer(self._graph, np.uint8)}


def _session(graph: bytes) -> Any:
    try:
        import onnxruntime
    except ImportError as problem:
        raise BundleError("This bundle's interest ranker needs ONNX Runtime.", _HINT) from problem
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    try:
        return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as problem:  # The runtime's errors have no common class.
        raise BundleError(
            f"ONNX Runtime cannot read the graph: {problem}.", "Compress the original bundle again."
        ) from problem


def export(model: InterestModel) -> bytes:
    """The graph of the model's reader, for any number of requests and events, found equal to torch.

    Raises:
        BundleError: a package is missing, or the graph cannot be made or gives other numbers.
    """
    _need_packages()
    reader = Reader(model).eval()
    # Two numbers apart from 0 and 1, which the exporter would take for constants.
    example = _example(model, 2, 5)
    names = ("vectors", *INPUTS)
    requests, events = torch.export.Dim("requests", min=1), torch.export.Dim("events", min=1)
    shapes = {name: {0: requests, 1: events} if at <= _EVENTWISE else {0: requests} for at, name in enumerate(names)}
    try:
        with _quiet():
            program = torch.onnx.export(
                reader,
                example,
                dynamo=True,
                input_names=list(names),
                output_names=["query"],
                dynamic_shapes=shapes,
                opset_version=OPSET,
            )
    except Exception as problem:  # The exporter's errors have no common class.
        what = str(problem).strip().splitlines()[0]
        raise BundleError(
            f"Layers of kind {model.config.block} cannot be written as an ONNX graph: {what}", "Use --network int8."
        ) from problem
    assert program is not None
    graph: bytes = program.model_proto.SerializeToString()
    _check(reader, graph)
    return graph


def quantise(graph: bytes) -> bytes:
    """The graph with the weights of its matrix products in int8, and their inputs turned into it as they come."""
    _need_packages()
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with tempfile.TemporaryDirectory() as folder, _quiet():
        path = Path(folder) / "int8.onnx"
        quantize_dynamic(
            onnx.load_from_string(graph), path, weight_type=QuantType.QInt8, op_types_to_quantize=["MatMul"]
        )
        return path.read_bytes()


def _need_packages() -> None:
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as problem:
        raise BundleError(f"An ONNX graph cannot be made here: {problem.name} is missing.", _HINT) from problem


def _example(model: InterestModel, requests: int, events: int) -> tuple[Tensor, ...]:
    """Random inputs of the reader; the first request has no padding, the others may."""
    draw = torch.Generator().manual_seed(events)

    def numbers(most: int, *shape: int) -> Tensor:
        return torch.randint(most, shape, generator=draw)

    counts = torch.cat([torch.tensor([events]), numbers(events, requests - 1) + 1])
    places = torch.arange(events).unsqueeze(0)
    steps = torch.where(places < counts.unsqueeze(1), places // 2, PADDING_STEP)
    window, of = (requests, events), (requests,)
    return (
        torch.randn(*window, model.config.dimension, generator=draw),
        numbers(model.types.num_embeddings, *window),
        numbers(GAP_BUCKETS, *window),
        numbers(model.again.num_embeddings, *window),
        steps,
        (places * 60.0).expand(window).contiguous(),
        counts - 1,
        numbers(GAP_BUCKETS, *of),
        numbers(24, *of),
        numbers(7, *of),
    )


def _check(reader: Reader, graph: bytes) -> None:
    """Raises a BundleError where the graph's queries are not torch's."""
    session = _session(graph)
    wanted = [entry.name for entry in session.get_inputs()]
    for requests, events in _CHECKED:
        example = _example(reader.model, requests, events)
        with torch.inference_mode():
            ours = reader(*example).numpy()
        feeds = dict(zip(("vectors", *INPUTS), (tensor.numpy() for tensor in example), strict=True))
        theirs = session.run(None, {name: feeds[name] for name in wanted})[0]
        gap = float(np.abs(ours - theirs).max() / max(1e-6, float(np.abs(ours).max())))
        if not gap <= TOLERANCE:
            raise BundleError(
                f"The ONNX graph's queries lie {gap:.1e} from torch's.", "Use --network int8, or other versions."
            )


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps the exporters' tips and stages to themselves: what fails is raised."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), redirect_stdout(StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
