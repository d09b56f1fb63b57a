"""Checks on the data contract, with severities, a quarantine and a report."""
