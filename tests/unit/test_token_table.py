"""The table of tokens: its rows, its map, and how the map is made."""

from __future__ import annotations

import zipfile
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from hurnet_stream.adapters.embedders import use
from hurnet_stream.adapters.embedders.token_table import make, table
from hurnet_stream.adapters.embedders.token_table.features import FEATURES, features, weights
from hurnet_stream.adapters.embedders.token_table.map import COORDINATES, TokenMap, decode, encode
from hurnet_stream.adapters.embedders.token_table.table import MAP, TokenTable
from hurnet_stream.adapters.embedders.token_table.texts import WHEELS, messages, texts
from hurnet_stream.adapters.embedders.use_kernels import network
from hurnet_stream.core import native
from hurnet_stream.core.formats import NewerFormat
from hurnet_stream.core.grid import SCALE
from hurnet_stream.errors import ConfigurationError

KNOWN = [[-2802, -1920, -115, 289], [-3105, 389, 663, 2224], [-3602, -787, -605, 2004]]
"""The first coordinates of the first texts asked."""

ASKED = [
    *("turn on the lights", "onde fica a estação de trem", "今天天气怎么样"),
    *("!?", "", "lights the on turn"),
]


@cache
def whole() -> TokenTable:
    return TokenTable()


def cosine(a: str, b: str) -> float:
    x, y = whole().embed([a, b]).astype(np.float64) / SCALE
    return float(x @ y)


def test_rows_are_the_same_without_kernels() -> None:
    with native.disabled():
        plain = TokenTable().embed(ASKED)
    np.testing.assert_array_equal(TokenTable().embed(ASKED), plain)


def test_the_table_is_the_same_on_every_machine() -> None:
    """Known coordinates: a change here means that stored contexts no longer match."""
    assert whole().embed(ASKED[:3])[:, :4].tolist() == KNOWN


def test_another_arithmetic_of_the_network_is_another_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(use, "_REVISION", use._REVISION + 1)
    assert TokenTable().identity.fingerprint != whole().identity.fingerprint


def test_rows_do_not_depend_on_which_tokens_were_met_first() -> None:
    one, other = TokenTable(64), TokenTable(64)
    one.embed(ASKED[::-1])
    np.testing.assert_array_equal(one.embed(ASKED), other.embed(ASKED))
    one.embed(["never met before: zygote"])
    np.testing.assert_array_equal(one.embed(ASKED), other.embed(ASKED))


def test_a_text_of_more_tokens_than_can_be_summed_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "TOKENS_MAX", 3)
    cut = whole().embed(["one two three four five"])
    np.testing.assert_array_equal(cut, whole().embed(["one two three"]))


def test_the_order_of_words_is_not_seen_and_meaning_is() -> None:
    rows = whole().embed(ASKED)
    np.testing.assert_array_equal(rows[0], rows[-1])
    near = cosine("where is the train station", "onde fica a estação de trem")
    assert near > cosine("where is the train station", "o gato dorme no sofá") + 0.3
    assert cosine("the lights", "lights") > cosine("the lights", "the") + 0.3


def test_a_shorter_row_is_the_beginning_of_a_longer_one() -> None:
    short, long = TokenTable(64).embed(ASKED[:3]) / SCALE, whole().embed(ASKED[:3])[:, :64] / SCALE
    long /= np.linalg.norm(long, axis=1, keepdims=True)
    np.testing.assert_allclose(short, long, atol=1e-3)


def test_features_are_integers_that_fit_the_sums() -> None:
    tokens = np.array([0, 3, 50, 999, 77_777, 128_009])
    found, counts = features(network(), tokens), weights(tokens)
    assert found.shape == (6, FEATURES)
    np.testing.assert_array_equal(found, np.rint(found))
    assert np.abs(found).max() < 1 << 15
    assert (np.diff(counts) > 0).all()
    assert 0 < counts[0] < counts[-1] <= 1 << 15
    np.testing.assert_array_equal(features(network(), tokens[::-1])[::-1], found)


def test_the_map_folds_into_rows_as_integers_say() -> None:
    made = decode(MAP.read_bytes())
    tokens = np.array([5, 4321])
    found, counts = features(network(), tokens), weights(tokens)
    rows = made.rows(found, counts, 7)
    for row, feature, count in zip(rows, found.astype(int), counts.astype(int), strict=True):
        wide = made.matrix[:, :7].astype(int) << made.shifts[:7].astype(int)
        sums = [int(component) * int(count) for component in feature @ wide]
        assert row.tolist() == [round(component / 2**made.unit) for component in sums]


def some_map() -> TokenMap:
    rng = np.random.default_rng(1)
    matrix = rng.integers(-127, 128, (FEATURES, COORDINATES)).astype(np.int8)
    return TokenMap(matrix, rng.integers(0, 8, COORDINATES).astype(np.uint8), 40)


def test_a_map_survives_its_bytes() -> None:
    made = some_map()
    again = decode(encode(made))
    np.testing.assert_array_equal(again.matrix, made.matrix)
    np.testing.assert_array_equal(again.shifts, made.shifts)
    assert again.unit == made.unit


def test_rows_beyond_int16_are_cut_and_never_wrap() -> None:
    huge = replace(some_map(), unit=0)
    rows = huge.rows(np.full((1, FEATURES), 2.0**14), np.array([2.0**15]), COORDINATES)
    assert set(np.abs(rows.astype(int)).ravel()) == {32767}


