"""A worker's rights on Kafka's topics and in Redis, compared at its start with those that its role needs.

Without this a right that is seldom used would be missed when it is needed: ingest would run for weeks, and
end at the first record that has to become a dead letter, again and again. Groups and transactional ids are
used by the first turn, so their rights need no comparison.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from hurnet_stream.errors import ConfigurationError
from hurnet_stream.operations.rights import kafka_rights, redis_users
from hurnet_stream.settings.settings import KafkaSettings, Settings

if TYPE_CHECKING:
    from hurnet_stream.adapters.redis import Connection

log = structlog.get_logger()


def check_rights(role: str, settings: Settings, kafka: KafkaSettings) -> None:
    """Logs each right that would be useful. Raises `ConfigurationError` that names all that are needed."""
    from hurnet_stream.adapters.kafka import forbidden_operations

    rights = [right for right in kafka_rights(settings)[role] if right.kind == "topic"]
    wanted: dict[str, set[str]] = {}
    for right in rights:
        wanted.setdefault(right.name, set()).add(right.operation)
    forbidden = forbidden_operations(kafka, wanted)
    lacking = [right for right in rights if right.operation in forbidden.get(right.name, ())]
    for right in lacking:
        if right.optional:
            log.warning(
                "Kafka does not give our user a right that is useful", right=str(right), why=right.why
            )
    if needed := [f"{right} ({right.why})" for right in lacking if not right.optional]:
        raise ConfigurationError(
            f"Kafka does not give our user the right {', '.join(needed)}: `hurnet rights --kafka` prints what"
            " each role needs"
        )


def check_store_rights(role: str, settings: Settings, connection: Connection) -> None:
    """Raises `ConfigurationError` that names all commands and keys that are needed. What is only useful is
    warned of elsewhere (`Connection.warnings`)."""
    from hurnet_stream.adapters.redis import forbidden_commands

    user = redis_users(settings.redis)[role]
    if lacking := forbidden_commands(connection, user.commands, user.uses()):
        raise ConfigurationError(
            f"{connection.server_name} does not give our user the right to {', '.join(lacking)}: `hurnet"
            " rights --redis` prints what each role needs"
        )
