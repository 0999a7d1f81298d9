"""A grading worker that does what it is asked for, to test the pool of workers.

Speaks as lens_impl/grading/worker.py does. The first word of the text says what to do:
pid, count (of requests so far), grow, die, stop (for ever), once FILE (runs out of CPU time where
FILE does not exist yet, and creates it).
"""

import itertools
import os
import signal
import sys
from multiprocessing.connection import Connection
from pathlib import Path


def main() -> None:
    connection = Connection(int(sys.argv[1]))
    connection.send("ready")
    for count in itertools.count(start=1):
        try:
            _, text, _ = connection.recv()
        except EOFError:
            return
        verb, *rest = text.split() or [""]
        if verb == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if verb == "stop":
            os.kill(os.getpid(), signal.SIGSTOP)
        if verb == "once" and not Path(rest[0]).exists():
            Path(rest[0]).touch()
            os.kill(os.getpid(), signal.SIGPROF)
        extracted = {"pid": str(os.getpid()), "count": str(count)}.get(verb)
        connection.send(("wrong", extracted, verb == "grow"))


if __name__ == "__main__":
    main()
