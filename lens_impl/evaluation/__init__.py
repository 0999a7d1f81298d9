"""One model's samples: sampling, Pass@k, levels, intervals, power."""

from lens_impl.evaluation.passk import pass_at_k

__all__ = ["pass_at_k"]
