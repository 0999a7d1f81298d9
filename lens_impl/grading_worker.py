"""One grading process: reads (gold, text, seconds) from a pipe, answers (status, extracted).

Started by lens_impl.grading as a plain script and imported by nothing but tests. It is a process
of its own since a hanging comparison can only be ended by ending its process; a script, and not
multiprocessing, since that would run the caller's main module again in each worker.
"""

import logging
import resource
import signal
import sys
from multiprocessing.connection import Connection

from latex2sympy2_extended.antlr_parser import PSParser
from math_verify import parse, verify

MEMORY_LIMIT_BYTES = 4 * 2**30

# math-verify warns once that its own timeouts are off; here a timer of the process stands for them.
logging.getLogger("math_verify").setLevel(logging.ERROR)

# The parsers that latex2sympy2_extended 1.11.0 ships for antlr 4.9 and 4.11 lack this one method
# of the parser for 4.13, and so fail on every percentage. verl's hydra pins antlr 4.9, so without
# this line a training would grade "50\%" differently from an evaluation.
if not hasattr(PSParser.AtomContext, "FUNC_GAMMA"):
    PSParser.AtomContext.FUNC_GAMMA = lambda self: self.getToken(PSParser.FUNC_GAMMA, 0)


def judge(gold: str, text: str) -> tuple[str, str | None]:
    """Status of `text` (one \\boxed{...}, or a response without a box) and what was read in it."""
    reference = parse(rf"\boxed{{{gold}}}", parsing_timeout=None)
    # A bare string is Math-Verify's fallback for what it could not parse, often a torn-off piece.
    if all(isinstance(value, str) for value in reference):
        return "bad_gold", None
    answer = parse(text, parsing_timeout=None)
    if not answer:
        return "no_answer", None
    extracted = next((value for value in answer if isinstance(value, str)), None)
    correct = verify(gold=reference, target=answer, timeout_seconds=None)
    return ("correct" if correct else "wrong"), extracted


def serve(connection: Connection) -> None:
    """Answer requests until the other end is closed.

    Past its seconds of processor time a comparison ends the process by SIGPROF, in the middle of
    C code too. Processor time, so that a busy machine changes no verdict.
    """
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT_BYTES, resource.RLIM_INFINITY))
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's; its end closes the pipe
    judge("1", r"\boxed{2}")  # builds the parser's tables outside of any time limit
    connection.send("ready")
    while True:
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
        connection.send(reply)


if __name__ == "__main__":
    serve(Connection(int(sys.argv[1])))
