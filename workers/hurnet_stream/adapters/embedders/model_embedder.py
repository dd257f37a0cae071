"""What embedders that ask a model share: which texts the model sees, and what becomes of its vectors.

The vectors of some models point mostly the same way. With e5 any two texts have a cosine of 0.8, whether they
mean the same or not. Beside another embedder, whose cosines go down to 0, it would hardly have a say. So
the *centre* of such a model is taken away: the mean vector of texts that have little in common. For instance:

    vectors of two texts     [0.96, 0.28]   [0.96, -0.28]    cosine 0.84
    centre                   [0.90, 0.00]
    what is left             [0.06, 0.28]   [0.06, -0.28]    cosine -0.91

The centre is that of fixed sentences, so a row depends on nothing but its text. Source: the first step of
J. Mu, P. Viswanath, "All-but-the-Top", 2018. Most models need none of it, and keep their vectors.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hurnet_stream.core.grid import snap
from hurnet_stream.core.reading import without_unseen
from hurnet_stream.core.stored.batch import EmbedderIdentity, Vectors

Encode = Callable[[list[str]], NDArray[np.floating[Any]]]
"""Texts into their vectors (len(texts), dimension). The vector of a text is the same in any batch."""

SENTENCES = (
    *("Where is the station?", "How much does it cost?", "I would like to change my name."),
    *("The meeting starts at nine.", "What is this?", "Thank you very much."),
    *("Onde fica a estação?", "Quanto custa?", "Gostaria de mudar o meu nome.", "A reunião começa às nove."),
    *("¿Dónde está la estación?", "Me gustaría cambiar mi nombre.", "¿Qué es esto?"),
    *("Wo ist der Bahnhof?", "Ich möchte meinen Namen ändern.", "Die Sitzung beginnt um neun."),
    *("Où est la gare ?", "Je voudrais changer mon nom.", "Dov'è la stazione?", "Quanto costa?"),
    *("Где находится вокзал?", "Сколько это стоит?", "车站在哪里？", "这个多少钱？"),
    *("駅はどこですか。", "いくらですか。", "역이 어디에 있나요?", "أين المحطة؟", "كم يكلف هذا؟"),
    *("स्टेशन कहाँ है?", "İstasyon nerede?", "Gdzie jest dworzec?"),
)
"""The texts whose mean vector is the centre: short, of several subjects and languages."""
_NARROW = 0.5  # a mean cosine of the sentences above this says that vectors mostly point one way
_REVISION = 3  # raise it with any change below that can move a coordinate
PLAN = f"{_REVISION};{_NARROW};{SENTENCES}"
"""What is done here to texts and vectors: a part of each model's fingerprint."""


class ModelEmbedder:
    """A model's vectors on the grid. `passages` and `questions` are how the model sees each kind of text."""

    def __init__(self, identity: EmbedderIdentity, passages: Encode, questions: Encode) -> None:
        self.identity = identity
        self._passages = _Centred(passages)
        self._questions = _Centred(questions)

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Rows on the grid (len(texts), dimension) int16; a zero row for a text that is blank, or in which
        the model knows nothing."""
        return self._rows(self._passages, texts)

    def embed_questions(self, texts: Sequence[str]) -> Vectors:
        """The same of questions."""
        return self._rows(self._questions, texts)

    def _rows(self, encode: Encode, texts: Sequence[str]) -> Vectors:
        rows = np.zeros((len(texts), self.identity.dimension), dtype=np.int16)
        # A lone surrogate is no character.
        clean = [text.encode("utf-8", "replace").decode("utf-8") for text in texts]
        # A model would give the empty text a direction.
        seen = [i for i, text in enumerate(clean) if without_unseen(text).strip()]
        if seen:
            rows[seen] = snap(encode([clean[i] for i in seen]))
        return rows


class _Centred:
    """Unit vectors, less their centre if the model is narrow; a row of zeros stays one."""

    def __init__(self, encode: Encode) -> None:
        self._encode = encode
        centre = _unit(encode(list(SENTENCES))).mean(axis=0)  # (dimension,)
        # The square of the mean's length is the mean of all cosines.
        self._centre = centre if centre @ centre > _NARROW else np.zeros_like(centre)

    def __call__(self, texts: list[str]) -> NDArray[np.float64]:
        rows = _unit(self._encode(texts))
        rows[rows.any(axis=1)] -= self._centre
        return rows


def _unit(rows: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Rows (n, d) of length 1, not rounded; a row of zeros stays one."""
    norms = np.sqrt(np.square(rows, dtype=np.float64).sum(axis=1, keepdims=True))
    unit: NDArray[np.float64] = rows / np.where(norms > 0, norms, 1.0)
    return unit


def one_at_a_time(encode: Callable[[str], NDArray[np.floating[Any]]]) -> Encode:
    """How a model sees texts if its vectors (dimension,) depend on what else is in the batch: padding to the
    longest text of a batch changes last bits."""
    return lambda texts: np.stack([encode(text) for text in texts])
