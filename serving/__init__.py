"""The KServe predictor: one process, one model thread, one log writer; state lives in the live store.

`/v2/models/{name}/ready` is the readiness to probe: it says whether requests are ranked and recorded. kserve's own
`/v2/health/ready` is true from the first moment to the last, whatever the model does.
"""
