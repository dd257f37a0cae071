"""Any text model in ONNX that is on this machine: `onnx:MODEL`, with the extra `onnx` and without torch.

The folder of such a model has these files, as sentence-transformers and Hugging Face write them:

    tokenizer.json                       how a text becomes tokens
    model.onnx or onnx/model.onnx        the network: tokens in, a vector a token out, or one for the text
    modules.json, 1_Pooling/config.json  how the vectors of the tokens become one; without these, their mean
    sentence_bert_config.json            how many tokens it reads (512)

For instance, by `mean` and of three tokens in two dimensions:

    [[1, 0], [0, 1], [2, 2]]   ─▶   [1, 1]

Texts go through the network one at a time and on one thread, so a text's row is the same in any batch, on one
machine with one version of onnxruntime. Another machine may differ by a step of the grid.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hurnet_stream.adapters.embedders.model_embedder import PLAN, ModelEmbedder, one_at_a_time
from hurnet_stream.adapters.embedders.model_files import digest_of, find_model, readable
from hurnet_stream.adapters.embedders.prompts import prompts_of
from hurnet_stream.core.stored.batch import EmbedderIdentity
from hurnet_stream.errors import ConfigurationError

if TYPE_CHECKING:
    from onnxruntime import InferenceSession
    from tokenizers import Tokenizer

MARK = "tokenizer.json"
_NETWORKS = ("model.onnx", "onnx/model.onnx")
_PACKAGES = ("onnxruntime", "tokenizers")
_TOKENS_MAX = 512
_INPUTS: dict[str, Callable[[NDArray[np.int64]], NDArray[np.int64]]] = {
    "input_ids": lambda ids: ids,
    "attention_mask": np.ones_like,
    "token_type_ids": np.zeros_like,
}
"""What a network may ask for, given the text's tokens (1, tokens)."""
_TOKENS_NDIM = 3  # of an output (texts, tokens, dimension); one of vectors of whole texts has 2
_WHOLE = "sentence_embedding"  # what the output of vectors of whole texts is called beside others
_MODULES = ("Transformer", "Pooling", "Normalize")  # every row gets unit length in the end, normalised or not

Tokens = NDArray[np.float32]
"""The vectors of one text's tokens (tokens, dimension)."""


POOLINGS: dict[str, Callable[[Tokens], NDArray[Any]]] = {
    "mean": lambda tokens: tokens.mean(axis=0, dtype=np.float64),
    "cls": lambda tokens: tokens[0],
    "max": lambda tokens: tokens.max(axis=0),
    "lasttoken": lambda tokens: tokens[-1],
}
"""The vector (dimension,) of a text from those of its tokens, by the name of the way in newer files."""

_POOLING_KEYS = {
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_lasttoken": "lasttoken",
    "pooling_mode_mean_sqrt_len_tokens": "mean",  # of the same direction, and a row's length is always 1
    "pooling_mode_weightedmean_tokens": "weightedmean",
}


def onnx_model(model: str) -> ModelEmbedder:
    """`onnx:MODEL`. Raises `ConfigurationError` if the extra or the model is missing, or the model is of a
    kind that can't be read."""
    try:
        import onnxruntime  # noqa: F401
        import tokenizers  # noqa: F401
    except ImportError as missing:
        raise ConfigurationError(
            f"the embedder onnx:{model} needs: pip install 'hurnet-stream[onnx]'"
        ) from missing
    folder = find_model(model, MARK)
    with readable(folder):
        prompts = prompts_of(model, folder)
        network = _Network(folder)
    digest = digest_of(folder, f"onnx;{PLAN};{prompts}", _PACKAGES)
    identity = EmbedderIdentity(f"onnx:{model}", digest, network.dimension)
    passages, questions = (
        one_at_a_time(partial(network.encode, prompt)) for prompt in (prompts.passage, prompts.question)
    )
    return ModelEmbedder(identity, passages, questions)


class _Network:
    """A network with its tokenizer and its pooling."""

    def __init__(self, folder: Path) -> None:
        self._tokenizer = _tokenizer(folder)
        self._session = _session(folder)
        self._inputs = [each.name for each in self._session.get_inputs()]
        if unknown := [name for name in self._inputs if name not in _INPUTS]:
            raise ConfigurationError(
                f"the model in {folder} has an input that is not known here: {unknown[0]}"
            )
        outputs = [each.name for each in self._session.get_outputs()]
        self._output = _WHOLE if _WHOLE in outputs else outputs[0]
        self._pool = _pooling(folder)
        self.dimension = 1  # until it is known
        self.dimension = len(self.encode("", "a"))

    def encode(self, prompt: str, text: str) -> NDArray[Any]:
        """The vector of one text (dimension,); of zeros if it has no tokens."""
        ids = np.array([self._tokenizer.encode(prompt + text).ids], np.int64)  # (1, tokens)
        if not ids.size:
            return np.zeros(self.dimension)
        (found,) = self._session.run([self._output], {name: _INPUTS[name](ids) for name in self._inputs})
        return self._pool(found[0]) if found.ndim == _TOKENS_NDIM else found[0]


def _tokenizer(folder: Path) -> Tokenizer:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / MARK))
    tokenizer.no_padding()
    said = _read(folder / "sentence_bert_config.json")
    tokenizer.enable_truncation(said.get("max_seq_length") or _TOKENS_MAX)
    return tokenizer


def _session(folder: Path) -> InferenceSession:
    from onnxruntime import InferenceSession, SessionOptions

    path = next((folder / name for name in _NETWORKS if (folder / name).is_file()), None)
    if path is None:
        raise ConfigurationError(f"{folder} has no {' and no '.join(_NETWORKS)}")
    options = SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # sums in one order
    return InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _pooling(folder: Path) -> Callable[[Tokens], NDArray[Any]]:
    modules = _read(folder / "modules.json", [])
    kinds = [module["type"].rpartition(".")[2] for module in modules]
    if unknown := [kind for kind in kinds if kind not in _MODULES]:
        raise ConfigurationError(f"{folder} has a module of a kind that can't be read here: {unknown[0]}")
    paths = [module["path"] for module, kind in zip(modules, kinds, strict=True) if kind == "Pooling"]
    said = _read(folder / (paths[0] if paths else "1_Pooling") / "config.json")
    # Newer files name the way, and older ones have a truth value for each.
    chosen = said.get("pooling_mode") or "+".join(
        name for key, name in _POOLING_KEYS.items() if said.get(key, False)
    )
    if chosen not in ("", *POOLINGS) or not said.get("include_prompt", True):
        raise ConfigurationError(f"{folder} pools in a way that can't be done here: {said}")
    return POOLINGS[chosen or "mean"]


def _read(path: Path, otherwise: Any = None) -> Any:
    """What a JSON file says; if there is none, `otherwise` or nothing."""
    return json.loads(path.read_text("utf-8")) if path.is_file() else ({} if otherwise is None else otherwise)
