"""The steps of the pipeline as Kubeflow components: each body opens artifacts, calls the library and describes them.

A body is compiled into the pipeline's YAML as text and executed alone, so it imports what it calls, and what it calls
lives in `liverank`. These modules have no postponed annotations: Kubeflow reads the signatures as types.
"""
