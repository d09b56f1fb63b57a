"""The gate: whether a challenger becomes champion, and why, in sentences with figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from liverank.config.evaluation import GateConfig
from liverank.evaluation.bootstrap import Interval
from liverank.evaluation.groups import GroupingResult
from liverank.evaluation.slices import SliceResult

CHAMPION = "champion"


@dataclass(frozen=True)
class Verdict:
    """The gate's decision; a refusal names every rule that was broken."""

    promote: bool
    reasons: list[str]
    """Sentences: the rules that decided first, then what was found besides."""


@dataclass(frozen=True)
class Evidence:
    """What the gate judges by: the deciding metric only."""

    name: str
    """How the metric is called in sentences, `NDCG@10`."""
    requests: int
    """Judged requests."""
    users: int
    """Different users among them."""
    mine: Interval
    gaps: Mapping[str, Interval]
    """Other ranker -> paired difference, challenger minus the other."""
    slices: Sequence[SliceResult]
    groups: Sequence[GroupingResult] = ()
    """Ways to tell users apart, with the largest gap of each."""
    order_sensitivity: float = 0.0
    """Share of requests whose ranking depends on the order of their candidates."""
    text_sensitivity: float = 0.0
    """Share of requests whose first item depends on how texts are written."""
    epsilon: float | None = None
    """Of the fine-tuning of the language model that re-ranks, 0: not private; None: there is none."""
    attack_success: float = 0.0
    """Share of requests in which an instruction inside an item's text brings it to the first place."""
    faithfulness: float | None = None
    """Share of the explained items whose score changes as told without the named events; None: none was tested."""


def judge(evidence: Evidence, config: GateConfig) -> Verdict:
    """Applies the rules: enough requests; better than the champion, or for a first model than the baselines; slices.

    Besides, whatever it is compared with: groups of users served alike, no heed of the order of candidates or of how
    texts are written, and explanations that hold.
    """
    broken = _too_little(evidence, config)
    if broken:
        return Verdict(False, broken)
    if CHAMPION in evidence.gaps:
        kept, broken = _against_champion(evidence, config)
        found = [_baseline(evidence, name)[1] for name in config.beat_baselines]
    else:
        results = [_baseline(evidence, name) for name in config.beat_baselines]
        kept = [sentence for beaten, sentence in results if beaten]
        broken = [sentence for beaten, sentence in results if not beaten]
        found = ["There is no champion yet: the baselines decide."]
    broken += [
        *_uneven(evidence.groups, config),
        *_led_by_order(evidence, config),
        *_led_by_texts(evidence, config),
        *_told_on(evidence, config),
        *_unfaithful(evidence, config),
    ]
    return Verdict(not broken, [*broken, *kept, *found])


def _too_little(evidence: Evidence, config: GateConfig) -> list[str]:
    broken = []
    if evidence.requests < config.min_requests:
        broken.append(
            f"Only {evidence.requests} test requests could be judged; the gate needs {config.min_requests} "
            "(evaluation.gate.min_requests)."
        )
    if evidence.users < config.min_users:
        broken.append(
            f"The judged requests come from {evidence.users} users; the gate needs {config.min_users} "
            "(evaluation.gate.min_users)."
        )
    return broken


def _against_champion(evidence: Evidence, config: GateConfig) -> tuple[list[str], list[str]]:
    gap = evidence.gaps[CHAMPION]
    facts = f"{evidence.name} against the champion on the same {gap.requests} lists: {figures(gap)}"
    broken = []
    if gap.mean < config.min_gain:
        broken.append(f"{facts}; the mean gain does not reach {config.min_gain:g} (evaluation.gate.min_gain).")
    elif gap.low < -config.max_loss:
        broken.append(
            f"{facts}; a loss of more than {config.max_loss:g} cannot be ruled out (evaluation.gate.max_loss)."
        )
    kept = [] if broken else [f"{facts}; a loss of more than {config.max_loss:g} is ruled out."]
    worse = _lost_slices(evidence.slices, config)
    if evidence.slices and not worse:
        kept.append(f"No slice of {len(evidence.slices)} loses more than {config.max_slice_loss:g} to the champion.")
    return kept, broken + worse


