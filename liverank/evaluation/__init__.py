"""Offline evaluation: metrics, intervals, slices, the gate and its report."""
