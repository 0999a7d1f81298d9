"""Grades at its top level, as a script without `if __name__ == "__main__"` does."""

from lens_impl.grading import grade

print("once", grade("1/2", r"\boxed{0.5}").status)
