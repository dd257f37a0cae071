"""Which commands and keys a user of the server lacks, told before any is used."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Final

from hurnet_stream.adapters.redis.connection import Connection
from hurnet_stream.adapters.redis.scripts import LACKING

# A server may crash if it is asked of a command without its arguments. All others take the key, and it again.
_ARGUMENTS: Final = {
    "asking": ("asking",),
    "cluster|slots": ("cluster", "slots"),
    "command": ("command",),
    "config|get": ("config", "get", "maxmemory"),
    "eval": ("eval", "return 1", "0"),
    "exec": ("exec",),
    "info": ("info",),
    "multi": ("multi",),
    "ping": ("ping",),
    "select": ("select", "0"),
    "time": ("time",),
    "unwatch": ("unwatch",),
    "wait": ("wait", "0", "0"),
}


def forbidden_commands(
    connection: Connection, commands: Collection[str], uses: Collection[tuple[str, str]]
) -> list[str]:
    """Those of `commands` that are forbidden, and those of `uses`, each a command and a key.

    Empty if nothing is, or if the server is older than Redis 7 and can't tell. Raises `ConfigurationError` if
    not even this question is allowed.
    """
    keys = [key for _, key in uses]
    asked = [(command, key) for command in dict.fromkeys([*commands, *(c for c, _ in uses)]) for key in keys]
    with connection.used():
        refused = connection.client.eval(LACKING, 0, json.dumps([_words(*each) for each in asked]))
    lacking = {asked[number - 1] for number in refused or ()}
    # A command that is forbidden altogether is told once, and not for each key.
    nowhere = [command for command in commands if lacking.issuperset((command, key) for key in keys)]
    return [*nowhere, *(f"{c} {key}" for c, key in uses if (c, key) in lacking and c not in nowhere)]


def _words(command: str, key: str) -> tuple[str, ...]:
    if command == "xread":
        return "xread", "streams", key, "0"
    return _ARGUMENTS.get(command, (command, key, key, key))
