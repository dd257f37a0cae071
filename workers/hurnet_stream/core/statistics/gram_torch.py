"""G += XᵀX by torch, for a GPU: in float64, and by products of int8, which many GPUs have more of.

The second splits every component into a high and a low byte, x = 2⁸h + l with |h| ≤ 2⁶ and |l| ≤ 2⁷, e.g.
1000 = 4·256 - 24, so that

    XᵀX = 2¹⁶HᵀH + 2⁸(HᵀL + LᵀH) + LᵀL,

where each product is summed in int32. That holds it: below 2³¹ for fewer than 2¹⁷ rows.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import torch

from hurnet_stream.core.statistics import gram as on_host
from hurnet_stream.core.statistics.gram import Integers, blocks
from hurnet_stream.core.stored.batch import Vectors

INT8_ROWS: Final = 1 << 16
"""Rows an int8 product takes at once; exact below 2**17."""


def add_float64_on(rows: Vectors, gram: Integers, device: str) -> None:
    """An `AddGram` on a device that computes in float64."""
    total = torch.zeros(gram.shape, dtype=torch.int64, device=device)
    for block in blocks(len(rows), on_host.FLOAT64_ROWS):
        x = _on(device, rows[block]).to(torch.float64)  # (n, d)
        total += (x.T @ x).to(torch.int64)
    gram += total.cpu().numpy()


def add_int8_on(rows: Vectors, gram: Integers, device: str) -> None:
    """An `AddGram` by three int8 products on a device with `torch._int_mm`, CUDA or CPU."""
    d = len(gram)
    total = torch.zeros(gram.shape, dtype=torch.int64, device=device)
    for block in blocks(len(rows), INT8_ROWS):
        high, low = _digits(_on(device, rows[block]))  # (d, n) each
        mixed = torch._int_mm(high, low.T).long()
        part = (torch._int_mm(high, high.T).long() << 16) + torch._int_mm(low, low.T)
        total += (part + ((mixed + mixed.T) << 8))[:d, :d]
    gram += total.cpu().numpy()


def _on(device: str, rows: Vectors) -> torch.Tensor:
    return torch.from_numpy(np.array(rows)).to(device)  # a copy, since torch warns of read-only arrays


def _digits(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """H and L of x (n, d) = 2⁸H + L, transposed and padded with zeros to shapes that CUDA's `_int_mm` takes.

    It wants more than 16 rows of the first factor, and multiples of 8 elsewhere; both factors lie along n.
    """
    n, d = x.shape
    padded = torch.nn.functional.pad(x, (0, max(24, -(-d // 8) * 8) - d, 0, -n % 8)).T.contiguous()
    high = (padded + 128) >> 8
    return high.to(torch.int8), (padded - (high << 8)).to(torch.int8)
