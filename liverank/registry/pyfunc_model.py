"""The registered model as MLflow loads it: code, not a pickle. `liverank.registry.schema` says what it takes and gives.

MLflow copies this file into the version and runs it at load; liverank must be installed there.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlflow
import pandas as pd

from liverank.ranking.bundle_files import load_bundle
from liverank.ranking.protocol import ranking
from liverank.registry import schema


class RankingModel(mlflow.pyfunc.PythonModel):
    """Ranks each row's candidates with the bundle's primary ranker."""

    def load_context(self, context: Any) -> None:
        """Loads the bundle, hashes verified."""
        self.bundle = load_bundle(Path(context.artifacts["bundle"]))

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> pd.DataFrame:
        """A frame with `ranking` and `scores`, one row for each of `model_input`."""
        requests = [schema.request(row) for row in model_input.to_dict("records")]
        answers = []
        for request, scores in zip(requests, self.bundle.primary.score_batch(requests), strict=True):
            order = ranking(scores)
            ids = [request.candidates.item_ids[place] for place in order]
            answers.append({schema.RANKING: ids, schema.SCORES: scores[order].astype(float).tolist()})
        return pd.DataFrame(answers, columns=[schema.RANKING, schema.SCORES])


mlflow.models.set_model(RankingModel())
