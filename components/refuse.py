"""Refuse: fails the run when validation says stop, so that neither a person nor a schedule takes it for a success."""

from kfp.dsl import HTML, Dataset, Input

from components.component import component


@component
def refuse(accepted: Input[Dataset], report: Input[HTML]) -> None:
    """Ends the run with the checks that stopped it.

    Args:
        accepted: What validate wrote, with `result.json`.
        report: Validation's report, named in the message.
    """
    import json
    from pathlib import Path

    from liverank.errors import StageStopped

    result = json.loads((Path(accepted.path) / "result.json").read_text(encoding="utf-8"))
    stopped = [check["name"] for check in result["checks"] if check["outcome"] in ("stop", "error")]
    raise StageStopped(f"Validation stopped the run: {', '.join(stopped)}.", f"Its report: {report.uri}")
