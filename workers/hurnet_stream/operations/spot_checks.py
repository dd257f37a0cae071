"""Spot checks of the store: a few offsets of each partition are compared with the topic, in bounded time.

    partition of texts        first ─────────────[random]───────────────[newest] watermark
    size 250                                     250 offsets            250 offsets

What was lost lately shows in the newest offsets; what is damaged long after shows sooner or later at a place
drawn at random. A text that was deleted is known by the record that deletes it, which is looked for among the
`LOOK_AHEAD` offsets behind the range. Only if a text is missing for which there is none, the topic is read to
its end. What the store says it has erased for a later deletion is believed, and counted as unproved.

`spot_check` runs `hurnet verify --sample` in a process of its own, so that the embedder's memory is free
again and nothing is held up; it is ended if it takes too long.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from random import Random
from typing import Any, Final

from hurnet_stream.core.places import TEXTS, first_position, last_position, number_of, offset_of
from hurnet_stream.errors import HurnetError
from hurnet_stream.exit_codes import DONE, NOT_THERE, NOT_WELL
from hurnet_stream.ports import OffsetRange

LOOK_AHEAD: Final = 50_000
"""Offsets behind a range in which its deletions are looked for: some seconds of reading."""
Range = tuple[int, int, int]
"""Shard, first position, last position."""


class SpotCheckFailed(HurnetError):
    """The comparison could not be made."""


def sample_ranges(
    watermarks: Mapping[int, int], in_topic: Mapping[int, OffsetRange], size: int, random: Random
) -> Iterator[Range]:
    """The newest `size` offsets of each shard, and `size` others, of what both store and topic hold, as
    ranges of positions. A shard whose topic is not read is left out."""
    for shard, watermark in sorted(watermarks.items()):
        if number_of(shard) != TEXTS and shard not in in_topic:
            continue
        oldest = offset_of(shard, in_topic.get(shard, OffsetRange(0, 0)).first)
        last = offset_of(shard, watermark)
        newest = max(oldest, last - size + 1)
        if newest <= last:
            yield shard, first_position(shard, newest), watermark
        if oldest < newest:
            first = random.randint(oldest, max(oldest, newest - size))
            end = min(first + size, newest)
            yield shard, first_position(shard, first), last_position(shard, end - 1)


def spot_check(size: int, timeout_s: float) -> dict[str, int]:
    """How many offsets are ok, different and unproved. Raises `SpotCheckFailed`."""
    command = [sys.executable, "-P", "-m", "hurnet_stream", "verify", "--sample", str(size), "--json"]
    paths = os.pathsep.join(path for path in sys.path if path)
    try:
        done = subprocess.run(
            command,
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": paths},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise SpotCheckFailed(f"it took longer than {timeout_s:g} s") from None
    if done.returncode not in (DONE, NOT_WELL, NOT_THERE):
        raise SpotCheckFailed(done.stderr.strip()[-500:] or f"it ended with code {done.returncode}")
    return counted(json.loads(done.stdout)["shards"])


def counted(shards: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """The offsets of proofs by their outcome. What lies behind a difference was not looked at."""
    found = {"ok": 0, "different": 0, "unproved": 0}
    for shard in shards:
        offsets, unproved = shard["last"] - shard["first"] + 1, shard["unproved"] + shard["erased"]
        if shard["difference"]:
            found["different"] += 1
            unproved += shard["last"] - shard["difference"][0]
        found["unproved"] += unproved
        found["ok"] += offsets - unproved - bool(shard["difference"])
    return found
