"""Ranking quality on public data sets, beside what others published: `make bench-quality`."""
