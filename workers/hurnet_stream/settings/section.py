"""The base of every group of settings."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """One group: a table of the TOML file, and the second word of the variables' names (HURNET_KAFKA_...)."""

    # Errors must not repeat what was given: it may be a password.
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, hide_input_in_errors=True)
