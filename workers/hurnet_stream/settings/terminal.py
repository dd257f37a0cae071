"""HURNET_TERMINAL_*: the prompt of `hurnet ask`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from hurnet_stream.settings.section import Section
from hurnet_stream.settings.types import Unit


class TerminalSettings(Section):
    """The prompt of `hurnet ask`."""

    history: Annotated[int, Unit("questions")] = Field(
        1_000,
        ge=0,
        le=100_000,
        description="How many typed questions `hurnet ask` remembers for its next start, in the file "
        "hurnet/history of the folder XDG_STATE_HOME (~/.local/state), which nobody else may read. 0: none.",
    )
