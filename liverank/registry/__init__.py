"""The MLflow registry: versions, lineage, aliases."""
