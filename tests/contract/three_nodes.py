"""Three Valkeys as a Redis Cluster without replicas: what can go wrong with slots, and not with failovers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from hurnet_stream.local import ValkeyServer
from hurnet_stream.local.loopback import HOST, free_ports
from tests.acceptance.system import wait_for
from tests.stand_ins import admin

NODES = 3
SLOTS = 16_384


@contextmanager
def three_nodes() -> Iterator[str]:
    """The URL of the cluster."""
    with ExitStack() as stack:
        settings = {"cluster-enabled": "yes", "appendfsync": "no"}
        buses = free_ports(NODES)
        servers = [
            stack.enter_context(ValkeyServer(settings={**settings, "cluster-port": str(bus)}))
            for bus in buses
        ]
        bounds = [SLOTS * node // NODES for node in range(NODES + 1)]
        for node, server in enumerate(servers):
            with admin(server) as client:
                client.execute_command("CLUSTER SET-CONFIG-EPOCH", node + 1)
                client.execute_command("CLUSTER ADDSLOTSRANGE", bounds[node], bounds[node + 1] - 1)
                if node:
                    client.execute_command("CLUSTER MEET", HOST, servers[0].port, buses[0])
        wait_for(lambda: all(map(_is_ok, servers)), what="the cluster has all its slots")
        yield "redis+cluster://" + ",".join(f"{HOST}:{server.port}" for server in servers)


def _is_ok(server: ValkeyServer) -> bool:
    with admin(server) as client:
        info = client.execute_command("CLUSTER INFO")
    said = info if isinstance(info, dict) else dict(line.split(":") for line in info.decode().split())
    return (said["cluster_state"], said["cluster_known_nodes"]) == ("ok", str(NODES))
