"""`hurnet rights`: what each role may do in Kafka and in Redis, as commands that grant it."""

from __future__ import annotations

import click

EPILOG = """\b
Examples:
  hurnet rights --kafka
  hurnet rights --kafka | ADMIN=admin.properties sh
  hurnet rights --redis | redis-cli
"""


@click.command(epilog=EPILOG)
@click.option("--kafka", is_flag=True, help="Calls of kafka-acls.sh, which Kafka brings along.")
@click.option("--redis", is_flag=True, help="ACL SETUSER, one line a role.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line, one for each command.")
def rights(kafka: bool, redis: bool, as_json: bool) -> None:
    """Print commands that give each role its rights.

    For the topics, groups and the prefix of the settings in force. A user is named PREFIX-ROLE. Nothing is
    asked or changed.
    """
    from hurnet_stream.operations.rights import kafka_commands, redis_commands
    from hurnet_stream.settings.settings import load
    from hurnet_stream.terminal.screen import say, say_json

    settings = load()
    chosen = {"kafka": kafka or not redis, "redis": redis or not kafka}
    commands = {"kafka": kafka_commands, "redis": redis_commands}
    for server in (server for server, wanted in chosen.items() if wanted):
        for line in commands[server](settings):
            if not as_json:
                say(line)
            elif line and not line.startswith("#"):
                say_json({"server": server, "command": line})
