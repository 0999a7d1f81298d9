"""Several runs: matching, paired gains, the paper's numbers, verdicts."""
