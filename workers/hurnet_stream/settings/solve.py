"""HURNET_SOLVE_*: when the solver solves, and how."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from hurnet_stream.core.solve.weights import MAX_RIDGE
from hurnet_stream.core.solve.window import PANES
from hurnet_stream.settings.section import Section
from hurnet_stream.settings.types import Ridge, Rows, Seconds, Unit

HALF_LIFE_MIN_S = 60
"""Seconds. Brokers take timestamps up to an hour ahead (message.timestamp.after.max.ms), so at most 60 panes
of this length begin in the future."""
ROWS_MAX = 1_000_000_000


class SolveSettings(Section):
    """The solver: when it solves and how. Responders read `half_life`, too."""

    interval: Seconds = Field(
        5.0, description="Longest time from a new pair to the weights that have learned from it, in seconds."
    )
    rows: Annotated[int, Unit("pairs")] = Field(
        10_000, ge=1, le=ROWS_MAX, description="Solve earlier if this many new pairs are there."
    )
    ridge: Ridge | Literal["gcv"] = Field(
        0.1,
        description="Lambda of equation 3: larger values trust single pairs less. Vectors have length 1. "
        "'gcv' chooses it anew in each solve by generalised cross-validation, which was measured to be no "
        "better.",
    )
    half_life: Annotated[float, Unit("seconds")] = Field(
        0.0,
        ge=0,
        le=1e9,
        description="Age in seconds at which a pair counts half, from 60 up; after 8 times this it counts "
        "nothing. 0 means that pairs do not age. Set the same for solver and responders.",
    )
    device: Literal["auto", "cuda", "mps", "cpu"] = Field(
        "auto",
        description="Where to compute. 'auto' takes a CUDA GPU if there is one and torch is "
        "installed (the extra torch), otherwise the CPU. mps has no float64, so it means the CPU, too.",
    )
    checkpoint_interval: Seconds = Field(
        10.0,
        description="Longest time from a new pair to the checkpoint that holds it, in seconds. What came "
        "later is read again after a crash.",
    )
    checkpoint_rows: Rows = Field(
        50_000, ge=1, le=ROWS_MAX, description="Save a checkpoint earlier if this many new rows are there."
    )
    keep_deletions: Seconds = Field(
        3600.0,
        description="How long the store keeps what deletions leave behind before it is compacted away, in "
        "seconds. A responder that falls behind by more loads all entries anew.",
    )
    audits: Annotated[int, Unit("deletions")] = Field(
        10_000,
        ge=1,
        le=ROWS_MAX,
        description="How many audits of deletions are kept of each context, the newest ones.",
    )
    lease: Seconds = Field(
        10.0,
        gt=0,
        description="Seconds without a sign of life after which a standby solver takes over.",
    )
    patience: Seconds = Field(
        120.0,
        gt=0,
        description="Longest time in seconds for one solve, or for one portion of loading or saving. A "
        "solver that takes longer stops renewing its lease.",
    )

    @property
    def half_life_ms(self) -> int:
        """In whole milliseconds."""
        return round(self.half_life * 1000)

    @model_validator(mode="after")
    def _ageing_is_possible(self) -> SolveSettings:
        if 0 < self.half_life < HALF_LIFE_MIN_S:
            raise ValueError(f"HURNET_SOLVE_HALF_LIFE must be at least {HALF_LIFE_MIN_S} s, or 0")
        if self.half_life and self.ridge == "gcv":
            raise ValueError(
                "HURNET_SOLVE_HALF_LIFE needs a fixed ridge: cross-validation counts old pairs as new ones"
            )
        least_share = 2.0 ** (PANES - 1)
        if self.half_life and self.ridge != "gcv" and self.ridge * least_share >= MAX_RIDGE:
            raise ValueError(
                f"HURNET_SOLVE_RIDGE must be below {MAX_RIDGE / least_share:g} with HURNET_SOLVE_HALF_LIFE"
            )
        return self
