"""What a deletion can't reach, as `hurnet forget` and `hurnet contexts --drop` tell it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from hurnet_stream.operations.copies import Copies
    from hurnet_stream.settings.settings import Settings

OUT_OF_REACH: Final = (
    "Out of hurnet's reach are copies: records, answers and dead letters in Kafka until their retention or "
    "compaction takes them, the store's append-only file until its next rewrite, and your backups."
)
OTHERS: Final = (
    "Nobody has a list of: reply topics that clients named, what clients keep, mirrors of topics, backups of "
    "the store and of Kafka, Redis' append-only file until its next rewrite, folders of responders until "
    "they next save their index, and logs of your own programs."
)


def copies_in_kafka(chosen: Settings) -> list[Copies] | str:
    """The topics that may hold copies, with their settings of now; or why nothing is known of them."""
    from hurnet_stream.adapters.kafka.admin.check import configs_of
    from hurnet_stream.errors import HurnetError
    from hurnet_stream.operations.copies import copies, topics_with_copies

    try:
        configs = configs_of(chosen.kafka, [topic for topic, _ in topics_with_copies(chosen)])
    except HurnetError as error:
        return str(error)
    return copies(chosen, configs, int(time.time() * 1_000))


def tell(chosen: Settings) -> None:
    """Print what can't be reached, topic by topic."""
    from hurnet_stream.operations.copies import all_gone_by
    from hurnet_stream.terminal.screen import console, moment, say, table

    found = copies_in_kafka(chosen)
    say(OUT_OF_REACH)
    if isinstance(found, str):
        say(f"Kafka does not say how long its topics keep copies: {found}", err=True)
        return
    rows = ((each.topic, each.holds, _date(each), each.why) for each in found)
    console().print(table(("topic", "may hold", "gone by", "because"), rows))
    last = all_gone_by(found)
    if last is None:
        without = ", ".join(each.topic for each in found if each.gone_by_ms is None)
        say(f"No date can be given by which all is gone from Kafka, because of {without}.")
    else:
        say(f"All is gone from these topics by {moment(last)}, if nobody changes their settings.")
    say(OTHERS)


def as_dict(chosen: Settings, done: bool) -> dict[str, Any]:
    """The same for a JSON object. There is no date before the deletion is done."""
    from hurnet_stream.operations.copies import all_gone_by
    from hurnet_stream.terminal.screen import moment

    if not done:
        return {"beyond_reach": f"{OUT_OF_REACH} {OTHERS}"}
    found = copies_in_kafka(chosen)
    if isinstance(found, str):
        return {"beyond_reach": OUT_OF_REACH, "copies": None, "copies_unknown": found, "copies_gone_by": None}
    last = all_gone_by(found)
    listed = [
        {
            "topic": each.topic,
            "holds": each.holds,
            "gone_by": None if each.gone_by_ms is None else moment(each.gone_by_ms),
            "why": each.why,
        }
        for each in found
    ]
    gone_by = None if last is None else moment(last)
    return {"beyond_reach": f"{OUT_OF_REACH} {OTHERS}", "copies": listed, "copies_gone_by": gone_by}


def _date(each: Copies) -> str:
    from hurnet_stream.terminal.screen import moment

    return "no date" if each.gone_by_ms is None else moment(each.gone_by_ms)[:16].replace("T", " ")
