"""Small models of random weights, in the files that real ones come in. They know characters, not words."""

import json
from pathlib import Path
from string import printable

import numpy as np
from numpy.typing import NDArray

DIMENSION = 12
_VOCABULARY = {"[UNK]": 0, **{letter: i for i, letter in enumerate(printable, 1)}}


def table() -> NDArray[np.float32]:
    """A vector for each token (tokens, DIMENSION)."""
    return np.random.default_rng(1).normal(size=(len(_VOCABULARY), DIMENSION)).astype(np.float32)


def tokens(text: str) -> NDArray[np.int64]:
    return np.array([_VOCABULARY.get(letter, 0) for letter in text])


def save_onnx(folder: Path, *, whole: bool = False, network: str = "model.onnx") -> Path:
    """A table of vectors, of which the network gives one for each token; with `whole` also their negated
    sum, as the vector of the text."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["found"]),
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["mask", "last"], ["column"]),
        helper.make_node("Mul", ["found", "column"], ["last_hidden_state"]),
        helper.make_node("ReduceSum", ["last_hidden_state", "middle"], ["sum"], keepdims=0),
        helper.make_node("Neg", ["sum"], ["sentence_embedding"]),
    ]
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["texts", "tokens"])
        for name in ("input_ids", "attention_mask")
    ]
    outputs = [
        helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, ["texts", "tokens", DIMENSION])
    ]
    if whole:
        outputs.append(
            helper.make_tensor_value_info("sentence_embedding", TensorProto.FLOAT, ["texts", DIMENSION])
        )
    constants = [
        numpy_helper.from_array(table(), "table"),
        numpy_helper.from_array(np.array([2]), "last"),
        numpy_helper.from_array(np.array([1]), "middle"),
    ]
    graph = helper.make_graph(nodes, "small", inputs, outputs, constants)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    (folder / network).parent.mkdir(parents=True)
    onnx.save(made, folder / network)
    _save_tokenizer(folder)
    return folder


def save_model2vec(folder: Path) -> Path:
    """The mean of the tokens' vectors."""
    from safetensors.numpy import save_file

    folder.mkdir()
    save_file({"embeddings": table()}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"normalize": False}))
    _save_tokenizer(folder)
    return folder


def _save_tokenizer(folder: Path) -> None:
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers

    tokenizer = Tokenizer(models.WordLevel(_VOCABULARY, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    tokenizer.save(str(folder / "tokenizer.json"))
