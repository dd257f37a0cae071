"""Kernel features: a Mercer kernel (eq. 7, 8) as inner products of vectors on the grid.

Equation 7 as printed integrates a kernel of two times over embeddings, and its types don't match. Built is a
kernel k of two embeddings, as a mean over random frequencies ω instead of equation 8's sum over
eigenfunctions (Bochner's theorem; Rahimi & Recht 2007). With M of them drawn once, from a fixed seed,

    gaussian, laplace   φ(x) = (cos ω₁·x, ..., cos ω_M·x, sin ω₁·x, ..., sin ω_M·x)/√M
    arccosine           φ(x) = √(2/M) (max(0, ω₁·x), ..., max(0, ω_M·x))          (Cho & Saul 2009, order 1)

and ⟨φ(x), φ(x')⟩ nears k(x, x') with an error of about 1/√M. So the closed form (eq. 3) over φ nears kernel
ridge regression, at a size that does not grow with the rows. On unit vectors, with width s and θ the angle
between x and x', k is

    exp(-‖x - x'‖²/2s²),    exp(-‖x - x'‖/s),    (sin θ + (π - θ) cos θ)/π.

The width: half of the mean squared distance is s² = E‖x - x'‖²/2 = 1 - ‖E x‖². That is 1, the default, if the
vectors have no direction in common. A width taken from the data would depend on the order in which vectors
arrive.

φ(x) is made in integers, so it is the same bytes in any batch and on any machine, as the statistics require:

    ω       whole multiples of 2⁻¹⁶, at most 2²² long (in turns, for a cosine)
    x       whole multiples of 2⁻¹⁴, at most 2¹⁵ grid steps long
    ω·x     every partial sum is at most 2¹⁶⁺²²⁺¹⁵ = 2⁵³ steps by Cauchy-Schwarz: exact in float64
    cos     the fraction of a turn, cut to 16 bits, is looked up in a table of cosines on the grid
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hurnet_stream.core.grid import SCALE
from hurnet_stream.core.solve.weights import NO_FEATURES
from hurnet_stream.core.stored.batch import Vectors

_SIZES: Final = r"(256|512|1024|2048|4096)"
_WIDTH: Final = r"([1-9][0-9]?(\.[0-9]{1,3})?|0\.0{0,2}[1-9][0-9]{0,2})"
PATTERN: Final = rf"^(none|arccosine:{_SIZES}|(gaussian|laplace):{_SIZES}(:{_WIDTH})?)$"
"""What the setting may say: a kernel, the number of features, and the width if it is not 1."""

_SEED: Final = 0x4875724E6574
_UNIT: Final = 1 << 16
"""Steps in 1 of a frequency, and in one turn of the table of cosines."""
_LONGEST: Final = float(_UNIT << 22)
"""Length of the longest frequency, in steps."""
_BLOCK_ROWS: Final = 1024

Floats = NDArray[np.float64]
_Map = Callable[[Floats], Vectors]


class KernelMap:
    """φ from grid rows (n, `dimension`) to grid rows (n, `size`), both int16. "none" leaves rows as they are.

    `identity` names the map, with a digest of all that its results depend on: maps of equal identity give
    equal bytes. Raises ValueError for a `spec` that does not match `PATTERN`.
    """

    def __init__(self, spec: str, dimension: int) -> None:
        if not re.fullmatch(PATTERN, spec):
            raise ValueError(f"features must be none, or kernel:size[:width], not {spec!r}")
        self.dimension: Final = dimension
        self.size = dimension
        self.identity = NO_FEATURES
        self._frequencies: Floats | None = None
        if spec != NO_FEATURES:
            kernel, size, *width = spec.split(":")
            self.size = int(size)
            self._draw(kernel, float(width[0]) if width else 1.0)
            self.identity = f"{spec}/{self._digest()}"

    def __call__(self, rows: Vectors) -> Vectors:
        """φ of each row. Raises ValueError for rows of another dimension or type."""
        if rows.dtype != np.int16 or rows.ndim != 2 or rows.shape[1] != self.dimension:
            raise ValueError(f"rows must be int16 (n, {self.dimension}), not {rows.dtype} {rows.shape}")
        if self._frequencies is None:
            return rows
        mapped = np.empty((len(rows), self.size), np.int16)
        for first in range(0, len(rows), _BLOCK_ROWS):
            block = slice(first, first + _BLOCK_ROWS)
            products = rows[block].astype(np.float64) @ self._frequencies  # (n, M): ω·x in steps
            mapped[block] = self._finish(products)
        return mapped

    def _draw(self, kernel: str, width: float) -> None:
        """Draw frequencies (dimension, M) from the kernel's spectrum, and choose what follows the product."""
        draw = np.random.Generator(np.random.PCG64(_SEED))
        if kernel == "arccosine":
            self._frequencies = _in_steps(draw.standard_normal((self.dimension, self.size)))
            self._finish: _Map = _rectified
            return
        count = self.size // 2
        normal = draw.standard_normal((self.dimension, count)) / (2 * math.pi * width)
        if kernel == "laplace":  # its spectrum is the multivariate Cauchy distribution
            normal /= np.abs(draw.standard_normal(count))
        self._frequencies, self._finish = _in_steps(normal), _Waves(count)

    def _digest(self) -> str:
        state = hashlib.sha256(np.ascontiguousarray(self._frequencies, "<f8").tobytes())
        if isinstance(self._finish, _Waves):
            state.update(self._finish.table.astype("<i2").tobytes())
        return state.hexdigest()[:16]


def _in_steps(frequencies: Floats) -> Floats:
    """Frequencies (d, M) in whole steps. One longer than `_LONGEST`, whose cosine is noise, is shortened."""
    steps = frequencies * _UNIT
    lengths = np.sqrt(np.square(steps).sum(axis=0))
    whole: Floats = np.trunc(steps * np.minimum(1.0, _LONGEST / lengths))
    return whole


class _Waves:
    """From angles (n, M), in units of 2⁻³⁰ turns, to their cosines and sines as grid rows (n, 2M)."""

    def __init__(self, count: int) -> None:
        angles = np.arange(_UNIT) * (2 * math.pi / _UNIT)
        self.table: Vectors = np.rint(np.cos(angles) * (SCALE / math.sqrt(count))).astype(np.int16)

    def __call__(self, angles: Floats) -> Vectors:
        steps = (angles.astype(np.int64) + SCALE // 2) // SCALE  # (n, M), rounded to 2⁻¹⁶ turns
        # sin a = cos(a - ¼ turn); the mask takes whole turns away, from negative angles too.
        places = np.concatenate([steps, steps - _UNIT // 4], axis=1) & (_UNIT - 1)
        waves: Vectors = self.table[places]
        return waves


def _rectified(products: Floats) -> Vectors:
    """√(2/M) max(0, ω·x) as grid rows, given the products (n, M) of ω in steps."""
    scale = math.sqrt(2 / products.shape[1]) / _UNIT
    snapped = np.rint(np.maximum(products, 0.0) * scale)
    return np.minimum(snapped, SCALE).astype(np.int16)
