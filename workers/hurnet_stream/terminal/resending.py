"""What `hurnet dead-letters --resend` does: records that were put aside are sent again as they were."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing

import click

from hurnet_stream.adapters.kafka import KafkaHistory, KafkaSink
from hurnet_stream.operations.dead_letter_reader import (
    LetterFilter,
    LetterReader,
    RecordId,
    StoredLetter,
    message_to_resend,
)
from hurnet_stream.ports import History, Sink
from hurnet_stream.settings.settings import KafkaSettings
from hurnet_stream.terminal.endings import tells_json
from hurnet_stream.terminal.screen import confirm, say, say_json

ASK_BEYOND = 10
"""So many records are sent again without asking first."""
RECORDS_MAX = 100_000
"""One call sends no more records than this again."""


def choose(letters: LetterReader, wanted: LetterFilter, named: Sequence[RecordId]) -> list[StoredLetter]:
    """The letters that are wanted, oldest first, so that their records come in the order in which they came
    once.

    Says which of the `named` records no dead letter names. Raises `UsageError` if there are too many."""
    chosen: list[StoredLetter] = []
    for letter in letters.all(wanted):
        chosen.append(letter)
        if named and len(chosen) == len(set(named)):
            break
        if len(chosen) > RECORDS_MAX:
            raise click.UsageError(f"More than {RECORDS_MAX:,} records: choose fewer, as by --since.")
    for missing in sorted(set(named) - {letter.record_id for letter in chosen}):
        say(f"{record_name(missing)}: not sent, because no dead letter names it", err=True)
    return sorted(chosen, key=lambda letter: (letter.written_ms, letter.record_id))


def send_again(kafka: KafkaSettings, letters: Sequence[StoredLetter], dry_run: bool, sure: bool) -> bool:
    """Send their records again; says of each what became of it, and returns whether all were sent."""
    if len(letters) > ASK_BEYOND and not (sure or dry_run):
        confirm(f"Send {len(letters):,} records again?", "--yes")
    all_sent = True
    with ExitStack() as stack:
        histories = {
            topic: stack.enter_context(closing(KafkaHistory(kafka, topic)))
            for topic in (kafka.texts, kafka.queries, kafka.feedback)
            if any(letter.letter.topic == topic for letter in letters)
        }
        sink = None if dry_run else stack.enter_context(closing(KafkaSink(kafka)))
        for letter in letters:
            sent, text = _sent(letter, histories, sink)
            _tell(record_name(letter.record_id), sent, text)
            all_sent &= sent
    return all_sent


def _tell(record: str, sent: bool, text: str) -> None:
    if tells_json():
        say_json({"record": record, "sent": sent, "said": text.lstrip(": ")})
    else:
        say(f"{record}{text}", err=not sent)


def _sent(letter: StoredLetter, histories: Mapping[str, History], sink: Sink | None) -> tuple[bool, str]:
    """Whether the record was sent again (without a sink: whether it would be), and that in words."""
    history = histories.get(letter.letter.topic)
    message = message_to_resend(letter, history) if history else "its topic is none that this system reads"
    if isinstance(message, str):
        return False, f": not sent, because {message}"
    if sink is None:
        return True, f" would be sent again ({letter.letter.reason})"
    ((partition, offset),) = sink.send([message])
    return True, f" sent again as {message.topic}/{partition}/{offset}"


def record_name(record: RecordId) -> str:
    """TOPIC/PARTITION/OFFSET."""
    return "/".join(map(str, record))
