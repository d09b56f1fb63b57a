"""The interest model's reader as an ONNX graph: exported, checked against torch, and run by ONNX Runtime."""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from liverank.errors import BundleError
from liverank.ranking.data import Floats
from liverank.ranking.interest_inputs import Inputs
from liverank.ranking.interest_model import GAP_BUCKETS, HOURS, WEEKDAYS, InterestModel
from liverank.ranking.numpy_network import NumpyReader
from liverank.ranking.query_network import INPUTS, NetworkKind, Reader, tensors_of

OPSET: Final = 18
"""The newest that torch's exporter writes without converting; ONNX Runtime reads it since 1.14."""
TOLERANCE: Final = 1e-4
"""How far a number of a query may lie from torch's, as a share of the largest."""
_HINT: Final = "Run: pip install 'liverank[onnx]'"
_CHECKED: Final = ((1, 1), (1, 9), (3, 5))
"""Requests and steps of the windows on which a graph is checked."""


class OnnxNetwork:
    """A graph in ONNX Runtime, on one thread: the products are too small to share.

    Args:
        model: puts events together to steps; its layers are in the graph.
        graph: the reader's.
        kind: whether its products are in int8.
        kept: the model's weights as they are on disk; None: those of `model`.

    Raises:
        BundleError: onnxruntime is not installed, or cannot read the graph.
    """

    def __init__(
        self,
        model: InterestModel,
        graph: bytes,
        kind: NetworkKind = "onnx",
        kept: dict[str, Tensor] | None = None,
    ) -> None:
        self.kind = kind
        self.alone = kind == "onnx-int8"
        self.single: NumpyReader | None = None
        self._model = model
        self._graph = graph
        self._kept = kept
        self._session = _session(graph)
        self._wanted = [entry.name for entry in self._session.get_inputs()]

    def queries(self, vectors: Floats, inputs: Inputs) -> Floats:
        """See `QueryNetwork`."""
        given = dict(zip(INPUTS, tensors_of(self._model, vectors, inputs), strict=True))
        queries: Floats = self._session.run(None, {name: given[name].numpy() for name in self._wanted})[0]
        return queries

    def weights(self) -> dict[str, Tensor]:
        """See `QueryNetwork`."""
        return self._model.state_dict() if self._kept is None else self._kept

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
    """The graph of the model's reader, for any number of requests and as many steps as it may read, equal to torch.

    Raises:
        BundleError: a package is missing, or the graph cannot be made or gives other numbers.
    """
    _need_packages()
    reader = Reader(model).eval()
    longest = model.config.history_length
    # Two numbers apart from 0 and 1, which the exporter would take for constants.
    example = _example(model, 2, min(5, longest))
    requests, steps = torch.export.Dim("requests", min=1), torch.export.Dim("steps", min=1, max=longest)
    shapes = {name: _axes(tensor, requests, steps) for name, tensor in zip(INPUTS, example, strict=True)}
    try:
        with _quiet():
            program = torch.onnx.export(
                reader,
                example,
                dynamo=True,
                input_names=list(INPUTS),
                output_names=["query"],
                dynamic_shapes=shapes,
                opset_version=OPSET,
                verbose=False,
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


def _axes(example: Tensor, requests: Any, steps: Any) -> dict[int, Any]:
    """The axes of an input that may have any length: all but the width of steps' vectors."""
    names = (requests, steps, steps if example.dtype != torch.float32 else None)
    return {at: name for at, name in zip(range(example.dim()), names, strict=False) if name is not None}


def _example(model: InterestModel, requests: int, steps: int) -> tuple[Tensor, ...]:
    """Random inputs of the reader, of windows of several lengths."""
    draw = torch.Generator().manual_seed(steps)

    def numbers(most: int, *shape: int) -> Tensor:
        return torch.randint(most, shape, generator=draw)

    window = (requests, steps)
    seconds = numbers(10**6, *window).float().sort(dim=1).values
    return (
        torch.randn(*window, model.config.dimension, generator=draw),
        numbers(GAP_BUCKETS, *window),
        model.elapsed(seconds),
        numbers(steps, requests),
        numbers(GAP_BUCKETS, requests),
        numbers(HOURS, requests),
        numbers(WEEKDAYS, requests),
    )


def _check(reader: Reader, graph: bytes) -> None:
    """Raises a BundleError where the graph's queries are not torch's."""
    session = _session(graph)
    wanted = [entry.name for entry in session.get_inputs()]
    longest = reader.model.config.history_length
    for requests, steps in _CHECKED:
        example = dict(zip(INPUTS, _example(reader.model, requests, min(steps, longest)), strict=True))
        with torch.inference_mode():
            ours = reader(*example.values()).numpy()
        theirs = session.run(None, {name: example[name].numpy() for name in wanted})[0]
        gap = float(np.abs(ours - theirs).max() / max(1e-6, float(np.abs(ours).max())))
        if not gap <= TOLERANCE:
            raise BundleError(
                f"The ONNX graph's queries lie {gap:.1e} from torch's.", "Use --network int8, or other versions."
            )


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps the exporters' tips to themselves: what fails is raised."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
