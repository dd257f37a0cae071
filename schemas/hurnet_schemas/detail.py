"""How much of a context an answer shows.

answer    the answer, how sure it is, and which entry it is from
scores    the other candidates, too, with their scores and entries
texts     the texts and metadata of all of these entries, too
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal, get_args

Detail = Literal["answer", "scores", "texts"]
DETAILS: Final[tuple[Detail, ...]] = get_args(Detail)
"""From the least to the most."""
MOST: Final[Detail] = "texts"


def least(details: Iterable[Detail]) -> Detail:
    """The one that shows least."""
    return min(details, key=DETAILS.index, default=MOST)
