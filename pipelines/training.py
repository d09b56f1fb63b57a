"""The training pipeline: the whole loop from events to a serving model, on one screen.

`liverank compile` writes it as YAML; that YAML is what `liverank run` executes here and `liverank submit` on Kubeflow.
Everything a step depends on is among its inputs, the version of the code included, so a step whose inputs are the same
is not run again: that is how a run that failed goes on where it stopped. Only the steps that act on the world outside
(register, deploy) run every time; both do nothing when it is done already.
"""

from typing import Any

from kfp import dsl

from components.component import IMAGE
from components.deploy import deploy
from components.evaluate import evaluate
from components.features import features as build_features
from components.ingest import ingest
from components.refuse import refuse
from components.register import register
from components.train import train
from components.validate import validate
from pipelines.profile import Profile


def training_pipeline(profile: Profile, resume: bool = True) -> Any:
    """The pipeline with the Kubernetes settings of `profile`; its parameters are the configuration's sections.

    With `resume` off no step takes up an earlier result: a schedule repeats its arguments while the data moves on.
    """

    @dsl.pipeline(name="liverank-training", description="From events to a better ranker that serves, or a reason.")
    def training_run(
        data: dict[str, Any] = {},  # noqa: B006
        validation: dict[str, Any] = {},  # noqa: B006
        features: dict[str, Any] = {},  # noqa: B006
        training: dict[str, Any] = {},  # noqa: B006
        evaluation: dict[str, Any] = {},  # noqa: B006
        registry: dict[str, Any] = {},  # noqa: B006
        deployment: dict[str, Any] = {},  # noqa: B006
        workspace: str = "/tmp/liverank",
        snapshot: str = "",
        champion: str = "",
        code: str = "",
        run: str = "",
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
            bundle = place(
                train(features=featured, config=training, workspace=workspace, code=code), kind=profile.train
            ).outputs["bundle"]
            judged = place(
                evaluate(
                    features=featured, bundle=bundle, config=evaluation, registry=registry, champion=champion, code=code
                )
            )
            registered = place(
                register(
                    bundle=bundle,
                    evaluation=judged.outputs["evaluation"],
                    accepted=accepted,
                    config=registry,
                    code=code,
                    run=run,
                    job=dsl.PIPELINE_JOB_ID_PLACEHOLDER,
                ),
                cached=False,
            )
            with dsl.If(registered.outputs["Output"] == True, "promoted"):  # noqa: E712
                place(
                    deploy(
                        version=registered.outputs["version"], config=deployment, registry=registry, workspace=workspace
                    ),
                    cached=False,
                )

        with dsl.If(checked.outputs["Output"] == False, "invalid"):  # noqa: E712
            place(refuse(accepted=accepted, report=checked.outputs["report"]), cached=False)

    return training_run
