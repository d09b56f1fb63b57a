"""The model card: what a version is, how good, on which data, and where it should not be trusted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

DESCRIPTION_LIMIT = 5000
"""Characters that MLflow keeps of a version's description."""
TABLE_METRICS = ("ndcg", "hit_rate", "recall", "mrr", "map", "auc", "coverage", "diversity", "novelty")
NO_CUTOFF = ("auc",)


@dataclass(frozen=True)
class Lineage:
    """Where a model comes from."""

    data_hash: str
    """sha256 of the training data, as the bundle's manifest has it."""
    code_version: str
    """Version of the library and its code."""
    pipeline_run_id: str = ""
    """The run of the pipeline; empty for a model that was registered by hand."""


def model_card(
    name: str,
    manifest: Mapping[str, Any],
    evaluation: Mapping[str, Any],
    validation: Mapping[str, Any],
    lineage: Lineage,
    bundle_hash: str,
) -> str:
    """The card as Markdown.

    Args:
        name: the registered model's name.
        manifest: the bundle's `manifest.json`.
        evaluation: its `metrics.json`.
        validation: the dataset's `result.json`.
        lineage: data, code and run.
        bundle_hash: identity of the bundle.
    """
    found = evaluation["findings"]
    parts = [
        f"# {name}: model card",
        f"Re-ranks candidates for one user from the user's latest events. Serves the ranker `{found['primary']}`, made "
        f"of {', '.join(f'`{ranker}`' for ranker in manifest.get('rankers', []))}; item texts are read by "
        f"{_language_model(manifest)}.{_reranker(manifest)}",
        "## Verdict",
        f"The gate **{'promotes' if evaluation['promote'] else 'refuses'}** this model.",
        "\n".join(f"- {reason}" for reason in evaluation["reasons"]),
        "## Figures",
        _figures(found),
        _metric_table(found),
        _gap_table(found),
        "## Where it comes from",
        _lineage(manifest, validation, lineage, bundle_hash),
        "## Limits",
        _limits(found),
    ]
    return "\n\n".join(parts) + "\n"


def description(card: str) -> str:
    """The card as a version's description: whole, or cut at a line with a pointer to the rest."""
    if len(card) <= DESCRIPTION_LIMIT:
        return card
    end = "\n\n(The rest is in artifacts/README.md.)\n"
    return card[: DESCRIPTION_LIMIT - len(end)].rpartition("\n")[0] + end


def _language_model(manifest: Mapping[str, Any]) -> str:
    name = f"`{manifest.get('config', {}).get('language_model', 'no language model')}`"
    tuning = manifest.get("text_tuning") or {}
    if not tuning.get("kept"):
        return name
    plain, tuned = tuning["plain_recall"], tuning["tuned_recall"]
    return f"{name}, tuned on the training events (recall@10 of unseen items' neighbours {plain:.4f} -> {tuned:.4f})"


def _reranker(manifest: Mapping[str, Any]) -> str:
    """What fine-tuning a re-ranker brought, where it was tried."""
    outcome = manifest.get("training", {}).get("lm")
    if not outcome:
        return ""
    settings = manifest["config"]["lm"]
    name = settings["model"] or manifest["config"]["language_model"]
    gain = f"{outcome['gain']:+.4f} [{outcome['low']:+.4f}, {outcome['high']:+.4f}]"
    verdict = "re-ranks the best candidates" if outcome["deployed"] else "was fine-tuned too, and left out"
    lists = f"{outcome['judged']:,} validation lists"
    training = outcome["training"]
    private, auc = training.get("epsilon", 0.0), training.get("membership_auc")
    how = f"with epsilon {private:.2f} for any one user" if private else "without differential privacy"
    told = f" A language model (`{name}`) {verdict}: on {lists} it changes NDCG@10 by {gain}. It was fine-tuned {how}"
    if auc is None:
        return f"{told}."
    return f"{told}; losses tell lists it was trained on from others with an AUC of {auc:.2f} (0.50: not at all)."


def _figures(found: Mapping[str, Any]) -> str:
    sources = ", ".join(f"{count} {source}" for source, count in found["sources"].items())
    return (
        f"{found['judged']} of {found['requests']} test requests have a right answer and were judged ({sources}; "
        f"{found['users']} users). Cut-off k = {found['k']}; in brackets {found['confidence']:.0%} bootstrap intervals."
    )


def _metric_table(found: Mapping[str, Any]) -> str:
    rows = found["rankers"][found["primary"]]
    lines = [f"| metric | {found['primary']} |", "|---|---|"]
    for metric in TABLE_METRICS:
        cut = "" if metric in NO_CUTOFF else f"@{found['k']}"
        lines.append(f"| {metric}{cut} | {_with_interval(rows[metric])} |")
    return "\n".join(lines)


def _gap_table(found: Mapping[str, Any]) -> str:
    metric = found["metric"]
    lines = [f"| {metric}@{found['k']} against | difference, same lists |", "|---|---|"]
    lines += [f"| {name} | {_with_interval(rows[metric], '+')} |" for name, rows in found["differences"].items()]
    return "\n".join(lines)


def _with_interval(interval: Mapping[str, Any], sign: str = "") -> str:
    if interval["mean"] is None:
        return "undefined"
    text = format(interval["mean"], f"{sign}.4f")
    if interval["low"] is None or interval["low"] == interval["high"]:
        return text
    return f"{text} [{interval['low']:{sign}.4f}, {interval['high']:{sign}.4f}]"


def _lineage(manifest: Mapping[str, Any], validation: Mapping[str, Any], lineage: Lineage, bundle_hash: str) -> str:
    rows = ", ".join(f"{found['accepted']:,} {table}" for table, found in validation.get("rows", {}).items())
    return "\n".join(
        [
            f"- bundle: `{bundle_hash}`, made {manifest.get('created_at', 'at an unknown time')}",
            f"- data: `{lineage.data_hash}`" + (f" ({rows})" if rows else ""),
            *_refit(manifest),
            f"- validation: {'passed' if validation.get('ok') else 'did not pass'}, "
            f"{validation.get('set_aside', 0)} rows set aside",
            f"- code: `{lineage.code_version}`",
            f"- pipeline run: `{lineage.pipeline_run_id or 'none'}`",
        ]
    )


def _refit(manifest: Mapping[str, Any]) -> list[str]:
    learned = manifest.get("training", {}).get("refit_events", 0)
    return [f"- learned in the end from {learned:,} events, those of the validation among them"] if learned else []


def _limits(found: Mapping[str, Any]) -> str:
    lines = [
        "- Offline figures on logged data: they compare rankers on the same lists and do not promise clicks.",
        "- Users and items unlike those of the test time are not covered; the slices in evaluation/report.html show "
        "where it is weaker.",
    ]
    if "retriever" in found["sources"]:
        lines.append(
            "- Requests with source `retriever`: candidates were made afterwards, users never saw these lists."
        )
    if "impressions" in found["sources"]:
        lines.append("- Requests with source `impressions`: answers carry the position bias of the lists as shown.")
    return "\n".join(lines)
