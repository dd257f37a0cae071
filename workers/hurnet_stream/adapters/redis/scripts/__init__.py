"""The Lua scripts: what the server does in one atomic step.

MULTI can't look at a value before it writes, and a script can: a shard moves on only if its watermark is the
expected one. Each script stands in a file of its own that opens with what it does, why that must be one step,
and its KEYS and ARGV. Scripts on shards begin with the same eight keys: state, stream, keys, pending, parts,
sizes, holds and recent (`SHARD_KEYS`; keys.py says what they hold).

Every script compares the epoch first: the random name that was drawn when the store was begun. So nothing is
written to a store that was emptied and begun anew, or to another one that took the address of ours. A shard
carries the epoch itself, so that a script which writes to a shard need not look at the meta too.

Before that, each script asks whether its user may run all its commands (forbidden.lua): a server does not
take back what a script has done before it was refused a command. That takes 3 microseconds.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

_FOLDER: Final = Path(__file__).parent
_CALL: Final = re.compile(r"redis\.call\('([A-Z]+)'")


def _script(*names: str) -> str:
    """The named files as one script. The server is sent it with each call: comments stay here."""
    body = _without_comments(*names)
    return f"{_guard(*sorted(set(_CALL.findall(body))))}\n{body}"


def _guard(*commands: str) -> str:
    """What a script that runs these commands begins with."""
    if not commands:
        return ""
    listed = ", ".join(f"'{command}'" for command in commands)
    return f"""{_without_comments("forbidden")}
local lacked = forbidden({{{listed}}}, KEYS[1])
if lacked then return redis.error_reply("NOPERM a script needs the command '" .. lacked:lower() .. "'") end"""


def _without_comments(*names: str) -> str:
    lines = (line for name in names for line in (_FOLDER / f"{name}.lua").read_text("utf-8").splitlines())
    return "\n".join(line for line in lines if line and not line.lstrip().startswith("--"))


SHARD_KEYS: Final = ("state", "stream", "keys", "pending", "parts", "sizes", "holds", "recent")

BEGIN_SHARD: Final = _script("ours", "begin_shard")
LIST_SHARD: Final = _script("ours", "list_shard")
ENTER_SLOT: Final = _script("enter_slot")
APPEND: Final = _script("finish_deletion", "take_parts", "append")
DELETE: Final = _script("finish_deletion", "take_parts", "delete")
SEAL: Final = _script("seal")
FENCE_SHARD: Final = _script("fence_shard")
RAISE_FLOOR: Final = _script("raise_floor")
BIND_LOG: Final = _script("ours", "bind_log")
NUMBER_TOPICS: Final = _script("ours", "number_topics")
ADMIT: Final = _script("ours", "admit")
GIVE_BACK: Final = _script("ours", "give_back")
FORGET_CONTEXT: Final = _script("forget_context")
REMEMBER_PROGRESS: Final = _script("ours", "remember_progress")
ENTER: Final = _script("ours", "notes", "enter")
LEAVE: Final = _script("ours", "notes", "leave")
ATTEMPT: Final = _script("ours", "notes", "attempt")
CLAIM_SOLVER: Final = _script("ours", "claim_solver")
ACQUIRE_LEASE: Final = _script("ours", "acquire_lease")
RELEASE_LEASE: Final = _script("release_lease")
LACKING: Final = _script("lacking")
PUBLISH_MIX: Final = _script("ours", "publish_mix")
PUT_CLAIM: Final = _script("put_claim")
REPLACE_VALUE: Final = _script("replace_value")
