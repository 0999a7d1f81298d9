"""The one grader, for rewards in training and for evaluation: Math-Verify, with a time limit.

What is read as the answer: the last complete \\boxed{...} of a response, where there is one, and
nothing else; otherwise what Math-Verify itself extracts (LaTeX first, then plain expressions).

Deviations from calling Math-Verify 0.9.0 directly:
- Of several boxes the last decides. Math-Verify joins neighbouring boxes to a set, so a corrected
  answer ("\\boxed{5}. No: \\boxed{7}") would be wrong.
- A gold answer that Math-Verify cannot parse is `bad_gold` for every response. Math-Verify would
  compare what is left as strings: for the gold "a + b + c" that is "a +". The preparation of the
  data reports such answers. An ellipsis counts as not parseable too: Math-Verify keeps the number
  before it and forgets the rest.
- Two exact numbers that Math-Verify calls equal since one of them vanishes beside 1 are `wrong`
  (1/2004! and 1/2006!).
- Time limits end a worker process. Math-Verify's own are signals, which need the main thread and
  count an answer that ran out of time as wrong.
- Plain integers are compared without Math-Verify; tests hold that the verdict is the same.

docs/grading.md lists what is known to be graded wrongly, and which of it is guarded against.
"""

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import Pipe
from pathlib import Path

from cachetools import LRUCache
from tqdm import tqdm

from lens_impl.errors import UserError
from lens_impl.grading.boxes import boxed

_PLAIN_INTEGER = re.compile(r"-?[1-9][0-9]{0,14}|0")
# Math-Verify finds no answer in a text that has none of these.
_MAY_HOLD_ANSWER = re.compile(r"[\d$\\\[]")
_WORKER_SCRIPT = Path(__file__).with_name("worker.py")
_CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
_CACHED_TEXT_LENGTH = 1000  # longer texts are whole responses, which hardly ever repeat
_PROGRESS_FROM = 2000  # open pairs; fewer take seconds
# A worker that uses no processor time at all, for instance a stopped one, is ended by the clock.
_WALL_FACTOR, _WALL_EXTRA_S = 4, 30

_cache: LRUCache = LRUCache(maxsize=10_000)
_cache_lock = threading.Lock()
_slots = threading.BoundedSemaphore(_CORES)
_idle: list["_Worker"] = []
# A forked child must not share the pipes of its parent's workers.
os.register_at_fork(after_in_child=_idle.clear)


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


def grade(gold: str, response: str, timeout_s: float = 5.0) -> Grade:
    """Grade one response against the gold answer. See grade_many."""
    return grade_many([gold], [response], workers=1, timeout_s=timeout_s)[0]


def grade_many(
    golds: Sequence[str],
    responses: Sequence[str],
    workers: int | None = None,
    timeout_s: float = 5.0,
) -> list[Grade]:
    """Grades of responses against their gold answers, in the same order. Safe in any thread.

    Equal (gold, answer) pairs are judged once. What integers and the cache do not settle goes to
    worker processes: at most `workers`, at most one a usable core (the default), started when
    needed, kept for the next call and replaced when they have grown. timeout_s: processor seconds
    for one pair; past it the pair is `timeout` and only its own worker ends. Many open pairs show
    their progress on stderr. UserError for unequal lengths and useless limits.
    """
    if len(golds) != len(responses):
        raise UserError(f"grading: {len(golds)} gold answers for {len(responses)} responses")
    if not timeout_s > 0:
        raise UserError(f"grading: timeout_s must be above 0, got {timeout_s}")
    if workers is not None and workers < 1:
        raise UserError(f"grading: workers must be at least 1 or None, got {workers}")
    pairs = [_pair(gold, response) for gold, response in zip(golds, responses, strict=True)]
    grades = {pair: _shortcut(*pair) or _remembered(pair) for pair in dict.fromkeys(pairs)}
    open_pairs = [pair for pair, known in grades.items() if known is None]
    if open_pairs:
        with ThreadPoolExecutor(min(workers or _CORES, len(open_pairs))) as threads:
            verdicts = tqdm(
                threads.map(partial(_judge, timeout_s=timeout_s), open_pairs),
                desc="grading",
                unit=" answers",
                total=len(open_pairs),
                mininterval=5,
                disable=len(open_pairs) < _PROGRESS_FROM,
            )
            grades.update(zip(open_pairs, verdicts, strict=True))
    return [grades[pair] for pair in pairs]


def _pair(gold: str, response: str) -> tuple[str, str, bool]:
    """What is compared: gold answer, text to read the answer from, whether that was boxed."""
    gold_box, box = boxed(gold), boxed(response)
    return (
        gold.strip() if gold_box is None else gold_box,
        response if box is None else box,
        box is not None,
    )


def _shortcut(gold: str, text: str, is_boxed: bool) -> Grade | None:
    """The verdict where it needs no parser; None where it does."""
    if not gold:
        return Grade(False, "bad_gold", text if is_boxed else None)
    if not _PLAIN_INTEGER.fullmatch(gold):
        return None
    if is_boxed and _PLAIN_INTEGER.fullmatch(text):
        return Grade(gold == text, "correct" if gold == text else "wrong", text)
    if not (text if is_boxed else _MAY_HOLD_ANSWER.search(text)):
        return Grade(False, "no_answer", None)
    return None


def _remembered(pair: tuple[str, str, bool]) -> Grade | None:
    with _cache_lock:
        return _cache.get(pair)


def _judge(pair: tuple[str, str, bool], timeout_s: float) -> Grade:
    gold, text, is_boxed = pair
    with _slots:
        status, found = _ask_worker(gold, rf"\boxed{{{text}}}" if is_boxed else text, timeout_s)
    grade = Grade(status == "correct", status, (text or None) if is_boxed else found)
    if status not in ("timeout", "error") and len(text) <= _CACHED_TEXT_LENGTH:
        with _cache_lock:
            _cache[pair] = grade
    return grade


class _Worker:
    """A running worker.py and our end of its pipe."""

    def __init__(self) -> None:
        self.connection, theirs = Pipe()
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, str(_WORKER_SCRIPT), str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
            )
        try:
            self.connection.recv()
        except EOFError:
            raise UserError(
                f"grading: the worker process ended with status {self.process.wait()} before it "
                f"was ready, its own message stands above. Hint: {sys.executable} -m pip install "
                "math-verify cachetools"
            ) from None


def _ask_worker(gold: str, text: str, timeout_s: float) -> tuple[str, str | None]:
    worker = _take_worker()
    try:
        worker.connection.send((gold, text, timeout_s))
        if not worker.connection.poll(_WALL_FACTOR * timeout_s + _WALL_EXTRA_S):
            worker.process.kill()
            worker.process.wait()
            return "timeout", None
        status, extracted, has_grown = worker.connection.recv()
    except (EOFError, ConnectionError):
        ended_by_timer = worker.process.wait() == -signal.SIGPROF
        return ("timeout" if ended_by_timer else "error"), None
    if has_grown:
        worker.connection.close()
        worker.process.wait()
    else:
        _idle.append(worker)
    return status, extracted


def _take_worker() -> _Worker:
    while True:
        try:
            worker = _idle.pop()
        except IndexError:
            return _Worker()
        if worker.process.poll() is None:
            return worker
