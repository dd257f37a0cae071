"""What each role may do in Kafka and in Redis, and nothing more: the one table of it.

The documents, the files in deploy/rights and `hurnet rights` are made of it, workers compare themselves with
it at their start, and a test runs each role with exactly these rights, and without any one of them.

In Kafka a right names an operation on a resource. READ and WRITE imply DESCRIBE:

    hurnet-ingest    READ   topic texts            without it: nothing is taken in
                     READ   group hurnet-ingest    without it: it gets no partitions
                     WRITE  topic dead-letters     without it: it ends at the first record it must put aside

In Redis a user has commands and keys, both by name. A script that is sent by EVAL runs with the rights of its
user, so what it calls counts. EVAL itself asks for reading and writing of each key that it is given, even if
the script only reads:

    hurnet-responder  +hget +xread +eval ...  %R~hurnet:*  ~hurnet:progress:*  reads all keys, writes few
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from shlex import quote
from typing import Final, Literal

from hurnet_stream.settings.addresses import redis_address
from hurnet_stream.settings.settings import RedisSettings, Settings

Kind = Literal["topic", "group", "transactional_id", "cluster"]


@dataclass(frozen=True, slots=True)
class KafkaRight:
    """One operation on one resource, or on all whose names begin with `name` if it is `prefixed`.

    Without an `optional` right the role works, and a warning says what it can't see."""

    operation: str
    kind: Kind
    name: str
    why: str
    prefixed: bool = False
    optional: bool = False

    def __str__(self) -> str:
        resource = self.kind.replace("_", " ")
        return f"{self.operation} on {resource} {self.name}{'*' if self.prefixed else ''}"


@dataclass(frozen=True, slots=True)
class RedisUser:
    """The commands and the keys of a role. Without the `optional` commands it works, and says what it
    misses."""

    commands: tuple[str, ...]
    keys: tuple[str, ...]
    optional: tuple[str, ...] = ()

    def uses(self) -> list[tuple[str, str]]:
        """For each of the keys a command and a key that it is allowed on: what can be tried."""
        return [
            ("hget" if pattern.startswith("%R") else "hset", pattern.partition("~")[2].replace("*", "x"))
            for pattern in self.keys
        ]

    def rules(self) -> list[str]:
        """As ACL SETUSER takes them."""
        return ["resetchannels", *self.keys, "-@all", *(f"+{each}" for each in self._all())]

    def _all(self) -> list[str]:
        return sorted((*self.commands, *self.optional))


def kafka_rights(settings: Settings) -> Mapping[str, tuple[KafkaRight, ...]]:
    """By principal. The solver is not among them: it needs the store alone."""
    k, jobs = settings.kafka, f"{settings.redis.prefix}-produce/"
    ingest, responder, feedback = (s.group for s in (settings.ingest, settings.responder, settings.feedback))
    return {
        "ingest": (
            KafkaRight("READ", "topic", k.texts, "the texts to remember"),
            KafkaRight("READ", "group", ingest, "to share the partitions out"),
            KafkaRight("WRITE", "topic", k.dead_letters, "records that can't be taken in"),
            *_of_retention(settings),
            *(KafkaRight("READ", "topic", name, "what its table takes") for name in settings.topics),
            *_configs(k.texts, k.dead_letters, *settings.topics),
        ),
        "responder": (
            KafkaRight("READ", "topic", k.queries, "the questions"),
            KafkaRight("READ", "group", responder, "to share the partitions out"),
            KafkaRight("WRITE", "topic", k.answers, "answers, and other reply topics", prefixed=True),
            *_of_the_canary(settings),
            KafkaRight("WRITE", "topic", k.dead_letters, "questions that end a process"),
            KafkaRight(
                *("DESCRIBE", "topic", k.texts),
                "to check that it fills the store, and which offsets it has",
                optional=True,
            ),
            *_ends_of_others(settings),
            KafkaRight("WRITE", "transactional_id", f"{responder}/", "answers exactly once", prefixed=True),
            *(
                KafkaRight("WRITE", "topic", topic, "who asked, with each answer")
                for topic in filter(None, [k.audit])
            ),
            *_configs(k.queries, k.answers, k.dead_letters, *filter(None, [k.audit])),
        ),
        "feedback": (
            KafkaRight("READ", "topic", k.feedback, "what people say of answers"),
            KafkaRight("READ", "group", feedback, "to share the partitions out"),
            KafkaRight("WRITE", "topic", k.texts, "what it teaches"),
            KafkaRight("WRITE", "topic", k.dead_letters, "feedback that can't be understood"),
            KafkaRight("WRITE", "transactional_id", f"{feedback}/", "teaches exactly once", prefixed=True),
            _forwarded(settings),
            *_configs(k.feedback, k.texts, k.dead_letters),
        ),
        "reshard": tuple(_reshard(settings)),
        "canary": (
            KafkaRight("WRITE", "topic", k.texts, "its probes, which it deletes"),
            KafkaRight("WRITE", "topic", k.queries, "asks them back"),
            KafkaRight("READ", "topic", k.canary_answers, "what it is answered"),
            KafkaRight("READ", "topic", k.texts, "to verify entries (HURNET_CANARY_STORE)", optional=True),
        ),
        "gateway": tuple(_gateway(settings)),
        "producer": (
            KafkaRight("WRITE", "topic", k.texts, "teaches and deletes"),
            KafkaRight(*("WRITE", "transactional_id", jobs), "sends files, each text once", prefixed=True),
            KafkaRight(*("READ", "group", jobs), "notes how far it has come with files", prefixed=True),
            KafkaRight("READ", "topic", k.texts, "Kafka asks for it for such a note"),
        ),
        "client": (
            KafkaRight("WRITE", "topic", k.queries, "asks"),
            KafkaRight("READ", "topic", k.answers, "reads all answers in it: better one topic a client"),
        ),
        "critic": (KafkaRight("WRITE", "topic", k.feedback, "says what was right and wrong"),),
        "operator": tuple(_operator(settings)),
    }


