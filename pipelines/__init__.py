"""The pipelines: the DAG, and how it is compiled, run, submitted and scheduled."""
