"""Re-rank candidates for one user from what that user did seconds ago, as a closed loop on Kubeflow."""

__version__ = "0.1.0"