def _gateway(settings: Settings) -> Iterator[KafkaRight]:
    k = settings.kafka
    yield KafkaRight("WRITE", "topic", k.queries, "asks")
    yield KafkaRight("READ", "topic", settings.gateway.replies or k.answers, "what it is answered")
    yield KafkaRight("WRITE", "topic", k.texts, "teaches and deletes")
    yield from _deletions_in_others(settings)
    yield KafkaRight("WRITE", "topic", k.feedback, "corrects")
    family = f"{settings.redis.prefix}-gateway/"
    yield KafkaRight("WRITE", "transactional_id", family, "writes whole or not at all", prefixed=True)
    yield KafkaRight("READ", "topic", k.texts, "looks whether a request was written, and what was taught")
    yield KafkaRight("READ", "topic", k.feedback, "looks whether a request was written")
    yield KafkaRight("READ", "topic", k.queries, "shows a receipt with its question", optional=True)
    yield KafkaRight("READ", "topic", k.dead_letters, "shows them", optional=True)
    yield _forwarded(settings)
    for section in (settings.ingest, settings.responder, settings.feedback):
        yield KafkaRight("DESCRIBE", "group", section.group, "shows who works", optional=True)


def _reshard(settings: Settings) -> Iterator[KafkaRight]:
    """Of `hurnet reshard`. The new topic is called after the old one, unless --topic says otherwise."""
    texts, group = settings.kafka.texts, f"{settings.redis.prefix}-reshard-"
    yield KafkaRight(
        "READ", "topic", texts, "the texts to forward, and which of them are forwarded", prefixed=True
    )
    yield KafkaRight("WRITE", "topic", f"{texts}-", "forwards them", prefixed=True)
    yield KafkaRight("CREATE", "topic", f"{texts}-", "makes the new topic", prefixed=True)
    yield KafkaRight("DESCRIBE_CONFIGS", "topic", texts, "gives the new topic the settings of the old one")
    yield KafkaRight("READ", "group", group, "to share the partitions out", prefixed=True)
    yield KafkaRight("WRITE", "transactional_id", group, "forwards each text once", prefixed=True)


def _forwarded(settings: Settings) -> KafkaRight:
    """Of those that write texts under keys, and may be restarted with another topic."""
    group = f"{settings.redis.prefix}-reshard-{settings.kafka.texts}"
    return KafkaRight("DESCRIBE", "group", group, "waits for what `hurnet reshard` forwards", optional=True)


def _of_retention(settings: Settings) -> Iterator[KafkaRight]:
    if any(keep.age or keep.rows for keep in settings.contexts.values()):
        yield KafkaRight("WRITE", "topic", settings.kafka.texts, "deletes what has become too old")


def _ends_of_others(settings: Settings) -> Iterator[KafkaRight]:
    for topic in settings.topics:
        yield KafkaRight("DESCRIBE", "topic", topic, "to tell what can't be waited for", optional=True)


