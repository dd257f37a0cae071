"""docs/rights.md: what each role may do, made of the table that workers compare themselves with.

python -m hurnet_stream.operations.rights_page > docs/rights.md
"""

from __future__ import annotations

from collections.abc import Iterator

from hurnet_stream.operations.rights import kafka_rights, redis_users
from hurnet_stream.settings.settings import Settings

HEAD = """\
# Rights

What each role may do in Kafka and in Redis, and nothing more. This page is written by
`python -m hurnet_stream.operations.rights_page` from the table that workers compare themselves with at their
start, and tests run each role with exactly these rights, and without any one of them.

`hurnet rights` prints the commands that grant them, for the topics and the prefix of the settings in force.
With the defaults they stand in [deploy/rights](../deploy/rights). How to use them, and what else makes a
deployment safe: [security](security.md).

## Kafka

Names are those of the default settings; a `*` at the end means all names that begin so (a prefixed pattern).
READ and WRITE imply DESCRIBE. "Warns" means that the role works without it, and says what it can't see.
The solver is not among them: it needs the store alone.

| Principal | Right | Why | Without it |
|---|---|---|---|
"""
REDIS = """
## Redis

Each user also has `resetchannels` and `-@all`. `%R~` is a pattern of keys that may only be read; it needs
Redis 7 or Valkey. For another database than 0 `select` comes on top. Feedback is not among them: it needs
Kafka alone.
Without one of the commands or keys a role ends at its start and names it, and without those of the last
column it works and says what it can't see. On a Redis older than 7, which can't be asked, it ends when it
first needs one.

| User | Keys | Commands | Useful |
|---|---|---|---|
"""


def page(settings: Settings) -> str:
    """The whole page, for the names in `settings`."""
    return HEAD + "".join(_kafka(settings)) + REDIS + "".join(_redis(settings))


def _kafka(settings: Settings) -> Iterator[str]:
    for role, rights in kafka_rights(settings).items():
        for right in rights:
            without = "warns" if right.optional else "ends"
            star = "*" if right.prefixed else ""
            what = f"{right.operation} {right.kind.replace('_', ' ')} `{right.name}{star}`"
            yield f"| {role} | {what} | {right.why} | {without} |\n"


def _redis(settings: Settings) -> Iterator[str]:
    for role, user in redis_users(settings.redis).items():
        commands = " ".join(f"`{command}`" for command in sorted(user.commands))
        useful = " ".join(f"`{command}`" for command in user.optional).replace("|", r"\|")  # no new column
        keys = " ".join(f"`{key}`" for key in user.keys)
        yield f"| {role} | {keys} | {commands} | {useful} |\n"


if __name__ == "__main__":
    print(page(Settings()), end="")
