"""The steps of the pipeline as Kubeflow components: adapters around one library call each."""
