"""Drift of item texts: can a classifier tell the embeddings of this window's items from the reference's?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

MIN_ROWS: Final = 50
"""Items with an embedding needed on each side."""
AREA: Final = 0.55
"""Area under the ROC curve of a telling classifier beyond which texts have drifted; 0.5 is chance."""


class Embedded(Protocol):
    """A catalogue with text embeddings."""

    @property
    def embeddings(self) -> npt.NDArray[np.float32] | None:
        """Unit vectors, `[items, width]`; None where there are none."""
        ...

    def rows(self, item_ids: Sequence[str]) -> npt.NDArray[np.int64]:
        """Row of each id, -1 where unknown."""
        ...


def vectors(
    table: pa.Table, column: str, catalogue: Embedded, most: int, rng: np.random.Generator
) -> npt.NDArray[np.float32]:
    """Embeddings of the items named in `column`, `[rows, width]`, sampled to at most `most` rows."""
    if catalogue.embeddings is None or column not in table.column_names:
        return np.zeros((0, 0), np.float32)
    rows = catalogue.rows(table[column].drop_null().to_pylist())
    rows = rows[rows >= 0]
    if len(rows) > most:
        rows = rng.choice(rows, most, replace=False)
    return catalogue.embeddings[rows]


def classifier_area(window: npt.NDArray[np.float32], reference: npt.NDArray[np.float32]) -> tuple[float, float]:
    """Area under the ROC curve of Evidently's drift classifier, and the threshold for samples of these sizes.

    The threshold is `AREA` plus two standard errors of the area under no drift (Hanley and McNeil, 1982), because half
    of the rows, which the classifier is tested on, may be few.
    """
    import pandas as pd
    from evidently.legacy.metrics.data_drift.embedding_drift_methods import ModelDriftMethod

    n, m = len(window) / 2, len(reference) / 2
    area, _, _ = ModelDriftMethod()(_named(pd.DataFrame(window)), _named(pd.DataFrame(reference)))
    return float(area), AREA + 2 * float(np.sqrt((n + m + 1) / (12 * n * m)))


def _named(frame: Any) -> Any:
    # scikit-learn refuses column names of mixed type, and the classifier adds a text one.
    return frame.rename(columns=str)
