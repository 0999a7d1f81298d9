"""MLflow, as a mirror of the files."""
