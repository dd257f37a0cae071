"""[contexts.NAME]: how long a context keeps its entries. A table for each, in the settings file alone."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from hurnet_stream.settings.section import Section
from hurnet_stream.settings.types import Rows, Unit


class ContextSettings(Section):
    """What leaves a context by itself. It is deleted as if somebody had asked for it: exactly."""

    age: Annotated[float, Unit("seconds")] = Field(
        0.0, ge=0, le=3_153_600_000, description="Entries older than this leave, in seconds; 0: none do."
    )
    rows: Rows = Field(
        0, ge=0, description="If there are more entries than this, the oldest leave; 0: none do."
    )
