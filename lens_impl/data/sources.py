"""Rows of MATH, DAPO-Math-17k and NuminaMath-1.5 as problems, or the reason to drop them.

Column names and traps are those of the Hugging Face sets DigitalLearningGmbH/MATH-lighteval,
BytedTsinghua-SIA/DAPO-Math-17k and AI-MO/NuminaMath-1.5.
"""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from lens_impl.errors import UserError

DAPO_HEAD = (
    "Solve the following math problem step by step. The last line of your response should be of "
    "the form Answer: $Answer (without quotes) where $Answer is the answer to the problem.\n\n"
)
DAPO_TAIL = '\n\nRemember to put your answer on its own line after "Answer:".'

ENDINGS = ("jsonl", "json", "parquet", "csv")
HUB = {
    "math_train": "DigitalLearningGmbH/MATH-lighteval (train split)",
    "math_test": "DigitalLearningGmbH/MATH-lighteval (test split)",
    "dapo": "BytedTsinghua-SIA/DAPO-Math-17k",
    "numina": "AI-MO/NuminaMath-1.5",
}
# In a csv file these columns hold JSON text.
NESTED_COLUMNS = {"prompt", "reward_model", "extra_info"}

# Reasons that mean: nothing here that an answer could be compared with.
NO_USABLE_ANSWER = {"empty_answer", "proof", "answer_not_found"}

LANGUAGES = ("en", "zh")
CHINESE = re.compile(r"[\u3400-\u9fff]")


@dataclass(frozen=True)
class Problem:
    text: str
    answer: str
    level: int = 0  # 1 to 5, 0 where the set has none
    type: str = ""

    @property
    def key(self) -> str:
        return normalise(self.text)

    @property
    def language(self) -> str:
        """zh where the text holds a Chinese character, else en."""
        return "zh" if CHINESE.search(self.text) else "en"


def normalise(text: str) -> str:
    """The text without white space and $: equal for two spellings of one problem.

    Nothing else goes: without punctuation and signs 225 would equal 22.5, and -3 would equal 3.
    """
    return "".join(text.split()).replace("$", "")


def last_box(text: str) -> str:
    r"""The argument of the last \boxed or \fbox as TeX reads it; "" where there is none."""
    boxes = list(re.finditer(r"\\(?:boxed|fbox)\s*", text))
    if not boxes:
        return ""
    argument = text[boxes[-1].end() :]
    if not argument.startswith("{"):
        return argument[:1]  # \boxed 9, without braces: one character
    depth = 0
    for brace in re.finditer(r"\\.|[{}]", argument, re.DOTALL):
        depth += {"{": 1, "}": -1}.get(brace.group(), 0)
        if depth == 0:
            return argument[1 : brace.start()].strip()
    return ""


def strip_wrapper(prompt: str) -> str:
    """The problem inside DAPO's instruction text."""
    return prompt.strip().removeprefix(DAPO_HEAD).removesuffix(DAPO_TAIL).strip()


def _text(value: object) -> str:
    return "" if value is None else str(value).strip()


def parse_math(row: dict) -> Problem | str:
    """MATH: the answer is the last box of the solution; a level other than 1 to 5 is unusable.

    Sets of the same shape without solutions (AMC, AIME) have an `answer` column, and no levels.
    """
    answer = last_box(_text(row["solution"])) if "solution" in row else _text(row["answer"])
    if not answer:
        return "empty_answer"
    level = _text(row.get("level", 0)).removeprefix("Level ")
    if level not in {"0", "1", "2", "3", "4", "5"}:
        return "unusable_level"
    subject = row.get("type") or row.get("subject")
    return Problem(_text(row["problem"]), answer, int(level), _text(subject))


def parse_dapo(row: dict) -> Problem | str:
    answer = _text(row["reward_model"]["ground_truth"])
    if not answer:
        return "empty_answer"
    return Problem(strip_wrapper(row["prompt"][0]["content"]), answer)


def parse_numina(row: dict) -> Problem | str:
    """NuminaMath-1.5: proofs hide behind either of two columns, so both are read."""
    answer = _text(row["answer"])
    if "proof" in (row["question_type"], answer):
        return "proof"
    if answer == "notfound":
        return "answer_not_found"
    if row["question_type"] == "MCQ":
        return "multiple_choice"
    if row["problem_is_valid"] != "Yes":
        return "invalid_problem"
    if row["solution_is_valid"] != "Yes":
        return "invalid_solution"
    if not answer:
        return "empty_answer"
    return Problem(_text(row["problem"]), answer, type=_text(row["problem_type"]))


# Name in `data.mixes` -> file name (without ending) and parser.
SOURCES: dict[str, tuple[str, Callable[[dict], Problem | str]]] = {
    "math": ("math_train", parse_math),
    "dapo": ("dapo", parse_dapo),
    "numina": ("numina", parse_numina),
}


def find_file(folder: Path, name: str) -> Path:
    for ending in ENDINGS:
        path = folder / f"{name}.{ending}"
        if path.exists():
            return path
    origin = f" with the rows of {HUB[name]}" if name in HUB else ""
    raise UserError(
        f"no file {name}.{{{','.join(ENDINGS)}}} in {folder}. "
        f"Hint: put a file of this name{origin} there, or set data.local_dir to its folder."
    )


def read_rows(path: Path) -> Iterator[tuple[int, dict]]:
    """Rows of a jsonl, json, parquet or csv file with their line or row number from 1."""
    match path.suffix:
        case ".jsonl":
            with open(path, encoding="utf-8") as lines:
                for number, line in enumerate(lines, start=1):
                    if line.strip():
                        yield number, _parse_json(line, f"{path} line {number}")
        case ".json":
            yield from enumerate(_parse_json(path.read_text(encoding="utf-8"), str(path)), start=1)
        case ".parquet":
            yield from enumerate(_parquet_rows(path), start=1)
        case ".csv":
            frame = pd.read_csv(path, dtype=str, keep_default_na=False)
            for column in NESTED_COLUMNS & set(frame):
                where = f"{path} column {column}"
                frame[column] = [_parse_json(text, where) for text in frame[column]]
            yield from enumerate(frame.to_dict("records"), start=1)


def _parquet_rows(path: Path) -> Iterator[dict]:
    try:
        # In batches, since DAPO-Math-17k has 1.8 million rows.
        for batch in pq.ParquetFile(path).iter_batches():
            yield from batch.to_pylist()
    except pa.ArrowInvalid as error:
        raise UserError(
            f"{path} is not a parquet file ({error}). Hint: download or convert it again."
        ) from error


def _parse_json(text: str, where: str):
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(
            f"{where} is not JSON ({error}). Hint: download or convert the file again."
        ) from error


def read_problems(
    folder: Path, name: str, parse: Callable[[dict], Problem | str], strict: bool = False
) -> Iterator[Problem | str]:
    """Each row of a set as a problem or as the reason to drop it.

    strict: a row without a usable answer is an error instead.
    """
    path = find_file(folder, name)
    for number, row in read_rows(path):
        try:
            parsed = parse(row)
        except (KeyError, TypeError) as error:
            raise UserError(
                f"{path} row {number} is not a row of {HUB.get(name, name)}: {error!r}, its "
                f"columns are {sorted(row)}. Hint: keep the set's own columns when converting."
            ) from error
        if strict and parsed in NO_USABLE_ANSWER:
            raise UserError(
                f"{path} row {number} has no usable answer ({parsed}). "
                "Hint: remove the row, or set data.strict to false to drop and count such rows."
            )
        yield parsed
