"""The Lua scripts explain themselves, and the server is sent no explanations."""

from pathlib import Path

import pytest

from hurnet_stream.adapters.redis import keys, scripts
from hurnet_stream.adapters.redis.keys import Keys

FILES = sorted(Path(scripts.__file__).parent.glob("*.lua"))
SENT = {name: script for name, script in vars(scripts).items() if name.isupper() and isinstance(script, str)}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_script_opens_with_what_it_does_and_what_it_is_given(file: Path) -> None:
    head = [line for line in file.read_text("utf-8").splitlines() if line.startswith("--")]
    if not head[0].startswith("-- Shared: "):
        for said in ("-- One step", "-- KEYS  1 ", "-- ARGV  1 ", "-- Returns "):
            assert any(line.startswith(said) for line in head), f"{file.name} does not say {said!r}"


def test_the_server_is_sent_every_script_without_its_comments() -> None:
    assert len(SENT) == len([file for file in FILES if "-- Shared: " not in file.read_text("utf-8")])
    for name, script in SENT.items():
        assert script, name
        assert not [line for line in script.splitlines() if line.lstrip().startswith("--")], name


def test_the_table_of_keys_has_every_key() -> None:
    made = Keys("P")
    shard = [made.shard(0, name) for name in (*scripts.SHARD_KEYS, "redacted")]
    named = [made.meta, made.log, made.shards, made.contexts, made.repair, *shard]
    roles = [made.progress("GROUP"), made.working("ROLE"), made.lease("ROLE"), made.request("D")]
    for key in [*named, *roles]:
        assert f"    {key.replace('{shard-0}', '{shard-N}')} " in (keys.__doc__ or "")
