"""A kernel client that misses no message, on a socket whose poll is not always woken."""

import asyncio
from queue import Empty

import pytest

from lens_impl.notebooks.kernel import PollingChannel


class Deaf:
    """A socket whose poll is not woken by its message until it has been asked `times` times."""

    def __init__(self, times: int):
        self.times, self.polls = times, []

    async def poll(self, timeout: int) -> int:
        self.polls.append(timeout)
        return int(len(self.polls) > self.times)


@pytest.mark.parametrize("timeout", [None, 600])
def test_a_message_that_wakes_no_poll_is_seen_by_the_next(timeout, monkeypatch):
    socket = Deaf(2)
    channel = object.__new__(PollingChannel)
    channel.socket = socket

    async def receive():
        return {"content": "reply"}

    monkeypatch.setattr(channel, "_recv", receive)
    assert asyncio.run(channel.get_msg(timeout)) == {"content": "reply"}
    assert socket.polls == [1000] * 3


def test_a_message_that_never_comes():
    channel = object.__new__(PollingChannel)
    channel.socket = Deaf(99)
    with pytest.raises(Empty):
        asyncio.run(channel.get_msg(0.5))
    assert len(channel.socket.polls) == 1 and 400 < channel.socket.polls[0] <= 500
