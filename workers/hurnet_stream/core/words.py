"""The words of a text and the letters of a word, as a reader takes them. Equation 1 compares these, and the
hashed embedder counts some of them.

    "Turn on the café's lights!"    Turn  on  the  café  s  lights
    "C++ costs -5 €"                C++  costs  5-  €        signs that make another word stand last
    "開燈 now"                      開  燈  開燈  now           letters, and pairs of neighbours
    "👍🏽"                            👍🏽                       a picture is one letter

- A letter is a character with the marks on it: "é" is one letter, in whichever way it is encoded.
- Scripts that are written without spaces have no words to split at. Their letters are words, and so is every
  pair of letters that follow each other.
- Signs that make another word of one (C++, #5, -5, €5) belong to it, behind its letters, so that -5 and 5
  agree in their first letter. Other punctuation does not count.

Nothing is cut: texts and words may be of any length and in any script."""

import re
import unicodedata
from functools import lru_cache
from itertools import pairwise
from zlib import crc32

from hurnet_stream.core.reading import PICTURES, class_of, lowered, readable

Letters = str | tuple[str, ...]
"""A word, letter by letter: a tuple if one of them is more than one character."""

MOST_ORDERED = 1_024
"""Characters of a text up to which pairs of letters are words, too. Longer texts have pairs enough to match
any, and comparing them would cost their square."""

# Insides of character classes. Scripts without spaces: Thai, Lao, Burmese, Khmer, kana, bopomofo, Chinese
# characters, Yi, Javanese, Tangut and others.
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u1950-\u19df\u1a20-\u1aaf\u3005-\u3007\u3040-\u30ff\u3100-\u312f"
    "\u31a0-\u31bf\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\ua000-\ua4cf\ua980-\ua9ff\uaa60-\uaadf\uf900-\ufaff"
    "\U00017000-\U00018cff\U0001b000-\U0001b2ff\U00020000-\U000323af"
)
_MARKS = class_of("Mn", "Mc", "Me")
# Signs that make another word of one: currencies, and those of C++, C#, R&D, m² and the like.
_SIGNS = "".join(re.escape(sign) for sign in "#@&§^") + class_of("Sc") + "+<=>±×÷"
_SKIN_COLOURS = "\U0001f3fb-\U0001f3ff"
_PICTURE = f"[{PICTURES}][{_SKIN_COLOURS}]?"
_PIECE = re.compile(
    "[\U0001f1e6-\U0001f1ff]{2}"  # the flag of a country
    "|\U0001f3f4[\U000e0020-\U000e007f]{1,16}"  # the flag of a region
    f"|{_PICTURE}(?:\u200d{_PICTURE}){{0,15}}"  # a picture, or several that are joined into one
    f"|(?:[{_UNSPACED}][{_MARKS}]*)+"  # a run of a script without spaces
    rf"|(?:(?<!\w)[-\u2013](?=\d))?(?:[^\W{_UNSPACED}]|[{_MARKS}{_SIGNS}])+"  # a word: also -5, not 4-5
)
# The last of these alone, for ASCII.
_ASCII_WORD = re.compile(r"(?:(?<!\w)-(?=\d))?[\w#@&^$+<=>]+")
_MARK = re.compile(f"[{_MARKS}]")
# At most eight marks belong to a letter, so that no letter grows without bound.
_LETTER = re.compile(f"[^{_MARKS}][{_MARKS}]{{0,8}}|[{_MARKS}]{{1,8}}", re.DOTALL)
_LEADING = re.compile(f"[-\u2013{_SIGNS}]+")
_A_PICTURE = re.compile(f"[{PICTURES}\U0001f1e6-\U0001f1ff]")
_A_RUN = re.compile(f"[{_UNSPACED}]")
# Latin, Greek, Coptic and Cyrillic: there a mark on a letter is an accent.
_ALPHABETS = re.compile("[\u0000-\u052f\u1e00-\u1fff\u2c60-\u2c7f\ua640-\ua69f\ua720-\ua7ff]")
NUKTA = 7
"""The combining class of the dot below in Indic scripts, which writers leave out as they do accents."""

