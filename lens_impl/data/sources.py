r"""The data sets: where they come from, and their rows as problems or as the reason to drop one.

A new set is one entry of SOURCES; a training source also gets its name for `data.mixes` in
TRAINING, and an evaluation set NAME is the entry `NAME_test`. `check_data` compares a configuration
with them.

Revisions are commits of the hub's repositories. No hub was reachable when they were written down:
each was found in at least two public projects that pin it, and `python -m lens_impl.data.download
pin` compares them with the hub's newest. Licences are those of the data cards as documented
elsewhere; "not stated" where none was found.
"""

import math
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from lens_impl.data.matching import match_key, problem_id
from lens_impl.data.rows import ENDINGS, find_files, read_rows, short
from lens_impl.errors import UserError, choice
from lens_impl.grading.boxes import last_box

DAPO_HEAD = (
    "Solve the following math problem step by step. The last line of your response should be of "
    "the form Answer: $Answer (without quotes) where $Answer is the answer to the problem.\n\n"
)
DAPO_TAIL = '\n\nRemember to put your answer on its own line after "Answer:".'

# Reasons that mean: nothing here that an answer could be compared with.
NO_USABLE_ANSWER = {"empty_answer", "proof", "answer_not_found"}

LANGUAGES = ("en", "zh")
CHINESE = re.compile(r"[\u3400-\u9fff]")
_STYLE = re.compile(r"\\(?:text|math)[a-z]*\s*\{([^{}]*)\}|[$*]|\\[,; ]")
# B, (b), "B. 2", "(B) 2", "B: 2"; ABD, "A and C", "A, C"
_LETTER = re.compile(
    r"\(?\s*[A-Ha-h]\s*(?:\)?\s*\.?|[).:\u3001].*|\)\s*\S.*)|[A-H](?:\s*(?:,|;|\u3001|and|&)?\s*[A-H])+",
    re.DOTALL,
)
_OPTIONS = re.compile(
    r"\(\s*A\s*\).*\(\s*B\s*\)|\bA\s*[.:)\u3001].*\bB\s*[.:)\u3001]"
    r"|\(\s*a\s*\).*\(\s*b\s*\)|\u2460.*\u2461"
    r"|\\(?:text|math)[a-z]*\s*\{\s*A\b.*\\(?:text|math)[a-z]*\s*\{\s*B\b",
    re.DOTALL,
)
_PICTURE = re.compile(
    r"!\[[^\]]*\]\(|<im(?:age|g)\b|\\includegraphics"
    r"|\bas (?:shown|depicted|illustrated|seen) (?:in|on) (?:the )?(?:\w+ )?"
    r"(?:figure|diagram|graph|picture|image|drawing)"
    r"|\b(?:figure|diagram|graph|picture|chart|drawing) (?:is )?"
    r"(?:below|above|at (?:the )?right|shown|to the (?:left|right))"
    r"|\b(?:in|on) the (?:figure|diagram|picture|drawing)\b|\u5982\u56fe",
    re.IGNORECASE,
)


def is_choice(problem: str) -> bool:
    """Whether a problem lists options that are letters, in any of the usual writings."""
    return bool(_OPTIONS.search(_width(problem)))


def is_letter(answer: str) -> bool:
    r"""Whether an answer names options: B, (b), \text{(B)}, "B. 2", AC, "A and C"."""
    return bool(_LETTER.fullmatch(_STYLE.sub(r"\1", _width(answer)).strip()))


def needs_picture(problem: str) -> bool:
    """Whether a problem shows or names a picture that is not in its text as Asymptote code."""
    return bool(_PICTURE.search(problem)) and "[asy]" not in problem


def _width(text: str) -> str:
    """Full-width letters, digits and signs as plain ones."""
    return "".join(
        unicodedata.normalize("NFKC", character) if "\uff01" <= character <= "\uff5e" else character
        for character in text
    )


@dataclass(frozen=True)
class Problem:
    """A problem with its one right answer."""

    text: str
    answer: str
    level: int = 0  # 1 to 5, 0 where the set has none
    type: str = ""

    @property
    def key(self) -> str:
        """Equal for two spellings of one problem."""
        return match_key(self.text)

    @property
    def id(self) -> str:
        """16 hex digits from the text, the same in every run and file."""
        return problem_id(self.text)

    @property
    def language(self) -> str:
        """zh where the text contains a Chinese character, else en."""
        return "zh" if CHINESE.search(self.text) else "en"


def strip_wrapper(prompt: str) -> str:
    """The problem inside DAPO's instruction text."""
    return prompt.strip().removeprefix(DAPO_HEAD).removesuffix(DAPO_TAIL).strip()


