"""Embedders by name: `hash` or `hash512` (spelling), `use` (meaning), `st:MODEL` (any sentence-transformers
model: a folder, a package that ships one, or one already in the local cache), and any of them joined with
`+`.

A new embedder is a class with `identity` and `embed` (hurnet/ports.py) and a line in `_single`.
"""

from __future__ import annotations

import re

from hurnet.errors import ConfigurationError
from hurnet.ports import Embedder

DEFAULT = "use+hash512"
_DEFAULT_HASH = 512


def load(name: str = DEFAULT) -> Embedder:
    """The embedder of that name; joined ones have equal weight. Raises ConfigurationError for an unknown
    name, a missing package or a missing model."""
    from hurnet.adapters.embedders.joined import Joined

    parts = [_single(part.strip()) for part in name.split("+")]
    return parts[0] if len(parts) == 1 else Joined(parts)


def _single(name: str) -> Embedder:
    if match := re.fullmatch(r"hash([1-9]\d{0,4})?", name):
        from hurnet.adapters.embedders.hashing import HashedText

        return HashedText(int(match[1] or _DEFAULT_HASH))
    if name == "use":
        from hurnet.adapters.embedders.use import UniversalSentenceEncoder

        return UniversalSentenceEncoder()
    if name.startswith("st:") and len(name) > len("st:"):
        from hurnet.adapters.embedders.sentence_transformer import SentenceTransformerEmbedder

        return SentenceTransformerEmbedder(name.removeprefix("st:"))
    raise ConfigurationError(f"unknown embedder {name!r}: hashN, use, st:MODEL, or several joined with +")