def _deletions_in_others(settings: Settings) -> Iterator[KafkaRight]:
    for topic, table in settings.topics.items():
        if table.writable:
            yield KafkaRight("WRITE", "topic", topic, "forgets its texts (writable = true)")
        else:
            yield KafkaRight("DESCRIBE", "topic", topic, "shows how far it is", optional=True)


def _of_the_canary(settings: Settings) -> Iterator[KafkaRight]:
    """Its topic of answers, unless that is among those whose names begin as that of all answers."""
    topic = settings.kafka.canary_answers
    if not topic.startswith(settings.kafka.answers):
        yield KafkaRight("WRITE", "topic", topic, "answers to the canary")


def _configs(*topics: str) -> Iterator[KafkaRight]:
    for topic in topics:
        yield KafkaRight("DESCRIBE_CONFIGS", "topic", topic, "to warn of wrong settings", optional=True)


def _operator(settings: Settings) -> Iterator[KafkaRight]:
    k = settings.kafka
    ours = k.texts, k.queries, k.answers, k.feedback, k.dead_letters, k.canary_answers
    for topic in (*ours, *filter(None, [k.audit])):
        yield KafkaRight("CREATE", "topic", topic, "topics --create")
        yield KafkaRight("DESCRIBE_CONFIGS", "topic", topic, "topics")
        yield KafkaRight(
            "READ", "topic", topic, "verify, repair, dead-letters, unanswered, correct, ask, replay"
        )
        if topic in (k.texts, k.queries, k.feedback):
            yield KafkaRight("WRITE", "topic", topic, "forget, contexts, repair, dead-letters, correct, ask")
    for topic in (*settings.topics, *filter(None, [settings.gateway.replies])):
        yield KafkaRight(
            *("DESCRIBE_CONFIGS", "topic", topic, "forget, to say how long copies stay"), optional=True
        )
    yield from _deletions_in_others(settings)
    for section in (settings.ingest, settings.responder, settings.feedback):
        yield KafkaRight("DESCRIBE", "group", section.group, "status")


_OPTIONAL: Final = ("config|get", "info")
"""Without them a worker can't tell that the server is set up dangerously, or has failed over."""
_OPENING: Final = ("get", "hmget", "scard", "smembers")
_OF_CLUSTERS: Final = ("asking", "cluster|slots", "command")
"""To learn which server has which slot, and to follow a slot that moves."""
_BEGINNING: Final = (*_OPENING, "eval", "setnx")
"""To begin a store, if there is none yet."""
_TAILING: Final = ("hget", "hgetall", "xread", "zrangebylex")
_ADMINISTRATION: Final = ("hkeys", "hlen", "hscan", "xrange", "zcard")
_CLAIMING: Final = ("del", "eval", "pttl", "set")
_TRANSACTION: Final = ("exec", "multi", "unwatch", "watch")
_INGEST: Final = (
    *("hdel", "hget", "hgetall", "hincrby", "hset", "hsetnx", "sadd", "set", "sismember"),
    *("xadd", "xrange", "zadd", "zrangebylex", "zrem"),
)
_SOLVER: Final = (
    *("del", "hdel", "hincrby", "hset", "hsetnx", "set", "srem", "unlink"),
    *("time", "xdel", "xrevrange", "zadd", "zrange", "zrem", "zremrangebylex", "zrevrangebylex"),
)
_OPERATOR: Final = (
    *("del", "exists", "hdel", "hset", "rename", "sadd", "scan", "set", "time", "unlink"),
    *("xadd", "xdel", "xlen", "zadd", "zremrangebylex"),
)
"""To repair, to restore, and to ask for a compaction."""


