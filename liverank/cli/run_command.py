"""`liverank run`: the training pipeline on this machine, step by step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from liverank.cli.options import ConfigFile, Settings, overrides

if TYPE_CHECKING:
    from rich.console import Console

    from liverank.config import Config
    from pipelines.local import LocalRun


def run(
    data: Annotated[str, typer.Option("--data", help="Source of the data; the same as --set data.source=...")] = "",
    no_resume: Annotated[bool, typer.Option("--no-resume", help="Take up nothing from earlier runs.")] = False,
    file: ConfigFile = "",
    settings: Settings = [],  # noqa: B006  typer reads it, nothing changes it
) -> None:
    """Run the compiled pipeline here: validate, features, train, evaluate, register, deploy."""
    from rich.console import Console

    from liverank.cli.pipeline_ring import pipeline_ring
    from liverank.cli.teller import teller
    from liverank.config import load_config
    from liverank.errors import ConfigError

    pipeline_ring()
    from pipelines.local import run_local

    values = overrides(settings) | ({"data.source": data} if data else {})
    config = load_config(file or None, values)
    if not config.data.every_source() and not config.data.live_store:
        raise ConfigError("There is no data to train on.", "Name it with --data, or set data.source.")
    console = Console()
    with console.status("starting") as status:
        done = run_local(config, teller(console, status.update), resume=not no_resume)
    _tell_results(console, done, config)


def _tell_results(console: Console, run: LocalRun, config: Config) -> None:
    from rich.markup import escape

    from liverank.cli.demo.tables import metrics_table

    outputs = run.outputs

    def say(text: str) -> None:
        console.print(escape(text), highlight=False, soft_wrap=True)

    console.print()
    for check in outputs["validation"]["checks"]:
        if check["outcome"] != "pass":
            say(f"validation: {check['outcome']}: {check['name']}: {check['detail'].rstrip('.')}")
    console.print(metrics_table(outputs["evaluation"]["findings"]))
    for reason in outputs["evaluation"]["reasons"]:
        say(f"gate: {reason}")
    version = outputs["register"]
    aliases = ", ".join(version["aliases"]) or "no alias"
    say(f"registered: version {version['version']} of {version['model_name']} ({aliases})")
    if deployed := outputs.get("deploy"):
        say(f"deployed: {deployed['state']} ({deployed['target']})")
    else:
        say(_undeployed(version["version"], outputs["evaluation"]["reasons"], config))
    for name, path in outputs["reports"].items():
        say(f"{name} report: {path}")
    say(f"log: {run.log}")


def _undeployed(version: str, reasons: list[str], config: Config) -> str:
    """What a version that was not promoted means: another one serves on, or none can yet."""
    from liverank.registry import champion

    reigning = champion(config.resolved().registry)
    if reigning is not None:
        return f"deployed: no, champion version {reigning.version} serves on"
    # The rule that decided comes first; all of them stand above.
    because = reasons[0].rstrip(".") if reasons else "the gate said no"
    return (
        f"no champion yet: version {version} was refused because: {because}. Give it more data, or promote it "
        f"yourself: liverank promote {version} --reason ..."
    )
