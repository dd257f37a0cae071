"""JSON as it is read from the store: whatever stands there, it is JSON or a ValueError."""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn


def loads(raw: str | bytes) -> Any:
    """The value in `raw`. Raises ValueError if it is no JSON, is nested too deeply, or has a number that is
    not finite, of which `int` would raise something else."""
    try:
        return json.loads(raw, parse_float=_finite, parse_constant=_refused)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def _finite(written: str) -> float:
    number = float(written)
    return number if math.isfinite(number) else _refused(written)


def _refused(written: str) -> NoReturn:
    raise ValueError(f"{written:.40} is not finite")