def redis_users(settings: RedisSettings) -> Mapping[str, RedisUser]:
    """By role. Feedback is not among them: it needs Kafka alone. Key patterns need Redis 7 or Valkey.

    `reader` is for the canary, `hurnet status`, `backup` and the like; `operator` for `repair`, `restore`,
    `compact` and all steps of `migrate` but `--to`, which is for `migrate`."""
    prefix = settings.prefix
    read = f"%R~{prefix}:*", f"%R~{prefix}@*"
    address = redis_address(settings.url)
    connection = ("ping", "select") if address.db else ("ping", *(_OF_CLUSTERS if address.cluster else ()))
    waiting = ("wait",) if settings.replicas_ack else ()
    # What a store that is gone has left in a shard's slot is put aside there.
    begins = ("exists", "rename") if address.cluster else ()
    left = (f"~{prefix}.aside-*", f"~{prefix}@*.aside-*") if address.cluster else ()

    def user(commands: tuple[str, ...], *keys: str) -> RedisUser:
        return RedisUser((*connection, *commands), keys, _OPTIONAL)

    def keys(*names: str) -> tuple[str, ...]:
        """Of the first generation, and of later ones."""
        return tuple(f"~{each}:{at(name)}" for each in (prefix, f"{prefix}@*") for name in names)

    def at(name: str) -> str:
        """As keys.py has it: on a cluster all but shards and requests is in one slot."""
        if not address.cluster or name.startswith(("{shard-", "request:")):
            return name
        return f"{{{prefix.partition('.aside-')[0]}}}:{name.replace('{solver}:', 'solver:')}"

    def home(name: str) -> str:
        return f"{prefix}:{at(name)}"

    reading = (*_OPENING, *_TAILING)
    migrating = (*_BEGINNING, *_TAILING, *_ADMINISTRATION, *_TRANSACTION, *_SOLVER, *_INGEST)
    return {
        "ingest": user(
            (*_BEGINNING, *_TRANSACTION, *_INGEST, *begins, *waiting),
            *keys("meta", "log", "topics", "shards", "contexts", "{shard-*", "working:*"),
            f"%R~{home('generations')}",
            *left,
        ),
        "solver": user(
            (*_BEGINNING, *_TAILING, *_ADMINISTRATION, *_TRANSACTION, *_SOLVER, *waiting),
            *(*read, *keys("meta", "contexts", "{shard-*", "{solver}:*", "lease:*")),
        ),
        "migrate": user(
            tuple(dict.fromkeys((*migrating, *begins, *waiting))),
            *(
                *read,
                *left,
                f"~{home('generations')}",
                *keys("meta", "log", "shards", "contexts", "left-out"),
            ),
            *keys("{shard-*", "{solver}:*", "lease:*"),
        ),
        "reshard": user(
            (*_BEGINNING, *_TAILING, *_ADMINISTRATION, *_TRANSACTION, "hset", "set", "zremrangebylex"),
            *(*read, f"~{home('generations')}", *keys("meta", "left-out", "progress:*", "{shard-*")),
        ),
        "responder": user(
            (*_BEGINNING, *_TAILING, "hdel", "hset", "time"),
            *(*read, f"~{home('ready')}", *keys("meta", "progress:*", "working:*", "{solver}:mix*")),
        ),
        "slice": user(
            (*_BEGINNING, *_TAILING, "hdel", "hset", "time"),
            *(*read, f"~{home('slices')}", *keys("meta")),
        ),
        "gateway": user((*reading, *_ADMINISTRATION, *_CLAIMING), *read, f"~{prefix}:request:*"),
        "reader": user((*reading, *_ADMINISTRATION, "time"), *read),
        "operator": user(
            (*_BEGINNING, *_TAILING, *_ADMINISTRATION, *_TRANSACTION, *_OPERATOR),
            f"~{prefix}:*",
            f"~{prefix}@*",
            f"~{prefix}.aside-*",
        ),
    }


def kafka_commands(settings: Settings) -> Iterator[str]:
    """The calls of Kafka's `kafka-acls.sh` that grant everything. $ADMIN is an administrator's file."""
    begin = (
        f"kafka-acls.sh --bootstrap-server {quote(settings.kafka.bootstrap)} --command-config $ADMIN --add"
    )
    for role, rights in kafka_rights(settings).items():
        yield f"# {role}"
        for right in rights:
            pattern = " --resource-pattern-type prefixed" if right.prefixed else ""
            operation = "".join(word.capitalize() for word in right.operation.split("_"))
            resource = f"--{right.kind.replace('_', '-')} {quote(right.name)}"
            who = f"--allow-principal {quote(f'User:{settings.redis.prefix}-{role}')}"
            yield f"{begin} {who} --operation {operation} {resource}{pattern}  # {right.why}"


def redis_commands(settings: Settings) -> Iterator[str]:
    """Lines for a Redis console or `redis-cli`. Each user still needs a password: >PASSWORD, or the
    SHA-256 of one behind #."""
    prefix = settings.redis.prefix
    for role, user in redis_users(settings.redis).items():
        yield f"ACL SETUSER {prefix}-{role} on {' '.join(user.rules())}"
