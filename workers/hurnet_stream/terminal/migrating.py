"""What `hurnet migrate` shows to people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hurnet_stream.terminal.screen import console, table


def show(generations: Sequence[Mapping[str, Any]]) -> None:
    """A line for each generation."""
    rows = [
        (
            each["embedder"],
            "answers" if each["answers"] else "",
            each["filled_by"],
            f"{each['rows']:,}",
            f"{each['left_out']:,}",
            len(each["weights"]),
            len(each["responders"]),
        )
        for each in generations
    ]
    heads = ("embedder", "", "filled by", "rows", "left out", "contexts with weights", "responders")
    console().print(table(heads, rows))
