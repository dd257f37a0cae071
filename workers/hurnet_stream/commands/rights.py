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
def rights(kafka: bool, redis: bool) -> None:
    """Print commands that give each role its rights.

    For the topics, groups and the prefix of the settings in force. A user is named PREFIX-ROLE. Nothing is
    asked or changed.
    """
    from hurnet_stream.operations.rights import kafka_commands, redis_commands
    from hurnet_stream.settings.settings import load
    from hurnet_stream.terminal.screen import say

    settings = load()
    if kafka or not redis:
        for line in kafka_commands(settings):
            say(line)
    if redis or not kafka:
        for line in redis_commands(settings):
            say(line)
