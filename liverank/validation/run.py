"""The validate step: a dataset in; the accepted dataset, the quarantine, a verdict and a page for people out."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

from liverank.config import DataConfig, ValidationConfig
from liverank.data.dataset import SOURCE_FILE, read_source
from liverank.data.languages import NAMES as LANGUAGES
from liverank.errors import ConfigError
from liverank.progress import note, stage
from liverank.validation import history as past
from liverank.validation.checks import configured
from liverank.validation.flags import SCRIPTS
from liverank.validation.judging import Judging
from liverank.validation.own_suites import Expectation, expectations, read_suites
from liverank.validation.report import page
from liverank.validation.result import RESULT_FILE, SUITES_FILE, ValidationResult


def validate(
    dataset: Path,
    config: ValidationConfig,
    data: DataConfig,
    accepted: Path,
    quarantine: Path,
    report: Path,
    now: datetime,
    history: Path | None = None,
) -> ValidationResult:
    """Judges a dataset folder and parts its rows; nothing is lost: accepted + set aside + rejected = source.

    Args:
        dataset: what ingest wrote.
        config: limits, severities and the user's suites.
        data: the known event types.
        accepted: becomes a dataset folder without the rows set aside, with `result.json` and `suites.json`; where the
            tables do not have the contract's columns it holds only these two.
        quarantine: gets one Parquet file a table with the rows set aside and a column `reasons`.
        report: the HTML page.
        now: the time of the run, with a zone.
        history: folder of the records of validations; the run adds its own. None: without a past.

    Raises:
        ConfigError: a severity, script, language or suite makes no sense.
        DataError: a file is missing or unreadable.
    """
    source = read_source(dataset)
    judging = prepared(dataset, config, data, accepted, quarantine, now, source)
    records = past.recall(history)
    judging.before = [record for record in records if record["ok"] and record["profile"]]
    report.parent.mkdir(parents=True, exist_ok=True)
    # A folder without them is known to be unfinished.
    for name in (SOURCE_FILE, RESULT_FILE):
        (accepted / name).unlink(missing_ok=True)
    with stage("validate"):
        result = judging.judge()
        record = _record(judging, result)
        report.write_text(page(result, judging.samples, source, now, [*records, record]), encoding="utf-8")
        (accepted / SUITES_FILE).write_text(_json(judging.suites), encoding="utf-8")
        (accepted / RESULT_FILE).write_text(_json(result.to_json()), encoding="utf-8")
        if history is not None:
            past.remember(history, record, config.history)
    _tell(result)
    return result


def prepared(
    dataset: Path,
    config: ValidationConfig,
    data: DataConfig,
    accepted: Path,
    quarantine: Path,
    now: datetime,
    source: dict[str, Any],
) -> Judging:
    """A judgment that only has to be started, without a past; makes its folders.

    Raises:
        ConfigError: a severity, script, language or suite makes no sense.
    """
    _all_known("scripts", config.scripts, (*SCRIPTS, "other"))
    _all_known("languages", config.languages, tuple(LANGUAGES))
    own: dict[str, Expectation] = {one.check.name: one for one in expectations(read_suites(config.suites))}
    checks = configured(config.severities, [one.check for one in own.values()])
    for folder in (accepted, quarantine):
        folder.mkdir(parents=True, exist_ok=True)
    return Judging(dataset, config, data, accepted, quarantine, now, checks, own, source, [])


def _all_known(setting: str, names: tuple[str, ...], known: tuple[str, ...]) -> None:
    for name in names:
        if name not in known:
            told = f"Write {', '.join(known[:-1])} or {known[-1]}."
            raise ConfigError(f"validation.{setting}: there is no {name!r}.", told)


def _record(judging: Judging, result: ValidationResult) -> past.Record:
    """What the history keeps of a run."""
    return {
        "time": judging.now.isoformat(),
        "ok": result.ok,
        "source": str(judging.source.get("source", "")),
        "hash": judging.hash,
        "accepted": str(judging.accepted.absolute()),
        "quarantine": str(judging.quarantine.absolute()),
        "rows": {name: vars(rows) for name, rows in result.rows.items()},
        "set_aside": result.set_aside,
        "total": result.total,
        "checks": {one.name: [one.outcome, one.failing] for one in result.checks if one.outcome != "pass"},
        "unplaced": result.unplaced,
        "sources": {name: vars(rows) for name, rows in result.sources.items()},
        "profile": judging.profile,
    }


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def _tell(result: ValidationResult) -> None:
    why = "; ".join(f"{reason}: {count:,}" for reason, count in list(result.reasons.items())[:5])
    note(f"Validation set aside {result.set_aside:,} of {result.total:,} rows{f' ({why})' if why else ''}.")
    for check in result.checks:
        if check.outcome in ("warn", "stop", "error"):
            note(f"{check.outcome}: {check.name}: {check.about} {check.detail}")
