"""Ports on this machine's loopback interface."""

import contextlib
import random
import socket

from hurnet_stream.local.errors import ServerError

HOST = "127.0.0.1"
_marks: dict[int, socket.socket] = {}
"""What this process holds of the ports that it will give to its servers."""


def free_ports(count: int) -> list[int]:
    """`count` distinct ports that nothing listens on.

    They lie below the ephemeral range, from which the kernel takes ports for outgoing connections: one of
    those might take a server's port while the server is down. A client that reconnects to a dead port of
    that range may even connect to itself.
    """
    with contextlib.ExitStack() as held:  # all stay bound until the last one is found
        ports: list[int] = []
        for port in random.SystemRandom().sample(range(20_000, 32_000), 200):
            probe = held.enter_context(socket.socket())
            with contextlib.suppress(OSError):
                probe.bind((HOST, port))
                ports.append(port)
            if len(ports) == count:
                return ports
    raise ServerError(f"found no {count} free ports on {HOST} between 20000 and 32000")


def accepts(port: int) -> bool:
    """Whether something listens on this port."""
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex((HOST, port)) == 0


def port_or_free(port: int) -> int:
    """`port` if nothing listens on it and no other system of ours that starts wants it, and otherwise a free
    one."""
    return port if not accepts(port) and _marked(port) else free_ports(1)[0]


def _marked(port: int) -> bool:
    """Whether this process has the mark of a port, now and until it ends.

    A server listens seconds after its port was chosen. Two systems that start together would choose the same
    one, so each binds the UDP port of that number first, which no server here uses: the kernel gives it to
    one process, and frees it however that ends."""
    if port in _marks:
        return True
    mark = socket.socket(type=socket.SOCK_DGRAM)
    try:
        mark.bind((HOST, port))
    except OSError:
        mark.close()
        return False
    _marks[port] = mark
    return True


def check_free(port: int, name: str) -> None:
    """Raises `ServerError` if the server `name` can't have this port."""
    with socket.socket() as probe:
        # The servers do the same: a connection that is still in TIME_WAIT is no obstacle to them.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise ServerError(f"{name} can't have port {port} on {HOST}: {error.strerror}") from None
