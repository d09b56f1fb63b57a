"""What the benchmark of `serving.query_weight` does in a process of its own: simulated queries, lists, orders."""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from liverank.config import ServingConfig
from liverank.evaluation.lists import Floats as Doubles
from liverank.evaluation.protocols.asks import Ask, Split
from liverank.evaluation.protocols.ranks import best_rows, metrics
from liverank.evaluation.protocols.scoring import CountScores
from liverank.evaluation.protocols.two_stage import listed
from liverank.ranking.catalogue import Catalogue, Rows
from liverank.ranking.protocol import Scores, ranking
from serving.query import QueryMatch
from serving.scoring import Answer

DEFAULT: Final = ServingConfig().query_weight
WEIGHTS: Final = tuple(sorted({0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0, DEFAULT}))
LENGTH: Final = 100
"""Candidates of a list."""
QUERIES: Final = ("one word", "two words", "the most common word", "one word of the most similar title")
"""What a query is made of: words of the title of what came; last, of another title."""
PROPOSED, SEARCHED = "by what the user did", "by the query"
LISTS: Final = (PROPOSED, SEARCHED)
"""How the candidates were found."""
SEED: Final = 29
LEAST_LETTERS: Final = 3
EMPTY_WORDS: Final = frozenset({"and", "for", "from", "the", "with"})
AT_ONCE: Final = 256


def query_weights(
    dataset: str, bundle: str, out: str, settings: dict[str, Any], overrides: dict[str, Any], requests: int
) -> dict[str, Any]:
    """NDCG of every test request at each weight into the file `out`, by how lists were found and queries were made.

    Args:
        dataset: a dataset folder.
        bundle: trained on its training events.
        out: an .npz file: `<lists>/<query>` -> `[requests, weights]`, `<lists>/<query>/users` -> `[requests]`.
        settings: of the protocol.
        overrides: settings of the configuration.
        requests: how many are asked at most.

    Returns:
        How many requests were asked, and how many titles there are.
    """
    from liverank.config import load_config
    from liverank.evaluation.protocols.asks import sample
    from liverank.evaluation.protocols.log import read_log
    from liverank.evaluation.protocols.run import split_of
    from liverank.evaluation.protocols.settings import protocol_settings
    from liverank.ranking.bundle_files import load_bundle

    chosen, config = protocol_settings(settings), load_config(overrides=overrides)
    split = split_of(read_log(Path(dataset), config.data).sampled(chosen.max_users), chosen)
    asks = sample(split.test, requests)
    orders = Orders(split, load_bundle(Path(bundle)).rankers, chosen.k)
    found: dict[str, list[Any]] = {}
    for start in range(0, len(asks), AT_ONCE):
        for name, user, values in orders.judged(asks[start : start + AT_ONCE]):
            found.setdefault(name, []).append(values)
            found.setdefault(f"{name}/users", []).append(user)
    np.savez(out, **{name: np.asarray(of) for name, of in found.items()})  # type: ignore[arg-type]
    return {"asked": len(asks), "titles": sum(map(bool, split.log.catalogue.titles))}


class Titles:
    """Words of titles, as a user might type them."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.words: list[list[str]] = [words(title) for title in catalogue.titles]
        self._held = Counter(word for of in self.words for word in of)
        self._embeddings = catalogue.embedded

    def queries(self, row: int, rng: np.random.Generator) -> dict[str, str]:
        """A query of each kind for the item `row`; without those that the titles have too few words for."""
        own, similar = self.words[row], self.words[self._most_similar(row)]
        two: list[int] = np.sort(rng.choice(len(own), 2, replace=False)).tolist() if len(own) > 1 else []
        made = (
            own[rng.integers(len(own))] if own else "",
            " ".join(own[at] for at in two),
            max(own, key=self._held.__getitem__, default=""),
            similar[rng.integers(len(similar))] if similar else "",
        )
        return {kind: query for kind, query in zip(QUERIES, made, strict=True) if query}

    def _most_similar(self, row: int) -> int:
        closeness = self._embeddings @ self._embeddings[row]
        closeness[row] = -np.inf
        return int(np.argmax(closeness))


def words(title: str) -> list[str]:
    """Distinct words of a title in lower case, in its order: letters alone, not too short, none that says nothing.

    >>> words("The Legend of Zelda: Link&#39;s Awakening DX - Game Boy")
    ['legend', 'zelda', 'link', 'awakening', 'game', 'boy']
    """
    found = re.findall(r"[^\W\d_]+", html.unescape(title).lower())
    return list(dict.fromkeys(word for word in found if len(word) >= LEAST_LETTERS and word not in EMPTY_WORDS))


class Orders:
    """The bundle's rankers on the test of a split: lists, and their order at every weight."""

    def __init__(self, split: Split, rankers: Mapping[str, Any], k: int) -> None:
        self.split, self.rankers, self.k = split, rankers, k
        self.titles = Titles(rankers["zero-shot"].catalogue)
        self._rng = np.random.default_rng(SEED)

    def judged(self, asks: Sequence[Ask]) -> Iterator[tuple[str, str, Doubles]]:
        """`<lists>/<query>`, user and NDCG at each weight, `[weights]`, wherever what came is in the list."""
        proposed = self._proposed(asks)
        made = [self.titles.queries(int(ask.truth[0]), self._rng) for ask in asks]
        # Together: one by one they would take ten times as long to encode.
        self.rankers["zero-shot"].encoder.encode_remembered([query for of in made for query in of.values()])
        for ask, rows, queries in zip(asks, proposed, made, strict=True):
            alone = self._blended(ask, rows) if ask.truth[0] in rows else None
            for kind, query in queries.items():
                if alone is not None:
                    yield f"{PROPOSED}/{kind}", *self._judged(ask, rows, query, alone)
                found = self._searched(ask, query)
                if ask.truth[0] in found:
                    yield f"{SEARCHED}/{kind}", *self._judged(ask, found, query, self._blended(ask, found))

    def _proposed(self, asks: Sequence[Ask]) -> list[Rows]:
        """The count ranker's best items, best first, `[candidates]` of each request."""
        requests = [self.split.encoded(ask, self.split.candidates(ask)) for ask in asks]
        scores = CountScores(self.rankers["count"])(requests)["count"]
        return [listed(of) for of in best_rows(scores, LENGTH)]

    def _searched(self, ask: Ask, query: str) -> Rows:
        """The items nearest to the query, nearest first, `[candidates]`."""
        rows = self.split.candidates(ask)
        return rows[np.argsort(-self._cosines(ask, rows, query), kind="stable")[:LENGTH]]

    def _cosines(self, ask: Ask, rows: Rows, query: str) -> Scores:
        found: Scores = self.rankers["zero-shot"].query_scores(query, self.split.encoded(ask, rows))
        return found

    def _blended(self, ask: Ask, rows: Rows) -> Scores:
        blend, requests = self.rankers["blend"], [self.split.encoded(ask, rows)]
        found: Scores = blend.combine(requests, blend.signals(requests))[0]
        return found

    def _judged(self, ask: Ask, rows: Rows, query: str, blended: Scores) -> tuple[str, Doubles]:
        cosines, answer = self._cosines(ask, rows, query), Answer("", blended, (), {})
        orders = [rows[ranking(QueryMatch(cosines, weight).joined(answer).scores)] for weight in WEIGHTS]
        ranks = [np.flatnonzero(order == ask.truth[0]) + 1 for order in orders]
        return self.split.log.events.users[ask.user], metrics(ranks, self.k)["ndcg"]


STAGES: Final[Mapping[str, Any]] = {"query_weights": query_weights}
