"""The one home of column names: files, features, rankers, evaluation and monitoring all take them from here."""

from __future__ import annotations

from typing import Final

# The contract's records.
ITEM_ID: Final = "item_id"
TITLE: Final = "title"
TEXT: Final = "text"
CATEGORY: Final = "category"
ATTRIBUTES: Final = "attributes"
AVAILABLE_FROM: Final = "available_from"
USER_ID: Final = "user_id"
IMPRESSION_ID: Final = "impression_id"
SESSION_ID: Final = "session_id"
TIMESTAMP: Final = "timestamp"
SURFACE: Final = "surface"
CONTEXT: Final = "context"
SHOWN: Final = "shown"
POSITION: Final = "position"
SCORE: Final = "score"
PROPENSITY: Final = "propensity"
INCOMING_POSITION: Final = "incoming_position"
INCOMING_SCORE: Final = "incoming_score"
MODEL_VERSION: Final = "model_version"
DEGRADED: Final = "degraded"
HISTORY_DIGEST: Final = "history_digest"
FEATURE_VALUES: Final = "feature_values"
EXPERIMENT_ARM: Final = "experiment_arm"
NAME: Final = "name"
VARIANT: Final = "variant"
TEAMS: Final = "teams"
NAMES: Final = "names"
ITEM_IDS: Final = "item_ids"
VALUES: Final = "values"
EVENT_ID: Final = "event_id"
TYPE: Final = "type"
VALUE: Final = "value"
RECEIVED_AT: Final = "received_at"

# What a dataset folder says of a row beside the contract.
ORIGIN: Final = "origin"
"""Name of the source that the row came from."""

# What feature engineering adds to an interaction.
WEIGHT: Final = "weight"
SESSION: Final = "session"
SESSION_START: Final = "session_start"
GAP_SECONDS: Final = "gap_seconds"
HOUR: Final = "hour"
WEEKDAY: Final = "weekday"
REPEATS: Final = "repeats"
SINCE_ITEM_SECONDS: Final = "since_item_seconds"
SEEN: Final = "seen"
KNOWN_AT: Final = "known_at"
SPLIT: Final = "split"


def seen(kind: str) -> str:
    """Name of the column with how many events of a type were known of the user."""
    return f"seen_{kind}"


def popularity(days: int) -> str:
    """Name of the column with an item's events in the `days` whole days before the event's day."""
    return f"popularity_{days}d"


def shown_times(days: int) -> str:
    """Name of the column with how often an item was shown in those days."""
    return f"shown_{days}d"


def ctr(days: int) -> str:
    """Name of the column with an item's smoothed clicks a time shown in those days."""
    return f"ctr_{days}d"


def conversion(days: int) -> str:
    """Name of the column with an item's smoothed purchases a time shown in those days."""
    return f"conversion_{days}d"


# A ranking request as features write it and evaluation reads it.
REQUEST_ID: Final = "request_id"
HISTORY_ITEMS: Final = "history_item_ids"
HISTORY_TYPES: Final = "history_types"
HISTORY_TIMES: Final = "history_timestamps"
CANDIDATES: Final = "candidate_item_ids"
CANDIDATE_SCORES: Final = "candidate_scores"
LABELS: Final = "labels"
TRUTH: Final = "truth_item_ids"
SOURCE: Final = "source"

# A candidate of a request, one row each, as `candidates.parquet` has it beside its features.
REQUEST_ROW: Final = "row"
"""The request's row in `requests.parquet`, from 0."""
PLACE: Final = "place"
"""The candidate's place in the order that came in, from 0."""
LABEL: Final = "label"
NEGATIVE_KIND: Final = "kind"
LOG_Q: Final = "log_q"

# The values of the split column.
TRAIN: Final = "train"
VALIDATION: Final = "validation"
TEST: Final = "test"
GAP: Final = "gap"
