"""`hurnet compact`: what deletions left behind in the store goes at once."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from contextlib import closing
from typing import TYPE_CHECKING

import click

from hurnet_stream.exit_codes import DONE, NOT_WELL
from hurnet_stream.terminal.options import wait_option

if TYPE_CHECKING:
    from hurnet_stream.adapters.redis import RedisEntryStore

POLL_S = 0.2

EPILOG = """\b
Examples:
  hurnet compact
  hurnet compact --yes --wait 600     # the first time, for a store of an older hurnet
"""

FIRST_TIME = (
    "an older hurnet began this store and could still read it. Once it is compacted it can't: upgrade all"
    " workers first, and repeat this with --yes when you no longer want to go back. Until then nothing that"
    " deletions leave behind goes away"
)


@click.command(epilog=EPILOG)
@wait_option("it is done")
@click.option("--yes", is_flag=True, help="Also if older programs can't read the store any more afterwards.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def compact(wait_s: float, yes: bool, as_json: bool) -> None:
    """Remove at once what deletions left behind.

    The solver does it by itself for deletions that are older than HURNET_SOLVE_KEEP_DELETIONS; this command
    asks it not to wait, so a solver must run. Answers, statistics and what `hurnet verify` proves stay the
    same. A responder that has not seen the newest deletions yet loads its entries anew.

    Exit code 0: done. 1: not done in time; the solver goes on with it. 2: nothing was done.
    """
    from hurnet_stream.adapters.redis import RedisEntryStore, connect_serving
    from hurnet_stream.adapters.segments import segments_at
    from hurnet_stream.errors import StoreError
    from hurnet_stream.settings import settings
    from hurnet_stream.terminal.screen import hush, say, say_json

    hush()
    chosen = settings.load()
    with closing(connect_serving(chosen.redis, segments_at(chosen.segments))) as connection:
        store = RedisEntryStore(connection)
        if not store.is_compacted and not yes:
            raise StoreError(FIRST_TIME)
        before, began = sum(store.items().values()), time.monotonic()
        done = ask(store, wait_s)
        after, seconds = sum(store.items().values()), time.monotonic() - began
    if as_json:
        say_json({"done": done, "items_before": before, "items_after": after, "seconds": round(seconds, 3)})
    elif done:
        say(f"done: {before:,} batches and deletions have become {after:,}, in {seconds:.1f} s")
    else:
        say("not done yet; it will be if `hurnet solver` runs", err=True)
    sys.exit(DONE if done else NOT_WELL)


def ask(store: RedisEntryStore, wait_s: float) -> bool:
    """Ask for all that is in the store now, and wait; whether it was done in time."""
    from hurnet_stream.terminal.screen import progress

    upto = {partition: state.watermark for partition, state in store.states().items()}
    store.ask_to_compact(upto)
    deadline, shown = time.monotonic() + wait_s, 0
    with progress("compacting", sum(offset + 1 for offset in upto.values())) as advance:
        while True:
            compacted = store.compacted()
            now = _progress(upto, compacted)
            advance(now - shown)
            shown = now
            if all(compacted[partition] >= offset for partition, offset in upto.items()):
                return True
            if time.monotonic() >= deadline:
                return False
            time.sleep(POLL_S)


def _progress(upto: Mapping[int, int], compacted: Mapping[int, int]) -> int:
    return sum(min(offset, compacted[partition]) + 1 for partition, offset in upto.items())
