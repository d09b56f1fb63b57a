"""A portrait of a dataset before anybody trains on it: figures by DuckDB over its files, one page without a server."""
