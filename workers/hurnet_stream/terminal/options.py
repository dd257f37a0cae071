"""Options that several commands have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])


def wait_option(until: str, default_s: float = 60.0) -> Callable[[Command], Command]:
    """`--wait`, as `wait_s`."""
    return click.option(
        "--wait",
        "wait_s",
        type=click.FloatRange(0),
        default=default_s,
        show_default=True,
        help=f"Longest time in seconds to wait until {until}.",
    )
