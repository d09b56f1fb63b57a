"""Where data comes from: one module a format, each a generator of rows on their way into the data contract."""
