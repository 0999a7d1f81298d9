"""One grading process: reads (gold, text, seconds), answers (status, extracted, has grown).

Started by pool.py as a plain script; only tests import it. It is a process of its own because a
hanging comparison can only be ended by ending its process; and a script, not multiprocessing,
because that would run the caller's main module again in each worker.
"""

import itertools
import logging
import re
import resource
import signal
import sys
from functools import lru_cache
from multiprocessing.connection import Connection

import psutil
from latex2sympy2_extended.antlr_parser import PSParser
from math_verify import parse, verify
from sympy import Expr, Float
from sympy.core.evalf import PrecisionExhausted

# Two workers and their parent stay below 2 GiB; a fresh worker takes about 0.1 GiB.
MEMORY_LIMIT_BYTES = 800 * 2**20
# Past either, a worker asks to be replaced: sympy's caches only ever grow.
GROWN_BYTES = 400 * 2**20
GROWN_ANSWERS = 20_000
NEGLIGIBLE = 1e-10  # sympy's `chop` takes such a number for 0
_ELLIPSIS = re.compile(r"\\[lcd]?dots|\.\.\.|\u2026")

# math-verify warns once that its own timeouts are off; here the process has a timer instead.
logging.getLogger("math_verify").setLevel(logging.ERROR)

# The parsers that latex2sympy2_extended 1.11.0 ships for antlr 4.9 and 4.11 lack this one method
# of the parser for 4.13, and so fail on every percentage. verl's hydra pins antlr 4.9, so without
# this line training would grade "50\%" differently from an evaluation.
if not hasattr(PSParser.AtomContext, "FUNC_GAMMA"):
    PSParser.AtomContext.FUNC_GAMMA = lambda self: self.getToken(PSParser.FUNC_GAMMA, 0)


@lru_cache(maxsize=4096)  # an evaluation asks for each gold answer once per sample
def parse_gold(gold: str) -> list:
    """What Math-Verify makes of a gold answer; nothing where it cannot parse it."""
    if _ELLIPSIS.search(gold):
        return []
    reference = parse(rf"\boxed{{{gold}}}", parsing_timeout=None)
    # A bare string is Math-Verify's fallback for what it could not parse, often a torn-off piece.
    return [] if all(isinstance(value, str) for value in reference) else reference


def differ(first: object, second: object) -> bool:
    """Whether two exact numbers differ, of which one is negligible next to 1.

    Such a number is 0 for Math-Verify's numerical comparison. Decimals are left to its rounding.
    """
    exact = [
        value
        for value in (first, second)
        if isinstance(value, Expr) and value.is_number and not value.has(Float)
    ]
    if len(exact) < 2:
        return False
    try:
        # strict: an expression that is 0 has no significant digit, and raises.
        a, b = (abs(value.evalf(15, strict=True)) for value in exact)
    except PrecisionExhausted:
        return False
    if not (a.is_finite and b.is_finite and min(a, b) < NEGLIGIBLE):
        return False
    return bool(abs(a - b) > 1e-9 * max(a, b))


def judge(gold: str, text: str) -> tuple[str, str | None]:
    """Status of `text` (one \\boxed{...}, or a response without a box) and what was read in it."""
    reference = parse_gold(gold)
    if not reference:
        return "bad_gold", None
    if text == rf"\boxed{{{gold}}}":
        # What verify says too, for it compares the texts where it cannot compare the values.
        return "correct", gold
    answer = parse(text, parsing_timeout=None)
    if not answer:
        return "no_answer", None
    extracted = next((value for value in answer if isinstance(value, str)), None)
    correct = verify(gold=reference, target=answer, timeout_seconds=None)
    correct = correct and not differ(reference[0], answer[0])
    return ("correct" if correct else "wrong"), extracted


def limit_memory() -> None:
    """Limit this process to MEMORY_LIMIT_BYTES, or to the system's hard limit where it is lower."""
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    unlimited = hard == resource.RLIM_INFINITY
    soft = MEMORY_LIMIT_BYTES if unlimited else min(MEMORY_LIMIT_BYTES, hard)
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def serve(connection: Connection) -> None:
    """Answer requests until the other end is closed.

    Past its seconds of CPU time a comparison ends the process by SIGPROF, in the middle of C code
    too. CPU time, so that a busy machine changes no verdict.
    """
    limit_memory()
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGPROF})  # a parent's mask is inherited
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's; its end closes the pipe
    judge("1", r"\boxed{2}")  # builds the parser's tables outside of any time limit
    own = psutil.Process()
    connection.send("ready")
    for answered in itertools.count(start=1):
        try:
            gold, text, seconds = connection.recv()
        except EOFError:
            return
        signal.setitimer(signal.ITIMER_PROF, seconds)
        try:
            reply = judge(gold, text)
        except Exception as error:  # the verdict "error" carries it to the caller
            reply = ("error", f"{type(error).__name__}: {error}"[:200])
        signal.setitimer(signal.ITIMER_PROF, 0)
        connection.send((*reply, answered >= GROWN_ANSWERS or own.memory_info().rss > GROWN_BYTES))


if __name__ == "__main__":
    serve(Connection(int(sys.argv[1])))
