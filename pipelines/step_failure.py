"""Why a step failed, from the log: the error that the step raised, as the error that the user sees."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from liverank import errors
from liverank.errors import LiverankError, PipelineError, StageStopped

_RAISED = re.compile(
    r"^\s*((?:[A-Za-z_]\w*\.)*[A-Za-z_]\w*(?:Error|Exception|Stopped|Interrupt|Exit|Failure|Warning))(?:: (.*))?$"
)
_RUNNER = re.compile(r"^\d\d:\d\d:\d\d\.\d+ - [A-Z]+ - |^\d{4}-\d\d-\d\d |^-{20,}$")


def step_failure(step: str, log: Path, pages: Mapping[str, str] = MappingProxyType({})) -> LiverankError:
    """The error to raise for a failed step: its own verdict, its one clear line, or the log's last words.

    Where its verdict names a report among the step's artifacts, `pages` says where the user finds it.
    """
    lines = step_lines(step, log.read_text(encoding="utf-8", errors="replace").splitlines())
    raised = next((found for line in reversed(lines) if (found := _RAISED.match(line))), None)
    if raised is None:
        last = next((line.strip() for line in reversed(lines) if line.strip()), "it wrote nothing")
        return PipelineError(
            f"Step '{step}' ended without a Python error (killed, or out of memory?); its last line: {last}",
            f"Its log: {log}",
        )
    name, message = raised[1].rpartition(".")[2], (raised[2] or "").strip()
    kind = getattr(errors, name, None) if raised[1].startswith("liverank.") else None
    if kind is StageStopped:
        for artifact, page in pages.items():
            message = message.replace(artifact, page)
        return StageStopped(message)
    if kind is not None:
        return PipelineError(f"Step '{step}' failed: {message}", f"Its log: {log}")
    return PipelineError(f"Step '{step}' failed with {name}: {message or 'no message'}", f"Its log: {log}")


def step_lines(step: str, lines: list[str]) -> list[str]:
    """The lines that the last execution of `step` wrote, the runner's own left out."""
    begin = max((i for i, line in enumerate(lines) if f"Executing task '{step}'" in line), default=-1) + 1
    ends = (i for i, line in enumerate(lines) if i >= begin and f"Task '{step}' finished with status" in line)
    return [line for line in lines[begin : next(ends, len(lines))] if not _RUNNER.match(line)]
