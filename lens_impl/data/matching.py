r"""When two texts are one problem: exact keys, and near-duplicates of evaluation problems.

A key forgets how a text is set (white space, `$` and `\(`, LaTeX spacing, `\left`, `\dfrac`, known
instruction texts around it, punctuation at its end) and nothing else: without inner punctuation
and signs 225 would equal 22.5, and -3 would equal 3.

A near-duplicate of an evaluation problem has word 3-grams with a Jaccard similarity to it of at
least NEAR (or contains the whole of it, at least WHOLE characters of key, inside another text), the
same numbers and signs in order (or more: an exercise number in front), and the same answer. Without
the last two conditions the families that MATH consists of ("arrange the letters of ...", "find a" /
"find b") would be one problem. docs/data.md has the table of examples behind NEAR.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lens_impl.data.sources import Problem

NEAR = 0.5
WHOLE = 40
_N = 3

_WRAPPERS = re.compile(
    r"(solve the following math problem[^\n]*\n+"
    r"|(please |let's )?(reason|think) step by step[^\n.]*\.?"
    r"|please put your final answer within[^\n.]*\.?"
    r"|remember to put your answer on its own line after .answer:.\.?"
    r"|^\s*(problem|question|q|user)\s*:\s*"
    r"|\n\s*(answer|solution|a|assistant)\s*:\s*$)",
    re.IGNORECASE,
)
_SETTING = re.compile(
    r"(?<!\\)\\[,;:!> ()\[\]]|~|\$|[\u200b-\u200d\u2060\ufeff]"
    r"|\\(?:q?quad|left|right|displaystyle|textstyle|limits)(?![a-zA-Z])"
    r"|\\hspace\*?\{[^{}]*\}"
)
_FRACTION = re.compile(r"\\[dt]frac(?![a-zA-Z])")
# Without "one", which is mostly a pronoun.
_NUMBERS = {
    word: str(number)
    for number, word in enumerate(
        "two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
        "sixteen seventeen eighteen nineteen twenty".split(),
        start=2,
    )
} | {"thirty": "30", "forty": "40", "fifty": "50", "hundred": "100", "thousand": "1000"}
_TOKEN = re.compile(r"\d+(?:\.\d+)?|[^\W\d_]+|\\[a-zA-Z]+|[+\-*/^<>=!|]")


def normalise(text: str) -> str:
    """The text without white space and $: what problem ids are made of."""
    return "".join(text.split()).replace("$", "")


def problem_id(text: str) -> str:
    """16 hex digits from the content, the same in every run and file."""
    return hashlib.sha256(normalise(text).encode()).hexdigest()[:16]


def match_key(text: str) -> str:
    """Equal for two spellings of one problem."""
    bare = _FRACTION.sub(r"\\frac", _SETTING.sub("", _WRAPPERS.sub(" ", text)))
    key = "".join(bare.split()).rstrip(".,;:!?")
    # A text of which nothing is left keeps what it has.
    return key or normalise(text)


def tokens(text: str) -> list[str]:
    """Words, numbers, commands and operators, in lower case; number words as numbers."""
    words = _TOKEN.findall(_FRACTION.sub(r"\\frac", _SETTING.sub(" ", text)).lower())
    return [_NUMBERS.get(word, word) for word in words]


def shingles(words: list[str]) -> set[tuple[str, ...]]:
    """The word 3-grams; a shorter text is one shingle."""
    return {tuple(words[i : i + _N]) for i in range(max(1, len(words) - _N + 1))}


def marks(words: list[str]) -> list[str]:
    """The numbers and signs, in order."""
    return [word for word in words if word[0].isdigit() or word in "+-*/"]


def contained(part: list[str], whole: list[str]) -> bool:
    """Whether `part` is left when some items are taken out of `whole`."""
    rest = iter(whole)
    return all(item in rest for item in part)


class EvaluationIndex:
    """Finds the evaluation problem that a training problem repeats.

    same_answer(first, second) decides whether two answers agree.
    """

    def __init__(self, problems: Iterable[Problem], same_answer: Callable[[str, str], bool]):
        self.same_answer = same_answer
        self.by_key: dict[str, Problem] = {}
        self.entries: list[tuple[Problem, list[str]]] = []
        self.sizes: list[int] = []
        self.postings: defaultdict[tuple[str, ...], list[int]] = defaultdict(list)
        for problem in problems:
            if problem.key in self.by_key:
                continue
            self.by_key[problem.key] = problem
            words = tokens(problem.text)
            grams = shingles(words)
            for gram in grams:
                self.postings[gram].append(len(self.entries))
            self.entries.append((problem, marks(words)))
            self.sizes.append(len(grams))

    def exact(self, problem: Problem) -> bool:
        """Whether it is an evaluation problem in another spelling."""
        return problem.key in self.by_key

    def near(self, problem: Problem) -> tuple[Problem, float] | None:
        """The nearest evaluation problem with its Jaccard similarity; None where none is near."""
        words = tokens(problem.text)
        grams, numbers = shingles(words), marks(words)
        shared = Counter(i for gram in grams for i in self.postings.get(gram, ()))
        # Jaccard similarity is at most the shared part of either side.
        least = NEAR * len(grams)
        candidates = {
            i: n / (len(grams) + self.sizes[i] - n)
            for i, n in shared.items()
            if n >= least or n == self.sizes[i]
        }
        for i in sorted(candidates, key=candidates.__getitem__, reverse=True):
            other, other_numbers = self.entries[i]
            if candidates[i] < NEAR and not _within(other, problem):
                continue
            same_numbers = contained(numbers, other_numbers) or contained(other_numbers, numbers)
            if same_numbers and self.same_answer(other.answer, problem.answer):
                return other, candidates[i]
        return None


def _within(other: Problem, problem: Problem) -> bool:
    """Whether `other` stands word for word inside a longer one, and is not a mere formula."""
    return len(other.key) >= WHOLE and other.key in problem.key
