"""Benchmarks: what docs/benchmarks.md reports."""
