"""The one grader, for rewards in training and for evaluation."""

from lens_impl.grading.grader import Grade, grade, grade_many

__all__ = ["Grade", "grade", "grade_many"]