def _lost_slices(slices: Sequence[SliceResult], config: GateConfig) -> list[str]:
    return [
        f"Slice '{part.name}' ({part.requests} requests) loses to the champion: {figures(part.gaps[CHAMPION])}, "
        f"more than {config.max_slice_loss:g} (evaluation.gate.max_slice_loss)."
        for part in slices
        if part.gaps[CHAMPION].mean < -config.max_slice_loss and part.gaps[CHAMPION].high < 0
    ]


def _uneven(groupings: Sequence[GroupingResult], config: GateConfig) -> list[str]:
    most = config.max_group_gap
    if most is None:
        return []
    return [
        f"Users by '{by.name}' are served unevenly: '{by.gap.best}' is ahead of '{by.gap.worst}' by "
        f"{figures(by.gap.difference)}, more than {most:g} (evaluation.gate.max_group_gap)."
        for by in groupings
        if by.gap and by.kind != "behaviour" and by.gap.difference.mean > most and by.gap.difference.low > 0
    ]


def _led_by_order(evidence: Evidence, config: GateConfig) -> list[str]:
    if evidence.order_sensitivity <= config.max_order_sensitivity:
        return []
    return [
        f"The ranking of {evidence.order_sensitivity:.1%} of the requests changes with the order of their candidates, "
        f"more than {config.max_order_sensitivity:.1%} (evaluation.gate.max_order_sensitivity)."
    ]


def _led_by_texts(evidence: Evidence, config: GateConfig) -> list[str]:
    broken = []
    if evidence.text_sensitivity > config.max_text_sensitivity:
        broken.append(
            f"The first item of {evidence.text_sensitivity:.1%} of the requests changes with case, punctuation or "
            f"spaces, more than {config.max_text_sensitivity:.1%} (evaluation.gate.max_text_sensitivity)."
        )
    if evidence.attack_success > config.max_attack_success:
        broken.append(
            f"An instruction inside its text brings an item to the first place in {evidence.attack_success:.1%} of the "
            f"requests, more than {config.max_attack_success:.1%} (evaluation.gate.max_attack_success)."
        )
    return broken


def _told_on(evidence: Evidence, config: GateConfig) -> list[str]:
    epsilon, most = evidence.epsilon, config.max_epsilon
    if most is None or epsilon is None or 0 < epsilon <= most:
        return []
    how = f"with an epsilon of {epsilon:.2f}" if epsilon else "without differential privacy"
    return [f"The language model was fine-tuned {how}; at most {most:g} is allowed (evaluation.gate.max_epsilon)."]


def _unfaithful(evidence: Evidence, config: GateConfig) -> list[str]:
    found, least = evidence.faithfulness, config.min_faithfulness
    if least is None or (found is not None and found >= least):
        return []
    if found is None:
        return ["No explanation could be tested, which evaluation.gate.min_faithfulness asks for."]
    return [
        f"Without the events named for them {found:.1%} of the scores change in the direction told, less than "
        f"{least:.1%} (evaluation.gate.min_faithfulness)."
    ]


def _baseline(evidence: Evidence, name: str) -> tuple[bool, str]:
    gap = evidence.gaps.get(name)
    if gap is None:
        return False, f"The bundle holds no ranker '{name}' to compare with (evaluation.gate.beat_baselines)."
    beaten = gap.low > 0
    verb = "beats" if beaten else "does not clearly beat"
    return beaten, f"{evidence.name} {evidence.mine.mean:.4f} {verb} {name}: {figures(gap)}."


def figures(gap: Interval) -> str:
    """A difference in words: `+0.0123 [+0.0050, +0.0201]`."""
    return f"{gap.mean:+.4f} [{gap.low:+.4f}, {gap.high:+.4f}]"
