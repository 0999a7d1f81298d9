"""Worker processes of the grader, and a memory of their verdicts."""

import os
import resource
import signal
import subprocess
import sys
import threading
from multiprocessing import Pipe
from pathlib import Path
from typing import Self

from cachetools import LRUCache

from lens_impl.errors import UserError

WORKER_SCRIPT = Path(__file__).with_name("worker.py")
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
REMEMBERED_VERDICTS = 10_000
REMEMBERED_LENGTH = 1000  # longer texts are whole responses, which hardly ever repeat
# A worker that uses no CPU time at all, for instance a stopped one, is ended by the clock.
WALL_FACTOR, WALL_EXTRA_S = 4, 30.0
# Address space without which a worker may not start; a fresh one takes about half of it.
WORKER_BYTES = 128 * 2**20

Verdict = tuple[str, str | None]  # status, and the answer that was read in the text


class Pool:
    """At most `size` workers at once, started when needed and replaced when they have grown.

    Safe in any thread, and after a fork: a child starts workers of its own. A pool that is no
    longer needed must be closed; the workers of all pools end with this process.
    script: the program of a worker; it speaks as worker.py does. wall_extra_s: seconds on the
    clock that a worker may take beyond WALL_FACTOR times its limit of CPU time.
    """

    def __init__(
        self,
        size: int = CORES,
        script: Path = WORKER_SCRIPT,
        wall_extra_s: float = WALL_EXTRA_S,
    ) -> None:
        self.size = size
        self.idle: list[Worker] = []
        self._script, self._wall_extra_s = script, wall_extra_s
        self._verdicts: LRUCache[tuple[str, str], Verdict] = LRUCache(REMEMBERED_VERDICTS)
        self._start_over()
        os.register_at_fork(after_in_child=self._start_over)

    def _start_over(self) -> None:
        """No worker, and all places free.

        A forked child must not share the pipes of its parent's workers, and the threads that would
        have given back its places and locks are not in it.
        """
        self.idle.clear()
        self._places = threading.BoundedSemaphore(self.size)
        self._verdicts_lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """End the idle workers. The pool may be used again."""
        while self.idle:
            self.idle.pop().end()

    def remembered(self, gold: str, text: str) -> Verdict | None:
        """The verdict that a worker has already given, if it is still known."""
        with self._verdicts_lock:
            return self._verdicts.get((gold, text))

    def judge(self, gold: str, text: str, timeout_s: float) -> Verdict:
        """A worker's verdict; waits for a free place.

        The status is one of worker.judge's, `timeout`, or `error` where the worker died; these two
        are not remembered.
        """
        with self._places:
            verdict = self._ask(gold, text, timeout_s)
        if verdict[0] not in ("timeout", "error") and len(text) <= REMEMBERED_LENGTH:
            with self._verdicts_lock:
                self._verdicts[gold, text] = verdict
        return verdict

    def _ask(self, gold: str, text: str, timeout_s: float) -> Verdict:
        worker = self._take()
        try:
            worker.connection.send((gold, text, timeout_s))
            if not worker.connection.poll(WALL_FACTOR * timeout_s + self._wall_extra_s):
                worker.process.kill()
                worker.process.wait()
                return "timeout", None
            status, extracted, has_grown = worker.connection.recv()
        except (EOFError, ConnectionError):
            ended_by_timer = worker.process.wait() == -signal.SIGPROF
            return ("timeout" if ended_by_timer else "error"), None
        if has_grown:
            worker.end()
        else:
            self.idle.append(worker)
        return status, extracted

    def _take(self) -> "Worker":
        while True:
            try:
                worker = self.idle.pop()
            except IndexError:  # another thread may take the last one at any moment
                return Worker(self._script)
            if worker.process.poll() is None:
                return worker


class Worker:
    """A running worker and our end of its pipe."""

    def __init__(self, script: Path) -> None:
        self.connection, theirs = Pipe()
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, str(script), str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
            )
        try:
            self.connection.recv()  # it is ready
        except EOFError:
            raise UserError(
                f"grading: the worker process ended with status {self.process.wait()} before it "
                f"was ready; its own message is above. Hint: {_hint()}"
            ) from None

    def end(self) -> None:
        """Let an idle worker end by itself."""
        self.connection.close()
        self.process.wait()


def _hint() -> str:
    """What most likely keeps a worker from starting."""
    limits = resource.getrlimit(resource.RLIMIT_AS)
    limit = min((limit for limit in limits if limit != resource.RLIM_INFINITY), default=None)
    if limit is not None and limit < WORKER_BYTES:
        return (
            f"this process may use {limit // 2**20} MiB of address space (ulimit -v), and a worker "
            f"needs {WORKER_BYTES // 2**20} MiB; raise the limit."
        )
    return f"{sys.executable} -m pip install math-verify cachetools"
