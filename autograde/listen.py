"""The grader's end of a kernel's wire: what comes in is a stranger's, and may be no message at all, or far too many."""

import asyncio
import hmac
from typing import Any

import zmq
import zmq.asyncio
from jupyter_client.asynchronous import AsyncKernelClient
from jupyter_client.channels import AsyncZMQSocketChannel
from jupyter_client.session import Session
from nbclient.exceptions import DeadKernelError
from traitlets import Type

MAX_MESSAGE_BYTES = 64 * 2**20
_PARTS = ("header", "parent_header", "metadata", "content")
MAX_WAITING = 20  # messages that were received and nobody has read
IN_A_ROW = 16  # messages that are read before others get their turn


class GarbledError(DeadKernelError):
    """The kernel sent what is no message: nothing it says can be used any more."""


class Channel(AsyncZMQSocketChannel):
    """A channel that takes messages of the right form only, tells the size of their content, and gives others their turn."""

    in_a_row = 0

    async def get_msg(self, timeout: float | None = None) -> dict[str, Any]:  # type: ignore[override]  # as there
        """The next message; without a `timeout` there is nothing to look at before it."""
        return await (self._recv() if timeout is None else super().get_msg(timeout))

    async def _recv(self, **kwargs: Any) -> dict[str, Any]:  # type: ignore[override]  # as jupyter_client has it
        self.in_a_row = (self.in_a_row + 1) % IN_A_ROW
        if self.in_a_row == 0:  # where messages are always waiting, no clock would be looked at
            await asyncio.sleep(0)
        try:
            _, parts = self.session.feed_identities(await self.socket.recv_multipart(**kwargs))
            message = _read(self.session, parts)
        except zmq.ZMQError:
            raise
        except Exception as error:
            # It is taken apart in many steps, each of which fails in its own way on what is no message.
            raise GarbledError(f"{type(error).__name__}: {error}") from error
        message["size"] = sum(map(len, parts[4:]))  # of the content, and buffers
        return message


def _read(session: Session, parts: list[Any]) -> dict[str, Any]:
    """As `Session.deserialize`, but dates stay text: to read them takes half of its time, and nobody asks for them."""
    if not hmac.compare_digest(session.sign(parts[1:5]), parts[0]):
        raise ValueError("its signature is not the kernel's")
    message = dict(zip(_PARTS, map(session.unpack, parts[1:5]), strict=True))
    for part, content in message.items():
        if not isinstance(content, dict):
            raise TypeError(f"its {part} is no mapping")
    header = message["header"]
    return message | {"msg_id": header["msg_id"], "msg_type": header["msg_type"], "buffers": parts[5:]}


class Listener(AsyncKernelClient):
    """A client that opens no more channels than it reads."""

    shell_channel_class = Type(Channel)
    iopub_channel_class = Type(Channel)

    def _context_default(self) -> zmq.asyncio.Context:
        context = super()._context_default()
        bound(context)
        return context

    def start_channels(
        self,
        shell: bool = True,
        iopub: bool = True,
        stdin: bool = False,
        hb: bool = False,
        control: bool = False,
    ) -> None:
        """Those for requests and outputs; nobody would read the others, and whether the kernel lives its manager says."""
        super().start_channels(shell, iopub, stdin, hb, control)
        self.breaks = self.iopub_channel.socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)

    def broke_off(self) -> bool:
        """Whether the connection that outputs come on was closed; it is when a message is too large, and then others are lost."""
        return bool(self.breaks.get(zmq.EVENTS) & zmq.POLLIN)


def bound(context: zmq.Context[Any]) -> None:
    """Cap the size and number of the messages that sockets made from now on hold."""
    context.setsockopt(zmq.MAXMSGSIZE, MAX_MESSAGE_BYTES)
    context.setsockopt(zmq.RCVHWM, MAX_WAITING)
