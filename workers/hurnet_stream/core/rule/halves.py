"""The two halves of a vector: the coordinates that tell what a text means, and those that tell its spelling.

    embedder         coordinates
    use+hash512      0 ... 511 meaning    512 ... 1023 spelling
    use              0 ... 511 both: there is nothing to mix
    hash512          0 ... 511 both

The two are stored side by side and compared apart, so that a context may count them as its own questions need
it: a question in somebody's own words shares its meaning with what was taught, and one with typos its
spelling. No vector is changed for that.
"""

import re
from dataclasses import dataclass

import numpy as np

from hurnet_stream.core.stored.batch import Vectors

_SPELLING = re.compile(r"hash(\d+)")


@dataclass(frozen=True, slots=True)
class Halves:
    """Which coordinates are the meaning's, and which are the spelling's."""

    meaning: slice
    spelling: slice

    @property
    def one(self) -> bool:
        """Whether both are the whole vector."""
        return self.meaning == self.spelling

    @property
    def distinct(self) -> tuple[slice, ...]:
        """Meaning and spelling, or the whole vector if they are one."""
        return (self.meaning,) if self.one else (self.meaning, self.spelling)

    @property
    def dimension(self) -> int:
        """Of the whole vector."""
        return max(int(self.meaning.stop), int(self.spelling.stop))

    def only_meaning(self, vectors: Vectors) -> Vectors:
        """The vectors (n, d) with zeros in place of their spelling."""
        kept = np.zeros_like(vectors)
        kept[:, self.meaning] = vectors[:, self.meaning]
        return kept


def undivided(dimension: int) -> Halves:
    """Both halves are all coordinates."""
    return Halves(slice(0, dimension), slice(0, dimension))


def halves(embedder: str, dimension: int) -> Halves:
    """The halves of the vectors of an embedder, by its name: its hashed parts are the spelling. If it has no
    hashed part or no other, or if hashed parts stand between others, both halves are the whole vector."""
    sizes = [int(match[1]) if (match := _SPELLING.fullmatch(part)) else 0 for part in embedder.split("+")]
    hashed = [size > 0 for size in sizes]
    spelt = sum(sizes)
    if 0 < spelt < dimension and hashed == sorted(hashed):
        return Halves(slice(0, dimension - spelt), slice(dimension - spelt, dimension))
    if 0 < spelt < dimension and hashed == sorted(hashed, reverse=True):
        return Halves(slice(spelt, dimension), slice(0, spelt))
    return undivided(dimension)
