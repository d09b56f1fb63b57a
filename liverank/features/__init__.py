"""Feature engineering on the event stream: one set of definitions in the PySpark DataFrame API."""
