"""One training run, supervised."""
