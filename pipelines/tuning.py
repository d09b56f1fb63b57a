"""The tuning pipeline: from events to better training settings, with the first steps of the training pipeline.

Its first three steps have the inputs that they have in the training pipeline, so what one has made the other takes up.
"""

from typing import Any

from kfp import dsl

from components.component import IMAGE
from components.features import features as build_features
from components.ingest import ingest
from components.refuse import refuse
from components.tune import tune
from components.validate import validate
from pipelines.profile import Profile


def tuning_pipeline(profile: Profile, resume: bool = True) -> Any:
    """The pipeline with the Kubernetes settings of `profile`; its parameters are the configuration's sections.

    With `resume` off no step takes up an earlier result; a study that is kept in the workspace goes on all the same.
    """

    @dsl.pipeline(name="liverank-tuning", description="From events to better training settings, and what they gain.")
    def tuning_run(
        data: dict[str, Any] = {},  # noqa: B006
        validation: dict[str, Any] = {},  # noqa: B006
        features: dict[str, Any] = {},  # noqa: B006
        training: dict[str, Any] = {},  # noqa: B006
        tuning: dict[str, Any] = {},  # noqa: B006
        evaluation: dict[str, Any] = {},  # noqa: B006
        registry: dict[str, Any] = {},  # noqa: B006
        workspace: str = "/tmp/liverank",
        snapshot: str = "",
        code: str = "",
        image: str = IMAGE,
    ) -> None:
        def place(task: Any, cached: bool = True, kind: Any = profile.step) -> Any:
            return kind.apply(task).set_container_image(image).set_caching_options(cached and resume)

        raw = place(ingest(data=data, workspace=workspace, snapshot=snapshot, code=code)).outputs["dataset"]
        checked = place(validate(dataset=raw, validation=validation, data=data, workspace=workspace, code=code))
        accepted = checked.outputs["accepted"]

        with dsl.If(checked.outputs["Output"] == True, "valid"):  # noqa: E712
            featured = place(
                build_features(
                    dataset=accepted, config=features, data=data, training=training, workspace=workspace, code=code
                )
            ).outputs["table"]
            place(
                tune(
                    features=featured,
                    config=tuning,
                    data=data,
                    lists=features,
                    training=training,
                    evaluation=evaluation,
                    registry=registry,
                    workspace=workspace,
                    code=code,
                ),
                kind=profile.train,
            )

        with dsl.If(checked.outputs["Output"] == False, "invalid"):  # noqa: E712
            place(refuse(accepted=accepted, report=checked.outputs["report"]), cached=False)

    return tuning_run
