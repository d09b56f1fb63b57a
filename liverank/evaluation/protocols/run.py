"""Runs a protocol on a dataset folder, from the files to figures, `metrics.json` and `report.html`."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from liverank import progress
from liverank.config import Config
from liverank.config.training import TrainingConfig
from liverank.evaluation.protocols.asks import Split
from liverank.evaluation.protocols.baskets import run_baskets
from liverank.evaluation.protocols.leave_one_out import cold_groups, leave_one_out
from liverank.evaluation.protocols.lists import run_lists
from liverank.evaluation.protocols.log import Log, Mask, read_log
from liverank.evaluation.protocols.report import write_report
from liverank.evaluation.protocols.results import METRICS_FILE, ProtocolResult, Table, check_enough, find, together
from liverank.evaluation.protocols.sampled import sampled_table, trained_tables
from liverank.evaluation.protocols.settings import ProtocolSettings
from liverank.evaluation.protocols.split_run import Means, Ran, run_split, split_facts
from liverank.evaluation.protocols.temporal import temporal
from liverank.evaluation.protocols.trained import SAMPLED, SAMPLED_TRAINED, changes, check_training, undecayed
from liverank.evaluation.protocols.watch import Watch
from liverank.evaluation.report.page import REPORT_FILE
from liverank.memory import peak_mib
from liverank.output import output_folder


def run_protocol(dataset: Path, out: Path, settings: ProtocolSettings, config: Config) -> ProtocolResult:
    """Runs a protocol and writes `metrics.json` and `report.html` into `out`.

    `out/checkpoints` keeps text embeddings, and training states until the run is done: a run that was killed goes on
    from there.

    Args:
        dataset: a dataset folder, as ingest writes it.
        out: folder for the results; made when missing.
        settings: the protocol and its options.
        config: settings of the data, of training and of the intervals.

    Raises:
        DataError: the folder cannot be read, or is too small for the protocol.
        ConfigError: a setting has no meaning, or means nothing to the protocol.
        OutputError: nothing can be written into `out`.
    """
    check_training(config.training, settings.protocol)
    _forget_earlier(out)
    means = _means(settings, out, undecayed(config.training, settings.protocol))
    name, ran = _run(dataset, means, config)
    result = _found(settings.protocol, name, ran, means, config)
    return _written(out, result, ran.tables[0], means)


def run_sampled(dataset: Path, out: Path, candidates: int, config: Config, seeds: int = 0) -> ProtocolResult:
    """Ranking of what came among so many candidates, users' last events left out (see `sampled`).

    With `seeds` there is a second table, of rankers that were trained so often. Writes the same files as
    `run_protocol`, and raises the same.
    """
    name = SAMPLED_TRAINED if seeds else SAMPLED
    check_training(config.training, name)
    _forget_earlier(out)
    settings = ProtocolSettings(seeds=max(1, seeds))
    means = _means(settings, out, undecayed(config.training, settings.protocol) if seeds else config.training)
    log = read_log(dataset, config.data)
    split = split_of(log, settings)
    with means.watch("embed and rank"):
        table = sampled_table(split, candidates, settings.k, config.training, means.checkpoints)
    ran = Ran([table], split_facts(split))
    if seeds:
        tables, ran.chosen["seeds"] = trained_tables(split, candidates, means)
        ran.tables.append(together(tables))
    result = _found(name, log.name, ran, means, config)
    return _written(out, result, table, means)


def _written(out: Path, result: ProtocolResult, table: Table, means: Means) -> ProtocolResult:
    write_report(out, result, table)
    result.write(out)
    # A finished state would be taken up by the next run, whose seconds then said nothing.
    for state in means.checkpoints.glob("*.safetensors"):
        if not state.name.startswith("embeddings"):
            state.unlink()
    return result


def _forget_earlier(out: Path) -> None:
    """Removes an earlier run's results, so that none of them stands beside this run's data where this one fails."""
    for name in (METRICS_FILE, REPORT_FILE):
        (out / name).unlink(missing_ok=True)


def _means(settings: ProtocolSettings, out: Path, training: TrainingConfig) -> Means:
    return Means(settings, training, output_folder(out / "checkpoints"), Watch())


def _found(protocol: str, name: str, ran: Ran, means: Means, config: Config) -> ProtocolResult:
    with means.watch("intervals"), progress.stage("intervals"):
        findings = [finding for table in ran.tables for finding in find(table, config.evaluation)]
    return ProtocolResult(
        protocol=protocol,
        k=means.settings.k,
        confidence=config.evaluation.confidence,
        settings=means.settings.explain(),
        training=changes(means.training),
        data={"name": name, **ran.data},
        findings=findings,
        chosen=ran.chosen,
        seconds={**means.watch.seconds, "total": means.watch.total()},
        peak_mib=round(peak_mib(), 1),
    )


def _run(dataset: Path, means: Means, config: Config) -> tuple[str, Ran]:
    settings = means.settings
    with means.watch("read"):
        log = read_log(dataset, config.data)
    if settings.protocol == "prequential":
        return log.name, run_baskets(dataset, config.data, means)
    log = log.sampled(settings.max_users)
    log = log.renumbered() if settings.renumber else log
    log = log.shuffled_ties() if settings.shuffle_ties else log
    if settings.protocol == "lists":
        return log.name, run_lists(dataset, log, config.data, means)
    split = split_of(log, settings)
    groups = history_groups(split) if settings.protocol == "temporal" else cold_groups(split)
    return log.name, run_split(split, groups, means)


def split_of(log: Log, settings: ProtocolSettings) -> Split:
    """The split that the settings ask for.

    Raises:
        DataError: too little can be tested.
    """
    if settings.protocol == "temporal":
        split = temporal(log, settings.share, settings.keep_seen)
    else:
        split = leave_one_out(log, settings.keep_seen, settings.cold)
    needed = "users with three events" if settings.protocol == "leave-one-out" else "users with steps after the cut"
    hint = f"Give more {needed}, or name the types that count in data.label_types"
    # A user's later events with the same item are not asked for.
    hint += "." if settings.keep_seen else "; where users come back to the same items, add --keep-seen."
    check_enough([log.events.users[ask.user] for ask in split.test], hint)
    return split


def history_groups(split: Split) -> dict[str, Mask]:
    """The test requests by whether their user has a history."""
    known = np.asarray([ask.stop > ask.start for ask in split.test], bool)
    # A group that is everyone would be the same table again.
    return {} if known.all() or not known.any() else {"with a history": known, "without a history": ~known}
