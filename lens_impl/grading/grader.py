"""The one grader, for rewards in training and for evaluation: Math-Verify, with a time limit.

What is read as the answer: the last complete \\boxed{...} or \\fbox{...} of a response, where there
is one, and nothing else; otherwise what Math-Verify itself extracts (LaTeX first, then plain
expressions).

Deviations from calling Math-Verify 0.9.0 directly:
- Of several boxes the last decides. Math-Verify joins neighbouring boxes to a set, so a corrected
  answer ("\\boxed{5}. No: \\boxed{7}") would be wrong.
- A gold answer that Math-Verify cannot parse is `bad_gold` for every response. Math-Verify would
  compare what is left as strings: for the gold "a + b + c" that is "a +". The preparation of the
  data reports such answers. An ellipsis counts as not parseable too: Math-Verify keeps the number
  before it and forgets the rest.
- Two exact numbers that Math-Verify calls equal since one of them vanishes next to 1 are `wrong`
  (1/2004! and 1/2006!).
- Time limits end a worker process. Math-Verify's own are signals, which need the main thread and
  count an answer that ran out of time as wrong.
- Only where asked for (verifier="guarded"), both answers are first spelled as respell.py says.
- Plain integers are compared without Math-Verify; tests check that the verdict is the same.

docs/grading.md lists what is known to be graded wrongly, and which of it is guarded against.
"""

import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

from lens_impl.errors import UserError, choice
from lens_impl.grading.boxes import last_box
from lens_impl.grading.pool import Pool
from lens_impl.grading.respell import respell

PLAIN_INTEGER = re.compile(r"-?[1-9][0-9]{0,14}|0")
# Math-Verify finds no answer in a text that has none of these.
_MAY_CONTAIN_ANSWER = re.compile(r"[\d$\\\[]")
VERIFIERS = ("math-verify", "guarded")
PROGRESS_FROM = 2000  # open questions; fewer take seconds

DEFAULT_POOL = Pool()


@dataclass(frozen=True)
class Grade:
    """Verdict on one response.

    status: correct | wrong | no_answer (nothing to compare) | timeout | bad_gold (the gold answer
    cannot be parsed, so no response can be judged) | error (the comparison itself failed).
    extracted: the text that was taken for the answer; None where there is none.
    """

    correct: bool
    status: str
    extracted: str | None


class Question(NamedTuple):
    """What is compared: the gold answer, the text to read an answer from, whether it was boxed.

    box: the box as it was written, where `text` is its respelled copy.
    """

    gold: str
    text: str
    is_boxed: bool
    box: str | None

    @property
    def worker_text(self) -> str:
        """The text as a worker is given it."""
        return rf"\boxed{{{self.text}}}" if self.is_boxed else self.text


def grade(
    gold: str,
    response: str,
    timeout_s: float = 5.0,
    pool: Pool = DEFAULT_POOL,
    verifier: str = "math-verify",
) -> Grade:
    """Grade one response against the gold answer. See grade_many."""
    return grade_many([gold], [response], 1, timeout_s, pool, verifier)[0]


def grade_many(
    golds: Sequence[str],
    responses: Sequence[str],
    workers: int | None = None,
    timeout_s: float = 5.0,
    pool: Pool = DEFAULT_POOL,
    verifier: str = "math-verify",
) -> list[Grade]:
    """Grades of responses against their gold answers, in the same order. Safe in any thread.

    Equal (gold, answer) pairs are judged once. What integers and the pool's memory do not settle
    goes to the pool's worker processes, at most `workers` of them at once (None: as many as the
    pool allows; the default pool has one per usable core). timeout_s: CPU seconds for one pair;
    past it the pair is `timeout` and only its own worker ends. Many open pairs show their progress
    on stderr. verifier: "math-verify" is the paper's; "guarded" respells gold answers and boxes
    before it (respell.py), which changes verdicts. UserError for unequal lengths, useless limits
    and unknown verifiers.
    """
    if len(golds) != len(responses):
        raise UserError(f"grading: {len(golds)} gold answers for {len(responses)} responses")
    if not timeout_s > 0:
        raise UserError(f"grading: timeout_s must be above 0, got {timeout_s}")
    if workers is not None and workers < 1:
        raise UserError(f"grading: workers must be at least 1 or None, got {workers}")
    if verifier not in VERIFIERS:
        raise UserError(
            f"grading: unknown verifier {verifier!r}: use {choice(verifier, VERIFIERS)}"
        )

    def judge(question: Question) -> Grade:
        return _grade(question, *pool.judge(question.gold, question.worker_text, timeout_s))

    questions = [_question(gold, response) for gold, response in zip(golds, responses, strict=True)]
    if verifier == "guarded":
        questions = [_respelled(question) for question in questions]
    known = {question: _known(question, pool) for question in dict.fromkeys(questions)}
    grades = {question: grade for question, grade in known.items() if grade is not None}
    open_questions = [question for question in known if question not in grades]
    if open_questions:
        # Here, since a dry run of the workflow imports this module and grades nothing.
        from tqdm import tqdm

        with ThreadPoolExecutor(min(workers or pool.size, len(open_questions))) as threads:
            judged = tqdm(
                threads.map(judge, open_questions),
                desc="grading",
                unit=" answers",
                total=len(open_questions),
                mininterval=5,
                disable=len(open_questions) < PROGRESS_FROM,
            )
            grades.update(zip(open_questions, judged, strict=True))
    return [grades[question] for question in questions]


def _question(gold: str, response: str) -> Question:
    gold_box, box = last_box(gold), last_box(response)
    return Question(
        gold=gold.strip() if gold_box is None else gold_box,
        text=response if box is None else box,
        is_boxed=box is not None,
        box=box,
    )


def _respelled(question: Question) -> Question:
    """The question with its gold answer and its box in plainer spellings."""
    gold, text, is_boxed, box = question
    plain = respell(text, guarded=True) if is_boxed else text
    return Question(respell(gold, guarded=True), plain, is_boxed, box)


def _known(question: Question, pool: Pool) -> Grade | None:
    """The grade where no worker is needed; None where one is."""
    grade = _without_parser(question)
    if grade is not None:
        return grade
    verdict = pool.remembered(question.gold, question.worker_text)
    return None if verdict is None else _grade(question, *verdict)


def _without_parser(question: Question) -> Grade | None:
    """The grade where Math-Verify's verdict is plain without it."""
    gold, text, is_boxed, _ = question
    if not gold:
        return Grade(False, "bad_gold", question.box)
    if not PLAIN_INTEGER.fullmatch(gold):
        return None
    if is_boxed and PLAIN_INTEGER.fullmatch(text):
        return Grade(gold == text, "correct" if gold == text else "wrong", question.box)
    if not (text if is_boxed else _MAY_CONTAIN_ANSWER.search(text)):
        return Grade(False, "no_answer", None)
    return None


def _grade(question: Question, status: str, extracted: str | None) -> Grade:
    read = (question.box or None) if question.is_boxed else extracted
    return Grade(status == "correct", status, read)
