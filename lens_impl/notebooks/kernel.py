"""A Jupyter kernel client that sees every message."""

from queue import Empty
from time import monotonic

from jupyter_client.asynchronous import AsyncKernelClient
from jupyter_client.channels import AsyncZMQSocketChannel
from traitlets import Type

POLL_SECONDS = 1.0


class PollingChannel(AsyncZMQSocketChannel):
    """jupyter_client's channel, but it waits for a message in many short polls.

    pyzmq's asyncio poll is sometimes not woken by a message, and sees it only when its time is
    over. In one long poll a cell of a second then takes nbclient's limit of ten minutes, and
    outputs are lost.
    """

    async def get_msg(self, timeout: float | None = None) -> dict:
        """The next message; timeout in seconds, None for no limit. Empty when it is over."""
        end = float("inf") if timeout is None else monotonic() + timeout
        while True:
            left = end - monotonic()
            try:
                return await super().get_msg(timeout=min(POLL_SECONDS, max(0.0, left)))
            except Empty:
                if left <= POLL_SECONDS:
                    raise


class PollingClient(AsyncKernelClient):
    """An asynchronous kernel client whose channels poll."""

    shell_channel_class = Type(PollingChannel)
    iopub_channel_class = Type(PollingChannel)