@pytest.mark.parametrize(
    ("spoil", "error"),
    [
        (lambda whole_map: whole_map[:-1], ValueError),
        (lambda whole_map: whole_map[:0], ValueError),
        (lambda whole_map: b"x" + whole_map[1:], ValueError),
        (lambda whole_map: whole_map[:8] + b"\x02\x00" + whole_map[10:], NewerFormat),
        (lambda whole_map: whole_map[:12] + bytes(32) + whole_map[44:], ValueError),
    ],
    ids=["cut", "empty", "other", "newer", "another package"],
)
def test_a_map_that_does_not_fit_is_refused(
    spoil: object, error: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert callable(spoil)
    spoilt = spoil(encode(some_map()))
    with pytest.raises(error):
        decode(spoilt)
    (tmp_path / "map.bin").write_bytes(spoilt)
    monkeypatch.setattr(table, "MAP", tmp_path / "map.bin")
    with pytest.raises(ConfigurationError, match="the embedder table can't be used"):
        TokenTable()


def sample(texts_count: int = 300) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
    rng = np.random.default_rng(2)
    x = rng.integers(-900, 900, (texts_count, 40)).astype(np.int16)
    y = np.clip(x[:, :12] + rng.integers(-300, 300, (texts_count, 12)), -900, 900).astype(np.int16)
    return x, y


def test_the_solve_does_not_depend_on_the_order_of_texts_and_finds_the_map() -> None:
    x, y = sample()
    mapped = make.solved(x, y)
    order = np.random.default_rng(3).permutation(len(x))
    np.testing.assert_array_equal(make.solved(x[order], y[order]), mapped)
    axes = make.principal_axes(make.products(y, y))
    wanted = y @ axes
    residual = np.square(x @ mapped - wanted).sum()
    assert residual < 0.2 * np.square(wanted).sum()
    spread = np.square(wanted).sum(axis=0)
    assert (np.diff(spread) <= 0).all(), "leading coordinates say most"


def test_rounding_keeps_the_map_to_a_part_in_a_hundred() -> None:
    rng = np.random.default_rng(4)
    mapped = rng.normal(size=(FEATURES, COORDINATES)) * np.geomspace(1, 0.02, COORDINATES)
    found, counts = rng.integers(-900, 900, (5, FEATURES)).astype(np.float64), np.full(5, 1000.0)
    made = make.rounded(mapped, found, counts)
    rows = made.rows(found, counts, COORDINATES).astype(np.float64)
    assert 1 << 13 < np.abs(rows).max() < 1 << 15
    wanted = found @ mapped
    for row, want in zip(rows, wanted, strict=True):
        assert row @ want / np.linalg.norm(row) / np.linalg.norm(want) > 0.999


CATALOGUE = """
# a comment
msgctxt "verb"
msgid ""
"Hello "
"%(name)s, <b>how are you</b>?"
msgstr "Olá %(name)s, como vai?"

msgid "%d new message"
msgid_plural "%d new messages"
msgstr[0] "%d nova mensagem"
msgstr[1] ""

#~ msgid "no longer said"
"""


def test_messages_of_a_catalogue() -> None:
    assert list(messages(CATALOGUE, "pt")) == [
        ("en", "Hello , how are you ?"),
        ("pt", "Olá , como vai?"),
        ("en", "new message"),
        ("en", "new messages"),
        ("pt", "nova mensagem"),
    ]


def catalogues(folder: Path, order: int = 1) -> None:
    """A wheel with 40 messages, written from the first or from the last."""
    lines = [f'msgid "open the file {i}"\nmsgstr "öffne Datei Nummer {i * i}"\n\n' for i in range(20)]
    with zipfile.ZipFile(folder / "one.whl", "w") as wheel:
        wheel.writestr("x/locale/de/LC_MESSAGES/django.po", "".join(lines[::order]))


def test_a_map_is_made_from_a_folder_of_wheels_and_again_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(make, "MAP", tmp_path / "map.bin")
    monkeypatch.setattr("sys.argv", ["make", str(tmp_path)])
    made = []
    for order in (1, -1):
        catalogues(tmp_path, order)
        make.main()
        made.append((tmp_path / "map.bin").read_bytes())
    assert made[0] == made[1]
    assert decode(made[0]).matrix.any()


def test_texts_come_from_catalogues_of_known_languages_each_once(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "one.whl", "w") as wheel:
        wheel.writestr("x/locale/pt_BR/LC_MESSAGES/django.po", CATALOGUE)
        wheel.writestr("x/locale/pt/LC_MESSAGES/django.po", CATALOGUE)
        wheel.writestr("x/locale/xx/LC_MESSAGES/django.po", CATALOGUE)
        wheel.writestr("x/translations/de/LC_MESSAGES/messages.po", 'msgid "a word"\nmsgstr "ein Wort"')
        wheel.writestr("x/locale/de/notes.txt", 'msgid "another"')
    found = texts(tmp_path)
    assert found == sorted(set(found))
    assert "ein Wort" in found
    assert "Olá , como vai?" in found
    assert len(found) == 6


def test_the_texts_are_pinned_by_their_digests() -> None:
    for line in WHEELS.read_text().splitlines():
        assert "==" in line
        assert "--hash=sha256:" in line
