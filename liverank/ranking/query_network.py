"""What turns a user's latest events into a query: the interest model as it was trained, or a compressed form of it."""

from __future__ import annotations

from typing import Any, Final, Literal, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from liverank.config.training import InterestConfig
from liverank.ranking.data import Floats
from liverank.ranking.interest_inputs import Inputs
from liverank.ranking.interest_model import Asked, InterestModel, Window

NetworkKind = Literal["float32", "int8", "onnx", "onnx-int8"]


class QueryNetwork(Protocol):
    """Encodes histories; safe to call from several threads."""

    kind: NetworkKind
    alone: bool
    """Whether requests must be read one at a time: the scale of a quantised number depends on all that are beside it,
    and a request's scores may not depend on who else asks."""

    def queries(self, vectors: Floats, inputs: Inputs) -> Floats:
        """One query a request, `[requests, width]`, from the events' item vectors, `[events, width]`."""
        ...

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """What it needs on disk beside the model's weights."""
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
    rest = (inputs.latest, inputs.since, inputs.hours, inputs.weekdays)
    return means, gaps, model.elapsed(seconds), *(torch.from_numpy(array) for array in rest)


class TorchNetwork:
    """The model itself, in float32 or with its linear layers in int8."""

    def __init__(self, model: InterestModel, kind: NetworkKind = "float32") -> None:
        self.kind = kind
        self.alone = kind == "int8"
        self._reader = Reader(model).eval()

    def queries(self, vectors: Floats, inputs: Inputs) -> Floats:
        """See `QueryNetwork`."""
        with torch.inference_mode():
            queries: Floats = self._reader(*tensors_of(self._reader.model, vectors, inputs)).numpy()
        return queries

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Nothing: the weights are the model's."""
        return {}


def shell(weights: dict[str, Tensor], types: int, config: InterestConfig, kind: NetworkKind) -> InterestModel:
    """A model with these weights; for an ONNX network without layers, which are in its graph."""
    layers = 0 if kind.startswith("onnx") else config.layers
    items, text_width = torch.zeros(len(weights["ids.weight"])), len(weights["centre"])
    model = InterestModel(items, types, text_width, config.model_copy(update={"layers": layers}))
    if kind == "int8":
        from liverank.ranking.int8 import int8_layers

        int8_layers(model)
    model.load_state_dict(weights)
    return model.eval()


def served_weights(model: InterestModel, layers: bool) -> dict[str, Tensor]:
    """What of a model's weights serving reads: none of the learned ids, which are in the items' vectors already."""
    dropped = ("ids.", "log_met", *(() if layers else ("blocks.",)))
    kept = {name: tensor for name, tensor in model.state_dict().items() if not name.startswith(dropped)}
    return kept | {"ids.weight": torch.zeros(0, model.config.dimension), "log_met": torch.zeros(0)}


def network_of(kind: NetworkKind, model: InterestModel, arrays: dict[str, npt.NDArray[Any]]) -> QueryNetwork:
    """The network that was saved as `arrays` beside the weights of `model`.

    Raises:
        BundleError: onnxruntime, which the network needs, is not installed.
    """
    if kind in ("onnx", "onnx-int8"):
        from liverank.ranking.onnx_network import OnnxNetwork

        return OnnxNetwork(model, arrays["graph"].astype(np.uint8).tobytes(), kind)
    return TorchNetwork(model, kind)
