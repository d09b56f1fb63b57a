"""Hypothesis without a clock or a database: a busy machine must not fail a property, nor a run leave files behind."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("steady", deadline=None, database=None, derandomize=True)
settings.load_profile("steady")