def _text(value: object) -> str:
    """A text or number as text; nothing for None and NaN. TypeError for any other type."""
    match value:
        case str():
            return value.strip()
        case int() if not isinstance(value, bool):
            return str(value)
        case float() if math.isfinite(value):
            # AMC 2023 has its answers as 27.0, and a grader cannot read 1e-05.
            return str(int(value)) if value.is_integer() else f"{Decimal(repr(value)):f}"
        case None:
            return ""
        case float() if math.isnan(value):  # what pandas writes for a missing value
            return ""
    raise TypeError(f"{short(value)} is neither text nor a number")


def _problem(text: object, answer: str, level: object = 0, type: object = "") -> Problem | str:
    if not answer:
        return "empty_answer"
    if not _text(text):
        return "empty_problem"
    number = _text(level).removeprefix("Level ")
    if number not in {"0", "1", "2", "3", "4", "5"}:
        return "unusable_level"
    return Problem(_text(text), answer, int(number), _text(type))


def parse_math(row: dict) -> Problem | str:
    """MATH: the answer is the last box of the solution; a level other than 1 to 5 is unusable.

    Sets of the same shape without solutions have an `answer` column, and may have no levels.
    """
    if "solution" in row:
        answer = last_box(_text(row["solution"]), strict=True) or ""
    else:
        answer = _text(row["answer"])
    return _problem(row["problem"], answer, row.get("level", 0), row.get("type", ""))


def parse_answered(row: dict) -> Problem | str:
    """MATH-500, AMC, AIME: `problem` (AMC: `question`) and `answer`.

    MATH-500 has `level` and `subject` too; the level of the others is unknown.
    """
    text = row["question"] if "question" in row else row["problem"]
    return _problem(text, _text(row["answer"]), row.get("level", 0), row.get("subject", ""))


def parse_dapo(row: dict) -> Problem | str:
    """DAPO-Math-17k: the problem stands inside an instruction text; there are no levels.

    It is the last message of the user. A copy of the set may have a system message before it.
    """
    answer = _text(row["reward_model"]["ground_truth"])
    asked = [message["content"] for message in row["prompt"] if message["role"] == "user"]
    return _problem(strip_wrapper(_text(asked[-1])), answer)


def parse_dapo_processed(row: dict) -> Problem | str:
    """The copy without repeats and wrapper; `solution` is the answer."""
    return _problem(strip_wrapper(_text(row["prompt"])), _text(row["solution"]))


def parse_numina(row: dict) -> Problem | str:
    """NuminaMath-1.5: proofs hide behind either of two columns, so both are read.

    A multiple choice problem counts where its answer is a value; a letter can be guessed.
    """
    answer, text = _text(row["answer"]), _text(row["problem"])
    if "proof" in (row["question_type"], answer.lower()):
        return "proof"
    if answer.lower().replace(" ", "") == "notfound":
        return "answer_not_found"
    is_lettered = not answer or is_letter(answer)
    if is_lettered and (row["question_type"] == "MCQ" or is_choice(text)):
        return "multiple_choice"
    if row["problem_is_valid"] != "Yes":
        return "invalid_problem"
    if row["solution_is_valid"] != "Yes":
        return "invalid_solution"
    if needs_picture(text):
        return "needs_picture"
    return _problem(text, answer, type=row["problem_type"])


@dataclass(frozen=True)
class Source:
    """One set. files: which files of the hub's repository, or of a copy of it, belong to it.

    columns: those that `parse` needs. parse: a row to a problem, or to the reason to drop it.
    """

    hub: str
    revision: str
    files: str
    columns: tuple[str, ...]
    licence: str
    parse: Callable[[dict], Problem | str]


_MATH = ("problem", "level", "type", "solution")
_NUMINA = (
    *("problem", "answer", "problem_type", "question_type"),
    *("problem_is_valid", "solution_is_valid"),
)
_PAIR = ("problem", "answer")

