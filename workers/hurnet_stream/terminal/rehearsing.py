"""What `hurnet produce --dry-run` shows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from hurnet_stream.terminal.screen import console, facts, say, say_json, table

if TYPE_CHECKING:
    from hurnet_stream.operations.files.encoded import Encoded
    from hurnet_stream.operations.files.source import TextSource


def rehearsed(source: TextSource, first: Sequence[Encoded], valid: int, invalid: int) -> None:
    """For a person."""
    files = f"{len(source.found.inputs):,}, {source.found.passed_over:,} passed over"
    taken = ", ".join(f"{field} = {name}" for field, name in source.columns.items())
    console().print(facts((("files", files), ("columns", taken or "no line of names"))))
    rows = [(m["context"], m["text"], m.get("answer", ""), key) for m, key in map(_said, first)]
    console().print(table(("context", "text", "answer", "key"), rows))
    for note in source.notes:
        say(note, err=True)
    say(f"nothing was sent: {valid:,} rows are texts, and {invalid:,} are not")


def rehearsed_json(source: TextSource, first: Sequence[Encoded], valid: int, invalid: int) -> None:
    """For a program."""
    say_json(
        {
            "sent": 0,
            "valid": valid,
            "invalid": invalid,
            "files": len(source.found.inputs),
            "passed_over": source.found.passed_over,
            "columns": source.columns,
            "notes": source.notes,
            "preview": [said | ({"key": key} if key else {}) for said, key in map(_said, first)],
        }
    )


def _said(record: Encoded) -> tuple[dict[str, str], str]:
    value, key, _ = record
    return json.loads(value), (key or b"").decode()
