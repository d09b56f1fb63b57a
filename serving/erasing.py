"""What a server can say of an erasure: what went, which model versions may have learned from it, what is left to do."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from liverank.certificates import Erased, ModelVersions, signed
from liverank.errors import LiverankError
from liverank.events import Impression, Record
from liverank.pseudonyms import Pseudonyms
from liverank.store import LiveStore
from serving.model import ChampionSource, ModelSource, ServedModel
from serving.troubles import Troubles

ELSEWHERE = "Whether data outside this store taught a model of the user, before or after."
BEFORE = "Whether versions before the one that serves, or data outside this store, hold the user."
_SOURCES = (
    "Erase the user in the sources that training reads (data.source), or the next training learns of them again.",
    "Copies of the log in the workspaces of pipeline runs lose the user with each one's next run; remove those that no "
    "run will use again.",
    "Backups and replicas of the store, and logs of proxies that keep paths, are nobody's here.",
)


def erase(
    user_id: str, names: Pseudonyms, store: LiveStore, source: ModelSource, serving: ServedModel, now: datetime
) -> Erased:
    """Erases a user and certifies it; to be called when nothing about the user waits to be written.

    Raises:
        StoreError: the store cannot be reached; nothing was erased, or all of it.
    """
    name = names.user(user_id)
    records, first = store.user(name), store.first_arrival(name)
    erased = store.erase(name)
    learned, unknown = _learned(source, serving, first)
    certificate = Erased(
        certificate_id=uuid.uuid4().hex,
        erased_at=now.isoformat(timespec="seconds"),
        user_id=user_id,
        store=store.identity(),
        erased=erased,
        records=_kinds(records),
        model_versions=ModelVersions(_answered(records), learned, unknown),
        to_do=[*_retrain(learned), *_SOURCES],
    )
    return signed(certificate, names.signing_key())


def _kinds(records: Sequence[Record]) -> dict[str, int]:
    return dict(sorted(Counter(type(record).__name__.lower() for record in records).items()))


def _answered(records: Sequence[Record]) -> list[str]:
    shown = [record.model_version for record in records if isinstance(record, Impression)]
    return sorted({version for versions in shown for version in versions.split("+")})  # two where interleaved


def _retrain(learned: Sequence[str]) -> list[str]:
    if not learned:
        return []
    what = f"version {learned[0]}" if len(learned) == 1 else f"versions {', '.join(learned)}"
    return [f"Train and promote a model without the user, then delete {what} from the registry."]


def _learned(source: ModelSource, serving: ServedModel, first: float | None) -> tuple[list[str], str]:
    """The versions made after the user's first record had arrived, and what is not known of them.

    A version that is older cannot have learned from this store; one that is newer may have.
    """
    made, unknown = _made(source, serving)
    if first is None:
        return [], unknown
    # Registries tell the time to the second or better; the second counts for the user.
    return sorted({version for version, at in made.items() if at >= int(first)}), unknown


def _made(source: ModelSource, serving: ServedModel) -> tuple[dict[str, float], str]:
    """Version -> epoch seconds at which it was made, as far as is known here."""
    created = serving.bundle.manifest.get("created_at")
    made = {} if created is None else {serving.version: datetime.fromisoformat(created).timestamp()}
    if not isinstance(source, ChampionSource):
        return made, BEFORE
    from liverank import registry

    try:
        found = registry.versions(source.config)
    except LiverankError as problem:
        Troubles().say(problem)
        return made, BEFORE
    registered = {each.version: datetime.fromisoformat(each.created_at).timestamp() for each in found}
    return registered | made, ELSEWHERE