_CODE_POINTS = 0x110000
_CHECKSUMS = (1 << 21) - _CODE_POINTS
"""Numbers of 21 bits that are no code points: forms of several characters get one of these."""


def words(text: str) -> list[Letters]:
    """The words of a text, in their order.

    A text of punctuation alone has its runs between spaces as words, so that "???" is like "???"."""
    if text.isascii():  # most texts: the same by one regular expression
        return [signs_last(word) for word in _ASCII_WORD.findall(text)] or [*text.split()]
    read = readable(text)
    with_pairs = len(read) <= MOST_ORDERED
    all_words = [word for piece in pieces(read) for word in _words_of(piece, with_pairs)]
    return all_words or [letters(piece) for piece in read.split()]


def pieces(read: str) -> list[str]:
    """What a text consists of, given as `readable` makes it: words, runs of a script without spaces, and
    pictures."""
    return _PIECE.findall(read)


def is_run(piece: str) -> bool:
    """Whether a piece is of a script without spaces."""
    return bool(_A_RUN.match(piece))


def is_picture(piece: str) -> bool:
    """Whether a piece is an emoji or the like."""
    return bool(_A_PICTURE.match(piece))


def letters(word: str) -> Letters:
    """The letters of a word: characters with the marks on them."""
    return tuple(_LETTER.findall(word)) if _MARK.search(word) else word


def signs_last(word: str) -> str:
    """A word with the signs before it put behind it: letters are compared place by place, and -5 and 5 should
    agree in their first."""
    if word[0].isalnum():
        return word
    leading = _LEADING.match(word)
    return word if leading is None else word[leading.end() :] + leading[0].replace("\u2013", "-")


def _words_of(piece: str, with_pairs: bool) -> list[Letters]:
    if is_picture(piece):
        return [_word((piece,))]
    if not is_run(piece):
        return [letters(signs_last(piece))]
    run = letters(piece)
    pairs = map(_word, pairwise(run)) if with_pairs else ()
    return [*(run if isinstance(run, str) else map(_word, zip(run))), *pairs]


def _word(run: tuple[str, ...]) -> Letters:
    joined = "".join(run)
    return joined if len(joined) == len(run) else run


@lru_cache(maxsize=1 << 16)
def letter_forms(letter: str) -> tuple[int, int, int]:
    """A letter in the three forms that equation 1 compares, each a number below 2²¹: without case and accents
    (δ1), without accents (δ2), without case (δ3). "É" is e, E and é; "e" is e, e and e.

    A form of one character is its code point. A form of several is a checksum above all code points: two
    such letters may collide, and then count as equal."""
    return _number(_folded(letter)), _number(_plain(letter)), _number(lowered(letter))


def folded(word: Letters) -> str:
    """A word without case and accents, which is all its letters in the form δ1: "Élan" is "elan"."""
    return word.lower() if isinstance(word, str) and word.isascii() else "".join(map(_folded, word))


@lru_cache(maxsize=1 << 16)
def _folded(letter: str) -> str:
    return lowered(_plain(letter)).replace("ı", "i")


def _plain(letter: str) -> str:
    """A letter without accents. Accents are the marks on a letter of an alphabet, the nukta, and the colour
    of a skin. A vowel sign or a dakuten is none: without it the word is another."""
    if letter.isascii():
        return letter
    decomposed = unicodedata.normalize("NFD", letter)  # the letter itself, then its marks
    alphabetic = bool(_ALPHABETS.match(decomposed))
    kept_marks = [mark for mark in decomposed[1:] if not _is_accent(mark, alphabetic)]
    return unicodedata.normalize("NFC", "".join([decomposed[0], *kept_marks]))


def _is_accent(mark: str, alphabetic: bool) -> bool:
    combining_class = unicodedata.combining(mark)
    is_skin_colour = "\U0001f3fb" <= mark <= "\U0001f3ff"
    return combining_class == NUKTA or (alphabetic and combining_class > 0) or is_skin_colour


def _number(form: str) -> int:
    if len(form) == 1:
        return ord(form)
    return _CODE_POINTS + crc32(form.encode("utf-8", "surrogatepass")) % _CHECKSUMS
