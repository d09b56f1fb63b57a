"""Leave one out: of each user the last event is the test, the one before the validation, the rest is trained on."""

from __future__ import annotations

import numpy as np

from liverank.evaluation.protocols.asks import Ask, Split
from liverank.evaluation.protocols.log import Log, Mask

LEAST_EVENTS = 3
"""A user with fewer is only trained on."""
COLD_SEED = 17


def leave_one_out(log: Log, keep_seen: bool = False, cold: float = 0.0) -> Split:
    """Splits by position within the user: the order of time, equal times in the order of the file.

    To the models, too, each event is a step of its own: events of one instant would be one step to them, without an
    order, where recipes that read positions find one.

    Only events that can be looked for (`Log.labels`) count. Unless `keep_seen`, a user's later events with an item that
    the user had already are left out: what is masked can not be found.

    With `cold`, so large a share of the items, drawn at random, is hidden: none of their events is trained on or stands
    in a history, but they stay in the catalogue with their text, and as candidates. Half of them are the validation's:
    weights and early stopping see validation truths among these, so that what a cold item is worth can be learned. The
    other half is the test's: no truth of the validation is among them, and they are no candidates there either, so
    that in both a cold candidate is as likely to be right.
    """
    log = log.where(log.labels).in_order()
    if not keep_seen:
        log = log.where(first_times(log))
    hidden, withheld = hidden_items(len(log.catalogue), cold) if cold else (None, None)
    training, complete = np.ones(len(log.events), bool), np.ones(len(log.events), bool)
    validation, test = [], []
    starts = log.user_starts()
    for user, (start, end) in enumerate(zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True)):
        if end - start < LEAST_EVENTS:
            continue
        training[end - 2 : end] = False
        complete[end - 1] = False
        test.append(_ask(log, user, start, end - 1))
        if withheld is None or not withheld[log.events.item[end - 2]]:
            validation.append(_ask(log, user, start, end - 2))
    if hidden is not None:
        training &= ~hidden[log.events.item]
        complete &= ~hidden[log.events.item]
    return Split(log, training, validation, test, keep_seen, hidden, withheld, complete)


def _ask(log: Log, user: int, start: int, at: int) -> Ask:
    """The request whose truth is the event `at`."""
    return Ask(user, float(log.events.timestamp[at]), start, at, log.events.item[at : at + 1].astype(np.int64))


def first_times(log: Log) -> Mask:
    """Whether each event is its user's first with the item, `[events]`."""
    pairs = log.events.user.astype(np.int64) * len(log.catalogue) + log.events.item
    first = np.zeros(len(pairs), bool)
    first[np.unique(pairs, return_index=True)[1]] = True
    return first


def hidden_items(items: int, share: float) -> tuple[Mask, Mask]:
    """A fixed random share of the items, and the half of it that only the test asks for, `[items]` each."""
    order = np.random.default_rng(COLD_SEED).permutation(items)[: max(2, round(items * share))]
    hidden, withheld = np.zeros(items, bool), np.zeros(items, bool)
    hidden[order], withheld[order[::2]] = True, True
    return hidden, withheld


def cold_groups(split: Split) -> dict[str, Mask]:
    """The test requests by their truth, `[requests]`: cold (hidden, and kept from the validation), warm.

    `cold, all hidden` takes in the half that the validation had truths of; its items have no training event either.
    """
    if split.hidden is None or split.withheld is None:
        return {}
    truth = np.asarray([ask.truth[0] for ask in split.test], np.int64)
    hidden, withheld = split.hidden[truth], split.withheld[truth]
    return {"warm": ~hidden, "cold": withheld, "cold, all hidden": hidden}
