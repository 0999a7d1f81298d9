"""Names and sentences that tables, figures and the summary share."""

from lens_impl.comparison.evaluations import Evaluations

METHOD_NAMES = {
    "base": "base model",
    "grpo": "GRPO",
    "lens": "LENS",
    "lens-mixed-only": "LENS with only mixed groups",
    "lens-negative-only": "LENS with only negative groups",
    "dr-grpo": "Dr. GRPO",
    "dapo": "DAPO",
    "ngrpo": "NGRPO",
    "psr": "PSR",
    "nsr": "NSR",
    "w-reinforce": "W-REINFORCE",
    "rl-zvp": "RL-ZVP",
    "asym-re": "AsymRE",
    "lens-alpha-1": "LENS, alpha 1",
    "lens-alpha-4": "LENS, alpha 4",
}
TOY = (
    "Designed toy: not comparable with the paper's absolute numbers, only directions are compared."
)


def method_name(method: str) -> str:
    """The paper's name of a method, or its key in config/methods.yaml."""
    return METHOD_NAMES.get(method, method)


def warnings(found: Evaluations) -> list[str]:
    """What is wrong with the runs, for the reader of a table."""
    lines = [f"- **{fault}**" for fault in found.faults] + [f"- {note}" for note in found.notes]
    return ["\n".join(lines)] if lines else []
