"""What turns a user's latest events into a query: the interest model as it was trained, or a compressed form of it."""

from __future__ import annotations

from typing import Any, Final, Literal, Protocol

import numpy.typing as npt
import torch
from torch import Tensor, nn

from liverank.config.training import InterestConfig
from liverank.ranking.data import Floats
from liverank.ranking.int8 import expanded, rounded
from liverank.ranking.interest_inputs import Inputs
from liverank.ranking.interest_model import Asked, InterestModel, Window
from liverank.ranking.numpy_network import NumpyReader

NetworkKind = Literal["float32", "int8", "onnx", "onnx-int8"]


class QueryNetwork(Protocol):
    """Encodes histories; safe to call from several threads."""

    kind: NetworkKind
    alone: bool
    """Whether requests must be read one at a time: the scale of a quantised number depends on all that are beside it,
    and a request's scores may not depend on who else asks."""
    single: NumpyReader | None
    """Reads one request at a time, and its events apart from the moment it is made; None: there is no such reader."""

    def queries(self, vectors: Floats, inputs: Inputs) -> Floats:
        """One query a request, `[requests, width]`, from the events' item vectors, `[events, width]`."""
        ...

    def weights(self) -> dict[str, Tensor]:
        """The model's weights as they are kept on disk."""
        ...

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """What else it needs on disk."""
        ...


class Reader(nn.Module):
    """The interest model's way from steps to a query, as one function of tensors (`INPUTS`, in order)."""

    def __init__(self, model: InterestModel) -> None:
        super().__init__()
        self.model = model

    def forward(
        self,
        means: Tensor,
        gaps: Tensor,
        elapsed: Tensor,
        latest: Tensor,
        since: Tensor,
        hours: Tensor,
        weekdays: Tensor,
    ) -> Tensor:
        """Queries, `[requests, width]`."""
        states = self.model.latest_of(means, gaps, elapsed, latest)
        return self.model.ask(states, Asked(since, hours, weekdays))


INPUTS: Final = ("means", "gaps", "elapsed", "latest", "since", "hours", "weekdays")


@torch.inference_mode()
def tensors_of(model: InterestModel, vectors: Floats, inputs: Inputs) -> tuple[Tensor, ...]:
    """What a `Reader` takes; the steps are put together here, where their sizes are at hand."""
    told = (inputs.gaps, inputs.seconds, inputs.places, inputs.types, inputs.again)
    gaps, seconds, places, types, again = (torch.from_numpy(array) for array in told)
    means = model.step_means(torch.from_numpy(vectors), Window(gaps, seconds, places, types, again))
    asked = inputs.asked
    rest = (inputs.latest, asked.since, asked.hours, asked.weekdays)
    return means, gaps, model.elapsed(seconds), *(torch.from_numpy(array) for array in rest)


class TorchNetwork:
    """The model itself; `kept` are its weights as they are on disk, where that is in another form."""

    alone = False

    def __init__(
        self, model: InterestModel, kind: NetworkKind = "float32", kept: dict[str, Tensor] | None = None
    ) -> None:
        self.kind = kind
        self._reader = Reader(model).eval()
        self.single = NumpyReader(model) if NumpyReader.can_read(model) else None
        self._kept = kept

    def queries(self, vectors: Floats, inputs: Inputs) -> Floats:
        """See `QueryNetwork`."""
        if self.single and len(inputs.latest) == 1:
            return self.single.read(vectors, inputs)[None]
        with torch.inference_mode():
            queries: Floats = self._reader(*tensors_of(self._reader.model, vectors, inputs)).numpy()
        return queries

    def weights(self) -> dict[str, Tensor]:
        """See `QueryNetwork`."""
        return self._reader.model.state_dict() if self._kept is None else self._kept

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Nothing."""
        return {}


def served_weights(model: InterestModel, kind: NetworkKind) -> dict[str, Tensor]:
    """What of a model's weights serving reads, as it is kept on disk.

    Learned ids are left out: they are in the items' vectors. So are layers that are in a graph.
    """
    dropped = ("ids.", "log_met", *(("blocks.",) if kind.startswith("onnx") else ()))
    kept = {name: tensor for name, tensor in model.state_dict().items() if not name.startswith(dropped)}
    kept |= {"ids.weight": torch.zeros(0, model.config.dimension), "log_met": torch.zeros(0)}
    return rounded(kept) if kind.endswith("int8") else kept


def network_of(
    kind: NetworkKind, kept: dict[str, Tensor], types: int, config: InterestConfig, graph: bytes
) -> tuple[InterestModel, QueryNetwork]:
    """The model and the network of weights that were kept on disk; `graph` is that of an ONNX network.

    Raises:
        BundleError: onnxruntime, which the network needs, is not installed.
    """
    model = _shell(expanded(kept), types, config, kind)
    if kind in ("onnx", "onnx-int8"):
        from liverank.ranking.onnx_network import OnnxNetwork

        return model, OnnxNetwork(model, graph, kind, kept)
    return model, TorchNetwork(model, kind, None if kind == "float32" else kept)


def _shell(weights: dict[str, Tensor], types: int, config: InterestConfig, kind: NetworkKind) -> InterestModel:
    """A model with these weights; for an ONNX network without layers."""
    layers = 0 if kind.startswith("onnx") else config.layers
    items, text_width = torch.zeros(len(weights["ids.weight"])), len(weights["centre"])
    model = InterestModel(items, types, text_width, config.model_copy(update={"layers": layers}))
    model.load_state_dict(weights)
    return model.eval()
