"""The language-model re-ranker: a model that reads a user's history once and every candidate against it."""
