"""Monitors, the decision and what it triggers."""
