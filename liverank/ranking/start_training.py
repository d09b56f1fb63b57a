"""The train step on one process, several, or a cluster's machines, as the configuration says."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from liverank.config.training import TrainingConfig

if TYPE_CHECKING:
    from liverank.ranking.fit import FitSummary
    from liverank.ranking.trainjob import Jobs


def start_training(
    features: Path, out: Path, config: TrainingConfig, checkpoints: Path, jobs: Jobs | None = None
) -> FitSummary:
    """Fits all rankers where `config.launch` says, and writes the bundle `out`.

    Args:
        features: the features folder.
        out: where the bundle goes.
        config: settings of every ranker, and where they are fitted.
        checkpoints: keeps embeddings and training states; a run that was killed goes on from there.
        jobs: the cluster's TrainJobs; None for those of the Kubeflow SDK.

    Raises:
        LiverankError: as `fit`.
        TrainingError: processes or a job failed.
    """
    if config.launch.mode == "torchrun":
        from liverank.ranking.torchrun import run_torchrun

        return run_torchrun(features, out, config, checkpoints)
    if config.launch.mode == "trainjob":
        from liverank.ranking.trainjob import run_trainjob

        return run_trainjob(features, out, config, checkpoints, jobs)
    from liverank.ranking.fit import fit

    return fit(features, out, config, checkpoints)
