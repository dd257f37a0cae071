"""Ports on this machine's loopback interface."""

import contextlib
import random
import socket

from hurnet_stream.local.errors import ServerError

HOST = "127.0.0.1"


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
    """`port` if nothing listens on it, and otherwise a free one."""
    return free_ports(1)[0] if accepts(port) else port


def check_free(port: int, name: str) -> None:
    """Raises `ServerError` if the server `name` can't have this port."""
    with socket.socket() as probe:
        # The servers do the same: a connection that is still in TIME_WAIT is no obstacle to them.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise ServerError(f"{name} can't have port {port} on {HOST}: {error.strerror}") from None
