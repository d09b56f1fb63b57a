"""The rules of request and surface on a scored list: `liverank.shaping` with what the model and the store know."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial

import msgspec
import numpy as np

from liverank.config.shaping import SurfaceConfig
from liverank.events import Item
from liverank.ranking.catalogue import Floats
from liverank.ranking.protocol import History
from liverank.shaping.arranging import Arranged, arrange
from liverank.shaping.costs import costs
from liverank.shaping.exploration import Draw
from liverank.shaping.listed import Flags, Listed
from liverank.shaping.rules import CATEGORY, Exploration, Rules, merged
from serving.api import Offered, RankedItem, RankRequest, Refused
from serving.model import ServedBundle
from serving.ordering import DECIMALS, ranked
from serving.scoring import Answer

DEFAULT = "default"
"""The surface in the configuration that stands for every one not named there."""


@dataclass(frozen=True, slots=True)
class Shaping:
    """What holds for a request: its own rules and its surface's."""

    rules: Rules
    exploration: Exploration | None

    @property
    def plain(self) -> bool:
        """Whether the order by score, what is left out and what stands first are all there is to it."""
        return self.exploration is None and self.rules.plain

    @property
    def slow(self) -> list[str]:
        """What of it takes items' attributes, a search or many comparisons, by name."""
        rules = self.rules
        names = ("boost", "caps", "new", "diversity")
        return [*(f"rules.{name}" for name in names if getattr(rules, name)), *["exploration"] * bool(self.exploration)]

    @property
    def quick(self) -> Shaping:
        """What is left of it without that: exclusions and pins."""
        return Shaping(msgspec.structs.replace(self.rules, boost=[], caps=[], new=None, diversity=None), None)


@dataclass(frozen=True, slots=True)
class Shaped:
    """The lines, which rules do not hold as they are written, and what each cost where that was asked for."""

    lines: list[RankedItem]
    lacking: Sequence[str] = ()
    costs: dict[str, float] | msgspec.UnsetType = msgspec.UNSET


class Shaper:
    """Shapes the lists of all surfaces.

    Items' attributes are those of the candidate, else of the live store's item; the category also the catalogue's.
    """

    def __init__(self, surfaces: Mapping[str, SurfaceConfig], event_types: Iterable[str]) -> None:
        self._surfaces = {name: Shaping(of.rules(), of.explores()) for name, of in surfaces.items()}
        self._default = self._surfaces.get(DEFAULT, Shaping(Rules(), None))
        self._event_types = frozenset(event_types)
        self._attributes: dict[str, Mapping[str, str]] = {}

    def learn(self, items: Iterable[Item]) -> None:
        """Takes the attributes of new or changed items over."""
        self._attributes.update((item.item_id, item.attributes) for item in items)

    def check(self, request: RankRequest) -> None:
        """Refuses event types that no event can have.

        Raises:
            Refused: 400.
        """
        for kind in request.rules.exclude_types:
            if kind not in self._event_types:
                raise Refused(400, f"rules.exclude_types: '{kind}' has no weight in data.event_weights.")

    def shaping(self, request: RankRequest) -> Shaping:
        """What holds for a request."""
        surface = self._surfaces.get(request.surface, self._default)
        if surface.rules.empty:
            return Shaping(request.rules, surface.exploration)
        return Shaping(merged(surface.rules, request.rules), surface.exploration)

    def light(self, request: RankRequest) -> bool:
        """Whether a list is shaped in less time than it takes to hand it to another thread."""
        shaping = self.shaping(request)
        return shaping.plain and not (request.explain and not shaping.rules.empty)

    def shaped(
        self,
        request: RankRequest,
        offered: Offered,
        answer: Answer,
        bundle: ServedBundle,
        impression_id: str,
        hurried: bool = False,
    ) -> Shaped:
        """The list to show; `hurried` leaves out what takes long, and says so."""
        shaping, ids = self.shaping(request), offered.item_ids
        if self.light(request):
            return Shaped(ranked(answer.scores, ids, shaping.rules, request.k, answer.contributions))
        explained = request.explain and not hurried
        hasty = []
        if hurried:
            left_out = [*shaping.slow, *(["costs"] if request.explain else [])]
            hasty = [f"deadline: no time for {', '.join(left_out)}"] if left_out else []
            shaping = shaping.quick
        rules = shaping.rules
        listed = self._listed(offered, answer, bundle)
        excluded, lacking = _excluded(rules, listed, answer.history)
        draw = Draw(shaping.exploration, impression_id) if shaping.exploration else None
        found = arrange(listed, rules, request.k, excluded, draw)
        told = costs(listed, rules, request.k, excluded, found) if explained else msgspec.UNSET
        return Shaped(_lines(found, answer, ids, draw is not None), [*hasty, *lacking, *found.lacking], told)

    def settled(self, request: RankRequest, offered: Offered, answer: Answer, bundle: ServedBundle) -> Flags:
        """`[candidates]`: whether rules alone decide on a candidate, because they exclude or pin it."""
        rules = self.shaping(request).rules
        listed = self._listed(offered, answer, bundle)
        return _excluded(rules, listed, answer.history)[0] | listed.among(pin.item_id for pin in rules.pins)

    def _listed(self, offered: Offered, answer: Answer, bundle: ServedBundle) -> Listed:
        ids = offered.item_ids
        return Listed(
            ids,
            answer.scores,
            cache(partial(self._values, offered, bundle)),
            partial(_is_new, offered, bundle),
            cache(partial(_vectors, offered, bundle)),
        )

    def _values(self, offered: Offered, bundle: ServedBundle, attribute: str) -> Sequence[str]:
        details = offered.details
        if attribute == CATEGORY:
            catalogue = bundle.catalogue
            index, categories = catalogue.index, catalogue.categories
            return [
                (item in details and details[item].category) or (categories[index[item]] if item in index else "")
                for item in offered.item_ids
            ]
        stored = self._attributes
        return [
            (item in details and details[item].attributes.get(attribute, ""))
            or (stored[item].get(attribute, "") if item in stored else "")
            for item in offered.item_ids
        ]


def _is_new(offered: Offered, bundle: ServedBundle) -> Flags:
    """As `Catalogue.is_new` says; of items that it lacks, those that came with a text."""
    catalogue = bundle.catalogue
    index, is_new = catalogue.index, catalogue.is_new
    texts = offered.texts
    return np.array([is_new[index[item]] if item in index else item in texts for item in offered.item_ids], bool)


def _vectors(offered: Offered, bundle: ServedBundle) -> Floats | None:
    return bundle.vectors(offered.item_ids, offered.texts)


def _excluded(rules: Rules, listed: Listed, history: History | None) -> tuple[Flags, list[str]]:
    excluded = listed.among(rules.exclude)
    if not rules.exclude_types:
        return excluded, []
    if history is None:
        return excluded, ["rules: exclude_types: the user's history was not read"]
    types = set(rules.exclude_types)
    had = (item for item, kind in zip(history.item_ids, history.types, strict=True) if kind in types)
    return excluded | listed.among(had), []


def _lines(found: Arranged, answer: Answer, item_ids: Sequence[str], drawn: bool) -> list[RankedItem]:
    values = np.asarray(answer.scores, np.float64).round(DECIMALS).tolist()
    why = answer.contributions
    return [
        RankedItem(
            item_ids[row],
            values[row],
            position,
            propensity=propensity if drawn else None,
            reasons=why.reasons(row) if why is not None else None,
        )
        for position, (row, propensity) in enumerate(zip(found.rows, found.propensities, strict=True), 1)
    ]
