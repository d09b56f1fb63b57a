"""The loop as the demo walks it: train, deploy, rank live, drift, monitor, retrain, swap, recover."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from liverank.cli.demo.server import model_server
from liverank.cli.demo.story import Story
from liverank.cli.demo.tables import before_and_after, metrics_table
from liverank.cli.demo.traffic import Tally, Traffic, rank, send
from liverank.config import Config
from liverank.events import Interaction

if TYPE_CHECKING:
    from liverank.cli.demo.worlds import Setting
    from liverank.data.traffic import LiveRequest
    from monitoring.decision import DecisionRecord
    from pipelines.local import LocalRun

BACKGROUND_USERS = 1
CLICKED_POSITION = 8


@dataclass
class Demo:
    """One telling of the whole loop."""

    story: Story
    config: Config
    config_file: Path
    setting: Setting

    def tell(self) -> None:
        """Walks the loop; what must hold is checked by the story."""
        first = self._train()
        self._fill_store()
        log = self.config.workspace_path / "server.log"
        with self.story.chapter("The model server (KServe) starts on the champion"):
            starting = model_server(self.config_file, self.config.registry.model_name, log)
            url = starting.__enter__()
            self.story.say(f"POST {url}/v1/rank and {url}/v1/events; log: {log}")
        try:
            self._one_user(url)
            traffic = Traffic(self.setting.world, url)
            records = [self._normal_window(traffic)]
            self._drift(traffic)
            records.append(self._retrain(traffic, first))
            records.append(self._recovered_window(traffic))
            self._compare_quality(records)
        finally:
            starting.__exit__(None, None, None)

    def _train(self) -> LocalRun:
        from pipelines.local import run_local

        with self.story.chapter("The compiled Kubeflow pipeline, run on this machine"):
            with self.story.under_way() as tell:
                run = run_local(self.config, tell)
            self._report_run(run)
            self.story.check(run.promoted, "the gate let the first model become champion")
        return run

    def _report_run(self, run: LocalRun) -> None:
        outputs = run.outputs
        self.story.show(metrics_table(outputs["evaluation"]["findings"]))
        for reason in outputs["evaluation"]["reasons"]:
            self.story.say(f"gate: {reason}")
        version = outputs["register"]
        aliases = ", ".join(version["aliases"])
        self.story.say(f"registered: version {version['version']} of {version['model_name']} in MLflow ({aliases})")

    def _fill_store(self) -> None:
        from liverank.data.backfill import backfill
        from liverank.store import open_store

        with self.story.chapter("The live store learns what users did before"):
            store = open_store(self.config.store_place, bounds=self.config.store)
            try:
                new = backfill(self.config.data, store, self.config.serving.history_length, datetime.now(UTC))
            finally:
                store.close()
            self.story.say(f"{new:,} events, each user's latest {self.config.serving.history_length}")

    def _one_user(self, url: str) -> None:
        with (
            self.story.chapter("One user's ranking, before and after an event seconds ago"),
            httpx.Client(base_url=url) as client,
        ):
            request = next(iter(self.setting.world.requests(1)))
            before = [line["item_id"] for line in rank(client, request)["ranking"]]
            event = _click(request, before[CLICKED_POSITION - 1])
            send(client, [event])
            later = replace(request, timestamp=request.timestamp + timedelta(seconds=2))
            after = [line["item_id"] for line in rank(client, later)["ranking"]]
            titles = self._titles()
            self.story.say(f"user {request.user_id}: {event.type} on '{titles.get(event.item_id, event.item_id)}'")
            self.story.show(before_and_after(before, after, titles))
            self.story.check(before != after, "the event changed the user's next ranking")

    def _titles(self) -> dict[str, str]:
        from liverank.ranking.bundle_files import load_bundle
        from liverank.registry import download

        catalogue = load_bundle(download(self.config.registry, "champion")).catalogue
        return dict(zip(catalogue.item_ids, catalogue.titles, strict=True))

    def _normal_window(self, traffic: Traffic) -> DecisionRecord:
        with self.story.chapter("Live traffic as usual, and the monitor's look at it"):
            self._tell_traffic(traffic.send(self.setting.window))
            record = self._look()
            self.story.check(record.action == "none", f"the monitor starts no run ({record.rule})")
        return record

    def _drift(self, traffic: Traffic) -> None:
        with self.story.chapter("Drift: from now on users want other things"):
            self.setting.world.drift()
            self._tell_traffic(traffic.send(self.setting.drifted))

    def _retrain(self, traffic: Traffic, first: LocalRun) -> DecisionRecord:
        with self.story.chapter("The monitor fires; the retrained champion is swapped in under traffic"):
            with _background(traffic, self.setting.pause) as tally:
                record = self._look()
                _until(lambda: len(tally.versions) > 1)
            self.story.check(record.action == "retrain", f"the monitor asked for retraining ({record.rule})")
            result = record.trigger
            self.story.check(
                bool(result and result.started), f"one run was started: {result.detail if result else 'none'}"
            )
            self.story.check(self._champion() != _version(first), "the gate made the retrained model champion")
            self._tell_traffic(tally)
            self.story.check(len(tally.versions) > 1, "the server answered with both versions, one after the other")
        return record

    def _recovered_window(self, traffic: Traffic) -> DecisionRecord:
        with self.story.chapter("The new champion on the drifted traffic"):
            tally = traffic.send(self.setting.window)
            self._tell_traffic(tally)
            self.story.check(set(tally.versions) == {self._champion()}, "every answer came from the new champion")
            record = self._look()
            self.story.check(record.action == "none", f"the monitor starts no second run ({record.rule})")
        return record

    def _compare_quality(self, records: list[DecisionRecord]) -> None:
        """The mean of the deciding metric in the normal, the drifted and the recovered window."""
        means = [record.window.mean if record.window and record.window.mean else 0.0 for record in records]
        normal, drifted, recovered = means
        self.story.say(
            f"{records[0].metric}: {normal:.3f} as usual, {drifted:.3f} after the drift, {recovered:.3f} now"
        )
        self.story.check(recovered > drifted, "ranking quality recovered")
        self.story.say("live histories had their part in it; the gate's paired difference is the model's")

    def _look(self) -> DecisionRecord:
        """One look of the monitor, with the real trigger."""
        from liverank.store import open_store
        from monitoring.loop import check
        from monitoring.models import RegistryModels
        from pipelines.triggers import LocalTrigger

        models = RegistryModels(self.config.registry)
        store = open_store(self.config.store_place, bounds=self.config.store)
        try:
            with self.story.under_way() as tell:
                trigger = LocalTrigger(self.config, tell)
                record = check(self.config, store, models, lambda: datetime.now(UTC), trigger, wait=False)
        finally:
            store.close()
        self.story.say(f"decision {record.id}: {record.action} ({record.rule})")
        self.story.say(record.reason)
        drifted = [finding.column for finding in record.columns if finding.outcome == "drifted"]
        self.story.say(f"drifted columns: {', '.join(drifted) or 'none'} of {len(record.columns)} watched")
        return record

    def _tell_traffic(self, tally: Tally) -> None:
        versions = ", ".join(f"version {version}: {count}" for version, count in sorted(tally.versions.items()))
        self.story.say(f"{tally.requests} rankings ({versions}), {tally.events} events sent back")
        for failure in tally.failures[:3]:
            self.story.say(f"failed request: {failure}")
        self.story.check(
            not tally.failures,
            f"no request failed ({tally.requests} of {tally.requests + len(tally.failures)} answered)",
        )
        for reason, count in tally.degraded.items():
            self.story.say(f"degraded answers: {count} x {reason}")

    def _champion(self) -> str:
        from liverank.registry import champion

        found = champion(self.config.registry)
        return found.version if found else ""


def _click(request: LiveRequest, item: str) -> Interaction:
    return Interaction(
        event_id=f"demo-{request.user_id}-{item}",
        user_id=request.user_id,
        item_id=item,
        type="click",
        timestamp=(at := request.timestamp + timedelta(seconds=1)),
        received_at=at,
        session_id=request.session_id,
    )


def _version(run: LocalRun) -> str:
    return str(run.outputs["register"]["version"])


def _until(holds: Callable[[], bool], seconds: float = 10) -> None:
    """Waits until something holds, no longer than that."""
    deadline = time.monotonic() + seconds
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.1)


@contextmanager
def _background(traffic: Traffic, pause: float) -> Iterator[Tally]:
    """Users who go on asking while the block runs; the tally is complete once it has ended."""
    stop, tally = threading.Event(), Tally()

    def ask() -> None:
        while not stop.wait(pause):
            tally.add(traffic.send(1, BACKGROUND_USERS))

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield tally
    finally:
        stop.set()
        thread.join()
