"""Experiments on live traffic: who gets what, how two rankings share a list, and what the outcomes say at any time."""
