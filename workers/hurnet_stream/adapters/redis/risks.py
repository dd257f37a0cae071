"""Settings of a Redis server by which it may lose what it has acknowledged."""

from __future__ import annotations

from typing import Any, Final

import redis

from hurnet_stream.adapters.redis.primary import ServerInfo

_PATTERNS: Final = ("append*", "maxmemory-policy", "stream-node-max-entries", "min-replicas-to-write")

# setting, the value it should have, what happens otherwise
_RISKS: Final = (
    ("appendonly", "yes", "a restart loses what was not saved; set it to yes"),
    (
        "appendfsync",
        "always",
        "a crash can lose the last second, to be read from Kafka again; set it to always",
    ),
    ("maxmemory-policy", "noeviction", "it may drop parts of the store when full; set it to noeviction"),
    (
        "stream-node-max-entries",
        "1",
        "the bytes of erased rows may stay beside their neighbours'; set it to 1",
    ),
)
_WITHOUT_REPLICAS: Final = (
    "min-replicas-to-write",
    "cut off from its replicas it acknowledges what a failover then drops, to be read from Kafka again; set"
    " it to 1",
)


def warnings(client: Any, server: ServerInfo, server_name: str) -> list[str]:
    """A sentence for each risk, and for each thing that the server hides from us."""
    hidden = [] if server.run_id else [_hidden_role(server_name)]
    try:
        config = {name: value for pattern in _PATTERNS for name, value in client.config_get(pattern).items()}
    except redis.ResponseError:  # forbidden by an ACL, or disabled by the provider of the server
        return [*hidden, _hidden_configuration(server_name)]
    risks = [(name, risk) for name, good, risk in _RISKS if config.get(name, good) != good]
    if server.replicas and config.get("min-replicas-to-write") == "0":
        risks.append(_WITHOUT_REPLICAS)
    return [*hidden, *(f"{server_name} has {name} {config[name]}: {risk}" for name, risk in risks)]


def _hidden_role(server_name: str) -> str:
    return (
        f"{server_name} does not tell its role (INFO), so that a failover may go unnoticed; it should be"
        " allowed by +info"
    )


def _hidden_configuration(server_name: str) -> str:
    wanted = ", ".join(f"{name} {good}" for name, good, _ in _RISKS)
    return f"{server_name} does not tell its configuration; it should be {wanted}"
