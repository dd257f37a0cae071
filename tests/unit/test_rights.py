"""The table of rights, and all that is made of it: pages, files, commands."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
import redis
from click.testing import CliRunner

from hurnet_stream.adapters.redis.keys import Keys
from hurnet_stream.commands.rights import rights
from hurnet_stream.operations import rights_page
from hurnet_stream.operations.rights import kafka_commands, kafka_rights, redis_commands, redis_users
from hurnet_stream.settings.settings import RedisSettings, Settings

ROOT = Path(__file__).parents[2]


def test_the_page_and_the_files_are_those_of_the_table() -> None:
    made = {
        "docs/rights.md": rights_page.page(Settings()),
        "deploy/rights/kafka.sh": "".join(f"{line}\n" for line in kafka_commands(Settings())),
        "deploy/rights/redis.acl": "".join(f"{line}\n" for line in redis_commands(Settings())),
    }
    for name, text in made.items():
        there = (ROOT / name).read_text("utf-8")
        assert there == text, f"{name} is another: see docs/rights.md and `hurnet rights --help`"


def test_the_command_prints_for_the_names_that_are_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HURNET_KAFKA_TEXTS", "my-texts")
    monkeypatch.setenv("HURNET_REDIS_PREFIX", "mine")
    kafka, lines = (CliRunner().invoke(rights, [option]).output for option in ("--kafka", "--redis"))
    assert "--allow-principal User:mine-ingest --operation Read --topic my-texts" in kafka
    assert "--operation Write --transactional-id mine-responder/ --resource-pattern-type prefixed" in kafka
    assert "ACL SETUSER mine-ingest on resetchannels ~mine:meta" in lines
    assert CliRunner().invoke(rights).output == kafka + lines


def test_nobody_has_all_commands_and_readers_write_nothing() -> None:
    users = redis_users(RedisSettings())
    writing = {"append", "del", "hdel", "hset", "set", "unlink", "xadd", "xdel", "zadd", "zrem", "rename"}
    assert not writing & {*users["reader"].commands}
    assert not {"keys", "flushall", "flushdb"} & {c for user in users.values() for c in user.commands}
    for user in users.values():
        assert user.rules()[: 2 + len(user.keys)] == ["resetchannels", *user.keys, "-@all"]
    assert "~hurnet:*" not in {key for role in users if role != "operator" for key in users[role].keys}


def test_select_is_needed_for_another_database_only() -> None:
    other = redis_users(RedisSettings(url="redis://h/3"))
    assert "select" in other["ingest"].commands
    assert "select" not in redis_users(RedisSettings())["ingest"].commands


def test_on_a_cluster_the_keys_are_those_of_its_slots() -> None:
    users = redis_users(RedisSettings(url="redis+cluster://n1,n2", prefix="p", replicas_ack=1))
    made = Keys("p@1", cluster=True)
    for key in (made.meta, made.solver("owner"), made.lease("solver"), made.shard(3, "stream")):
        assert any(fnmatchcase(key, pattern[1:]) for pattern in users["solver"].keys if pattern[0] == "~"), (
            key
        )
    assert {"cluster|slots", "wait"} <= {*users["ingest"].commands}
    assert fnmatchcase(Keys("p.aside-e", cluster=True).shard(0, "state"), users["ingest"].keys[-2][1:])


def test_no_right_is_listed_twice() -> None:
    for role, listed in kafka_rights(Settings()).items():
        assert len({str(right) for right in listed}) == len(listed), role
    for role, user in redis_users(RedisSettings()).items():
        assert len({*user.commands, *user.optional}) == len(user.commands) + len(user.optional), role


def test_every_command_that_the_stores_send_is_in_the_table() -> None:
    """The slow tests find which role needs it; this one finds at once that nobody was given it."""
    room = ROOT / "workers/hurnet_stream/adapters/redis"
    code = "\n".join(path.read_text("utf-8") for path in room.glob("*.py"))
    code += "\n".join(path.read_text("utf-8") for path in (room / "scripts").glob("*.lua"))
    sent = set(re.findall(r"(?:client|pipe|pipeline\(transaction=False\)|\))\.([a-z]+)\(", code))
    sent |= set(re.findall(r"_per_shard\(\"([a-z]+)\"", code))
    sent |= {name.lower() for name in re.findall(r"redis\.call\('([A-Z]+)'", code)}
    named = {"delete": "del", "execute": "exec"}
    commands = {named.get(name, name) for name in sent if hasattr(redis.Redis, name) or name in named}
    commands -= {"append", "close", "pipeline", "reset"}  # of lists, connections and pipelines
    granted = {command for user in redis_users(RedisSettings()).values() for command in user.commands}
    assert commands <= granted, commands - granted
    assert len(commands) > 25