SOURCES = {
    "math_train": Source(
        "DigitalLearningGmbH/MATH-lighteval",
        "0530c78699ea5e8eb5530600900e1f328b48acad",
        "data/train-*.parquet",
        _MATH,
        "MIT",
        parse_math,
    ),
    "math_test": Source(
        "DigitalLearningGmbH/MATH-lighteval",
        "0530c78699ea5e8eb5530600900e1f328b48acad",
        "data/test-*.parquet",
        _MATH,
        "MIT",
        parse_math,
    ),
    "dapo": Source(
        "BytedTsinghua-SIA/DAPO-Math-17k",
        "65877096c24ffa7abc4e4fa5edb95cf3413a5674",
        "data/dapo-math-17k.parquet",
        ("prompt", "reward_model"),
        "Apache-2.0",
        parse_dapo,
    ),
    "dapo_processed": Source(
        "open-r1/DAPO-Math-17k-Processed",
        "31dd309567e3da778038cc87d868b6097a3ccf68",
        "all/train-*.parquet",
        ("prompt", "solution"),
        "not stated (derived from DAPO-Math-17k, Apache-2.0)",
        parse_dapo_processed,
    ),
    "numina": Source(
        "AI-MO/NuminaMath-1.5",
        "1b05109f9e5c1ad06c0663519502416c30b300f8",
        "data/train-*.parquet",
        _NUMINA,
        "Apache-2.0",
        parse_numina,
    ),
    "math500_test": Source(
        "HuggingFaceH4/MATH-500",
        "6e4ed1a2a79af7d8630a6b768ec859cb5af4d3be",
        "test.jsonl",
        (*_PAIR, "level", "subject"),
        "MIT",
        parse_answered,
    ),
    "amc23_test": Source(
        "math-ai/amc23",
        "80815d37005feb82cd7f8fbc6901d5d3eff43057",
        "*test-*.parquet",
        ("question", "answer"),
        "Apache-2.0",
        parse_answered,
    ),
    "aime24_test": Source(
        "HuggingFaceH4/aime_2024",
        "2fe88a2f1091d5048c0f36abc874fb997b3dd99a",
        "data/train-*.parquet",
        _PAIR,
        "not stated",
        parse_answered,
    ),
    "aime25_test": Source(
        "math-ai/aime25",
        "563bb8404243c5f09de6ec262f2db674fe5bce9b",
        "test.jsonl",
        _PAIR,
        "Apache-2.0",
        parse_answered,
    ),
}

# Name in `data.mixes` -> set.
TRAINING = {
    "math": "math_train",
    "dapo": "dapo",
    "dapo-processed": "dapo_processed",
    "numina": "numina",
}

EVALUATION = tuple(name.removesuffix("_test") for name in SOURCES if name.endswith("_test"))


def check_data(config: dict) -> None:
    """UserError unless the hub, the toy or data.local_dir has every set that `config.data` names.

    A folder of the user's own can contain any evaluation set; the toy has those of its `sizes`.
    """
    data = config["data"]
    for mix, sizes in data["mixes"].items():
        check_sources(sizes, f"data.mixes.{mix}")
    check_languages(data["languages"])
    if data["local_dir"]:
        return
    known = config["tiny_problems"]["sizes"] if "tiny_problems" in config else SOURCES
    allowed = [name for name in EVALUATION if f"{name}_test" in known]
    for name in data["evaluation_sets"]:
        if name not in allowed:
            where = "the hub" if known is SOURCES else "tiny_problems.sizes"
            raise UserError(
                f"unknown set {name!r} in data.evaluation_sets: {where} has {', '.join(allowed)}. "
                f"Hint: correct the name, or put a file {name}_test into a folder of your own and "
                "set data.local_dir to it."
            )


def check_sources(names: Iterable[str], where: str = "data.mixes") -> None:
    """UserError unless TRAINING has every source of a mix."""
    for name in names:
        if name not in TRAINING:
            raise UserError(f"unknown source {name!r} in {where}: use {choice(name, TRAINING)}")


def check_languages(languages: Iterable[str] | None) -> None:
    """UserError for a language that no problem can have; None stands for all."""
    for name in languages or ():
        if name not in LANGUAGES:
            raise UserError(
                f"unknown language {name!r} in data.languages. "
                f"Hint: the languages are {', '.join(LANGUAGES)}; null keeps all."
            )


def set_files(folder: Path, name: str) -> list[Path]:
    """The files of a set below `folder`; UserError where there is none."""
    source = SOURCES.get(name)
    files = find_files(folder, name, source.files if source else "*")
    if files:
        return files
    origin = f" with the rows of {source.hub} ({source.files})" if source else ""
    present = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    raise UserError(
        f"no file {name}.{{{','.join(ENDINGS)}}} and no folder {name} in {folder}, which contains "
        f"{', '.join(present[:12]) or 'nothing'}. "
        f"Hint: put a file of this name{origin} there, or set data.local_dir to its folder."
    )


def read_problems(folder: Path, name: str, strict: bool = False) -> Iterator[Problem | str]:
    """Each row of a set as a problem or as the reason to drop it.

    A set that SOURCES does not know is read in MATH's columns. strict: a row without a usable
    answer is an error instead.
    """
    source = SOURCES.get(name)
    parse = source.parse if source else parse_math
    for path in set_files(folder, name):
        for number, row in read_rows(path):
            try:
                parsed = parse(row)
            except (KeyError, TypeError, IndexError) as error:
                origin = f"{source.hub} ({', '.join(source.columns)})" if source else name
                raise UserError(
                    f"{path} row {number} is not a row of {origin}: {error!r}, its columns are "
                    f"{sorted(row)}. Hint: keep the set's own columns and their types when "
                    "converting."
                ) from error
            if strict and parsed in NO_USABLE_ANSWER:
                raise UserError(
                    f"{path} row {number} has no usable answer ({parsed}). Hint: remove the row, "
                    "or set data.strict to false to drop and count such rows."
                )
            yield parsed
