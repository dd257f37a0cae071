"""What the canary's probes say: ten words of a list, chosen by a digest of the probe's id.

    id e52ac8c5…  ->  "canary coffee pencil mountain hammer valley pencil piano copper window museum"

Every embedder knows such words. Two probes share one or two of them, so that none can be mistaken for
another.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

WORDS: Final = (
    *("harbour", "violin", "copper", "morning", "ladder", "forest", "window", "salt"),
    *("engine", "paper", "river", "candle", "mountain", "button", "orange", "winter"),
    *("bridge", "garden", "silver", "letter", "kitchen", "thunder", "pocket", "island"),
    *("camera", "blanket", "market", "feather", "tunnel", "coffee", "mirror", "desert"),
    *("piano", "basket", "station", "pepper", "planet", "shadow", "carpet", "lantern"),
    *("bottle", "meadow", "ticket", "anchor", "lemon", "hammer", "sailor", "castle"),
    *("museum", "pencil", "honey", "circle", "doctor", "valley", "cotton", "engineer"),
    *("marble", "ocean", "saddle", "tailor", "velvet", "wagon", "yellow", "zebra"),
)
_LENGTH: Final = 10


def text_of(probe_id: str) -> str:
    """The text of a probe: the same for the same id."""
    drawn = blake2b(probe_id.encode(), digest_size=_LENGTH).digest()
    return " ".join(["canary", *(WORDS[byte % len(WORDS)] for byte in drawn)])
