"""The KServe predictor."""
