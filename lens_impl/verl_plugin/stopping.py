"""A request to stop, from the supervisor to the trainer: SIGUSR1 to verl's process."""

import signal
import threading

_requested = threading.Event()


def listen() -> None:
    """Take SIGUSR1 as the request, in this process."""
    signal.signal(signal.SIGUSR1, lambda *_: _requested.set())


def requested() -> bool:
    """Whether the request has come."""
    return _requested.is_set()
