"""Rankers: one protocol, one contract test."""
