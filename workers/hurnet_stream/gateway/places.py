"""The place of a record, as paths and parameters name it: 0/41."""

from __future__ import annotations

import re
from typing import Final

from hurnet_stream.core.stored.entries import EntryId

_NUMBER: Final = re.compile(r"[0-9]{1,18}")
_PARTITION_MOST: Final = 2**31


def place_in(partition: str, offset: str) -> EntryId | None:
    """Partition and offset as numbers; None if no record could have them."""
    if not (_NUMBER.fullmatch(partition) and _NUMBER.fullmatch(offset) and int(partition) < _PARTITION_MOST):
        return None
    return int(partition), int(offset)
