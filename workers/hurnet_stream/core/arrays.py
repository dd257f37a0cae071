"""One code for numpy and torch: where float64 matrices are worked on, and by which library.

The solver needs about a dozen operations on matrices, and numpy and torch spell most of them alike. So there
is one implementation, which takes its functions from `backend.xp`, a module that is numpy or torch:

    backend = backend_of("auto")                       # torch if it is installed, on a GPU if there is one
    gram = backend.put(integers)                       # (d, d) of numpy -> (d, d) float64 of that library
    trace = backend.xp.trace(gram + 0.1 * backend.eye(d))  # the same line for both
    values, vectors = backend.eigh(gram)
    backend.host(vectors)                              # (d, d) of numpy again

Code that uses `xp` keeps to what both understand: operators, `axis=`, functions of the module instead of
methods. The few operations that they spell differently, or that one does in half the time, are methods here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Array: TypeAlias = Any
"""A float64 array of the backend's library. Any, since no type is common to numpy's and torch's."""

_LEAF: Final = 64
"""Rows up to which `_inverse_of_lower` takes a general inverse: smaller blocks gain nothing."""


@dataclass(frozen=True, slots=True)
class Backend:
    """A library, `xp`, and a device of it: "cpu", or for torch also "cuda" and "cuda:1"."""

    xp: Any
    device: str

    def __deepcopy__(self, memo: dict[int, Any]) -> Backend:
        return self  # a value that never changes; a module can't be copied

    @property
    def on_cpu(self) -> bool:
        """Whether numpy can work on the same memory."""
        return self.device == "cpu"

    def put(self, array: NDArray[Any]) -> Array:
        """The array in float64 on this backend. It may share memory with `array`."""
        doubles = np.ascontiguousarray(array, np.float64)
        return doubles if self.xp is np else self.xp.from_numpy(doubles).to(self.device)

    def host(self, array: Array) -> Floats:
        """An array of this backend as numpy's. It may share memory with `array`."""
        return np.asarray(array if self.xp is np else array.cpu().numpy())

    def eye(self, size: int) -> Array:
        """The identity, (size, size)."""
        return self.put(np.eye(size))

    def eigh(self, symmetric: Array) -> tuple[Array, Array]:
        """Eigenvalues (n,), ascending, and eigenvectors (n, n) in columns."""
        if not self.on_cpu:
            values, vectors = self.xp.linalg.eigh(symmetric)
            return values, vectors
        # On the CPU by numpy, whose LAPACK takes five sixths of the time of torch's.
        values, vectors = np.linalg.eigh(self.host(symmetric))
        return self.put(values), self.put(vectors)

    def eigvalsh(self, symmetric: Array) -> Floats:
        """The eigenvalues (n,) alone, ascending, on the host: a third of the time of `eigh`."""
        if not self.on_cpu:
            return self.host(self.xp.linalg.eigvalsh(symmetric))
        return np.asarray(np.linalg.eigvalsh(self.host(symmetric)), np.float64)

    def inverse(self, positive: Array) -> Array | None:
        """The inverse (n, n) of a symmetric matrix by Cholesky; None if it is not positive definite."""
        try:
            lower = self.xp.linalg.cholesky(positive)
        except self.xp.linalg.LinAlgError:
            return None
        if self.xp is not np:
            return self.xp.cholesky_inverse(lower)  # LAPACK's potri, which numpy does not offer
        inverse = _inverse_of_lower(lower)
        return inverse.T @ inverse


def backend_of(name: str) -> Backend:
    """Where float64 work is done for a device by this name: by torch if it is installed, else by numpy.

    "auto" is CUDA if there is a GPU, else the CPU. Apple's "mps" has no float64, so its work is done on the
    CPU. Raises ValueError for a device that is unknown or not here.
    """
    torch = installed_torch()
    if torch is not None:
        return Backend(torch, _torch_device(torch, name))
    if name.startswith("cuda"):
        raise ValueError(f"device {name!r} needs torch: pip install 'hurnet-stream[torch]'")
    if name not in ("auto", "mps", "cpu"):
        raise ValueError(f"unknown device {name!r}")
    return Backend(np, "cpu")


def installed_torch() -> Any | None:
    """The module torch, or None if it is not installed. An installation that is broken raises ImportError."""
    try:
        import torch
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        return None
    return torch


def _torch_device(torch: Any, name: str) -> str:
    """The device of torch for float64 work. Raises ValueError as `backend_of` does."""
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"unknown device {name!r}") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ValueError(f"there is no device {name!r} here")
    if device.type not in ("cpu", "cuda", "mps"):
        raise ValueError(f"device {name!r} is not one of auto, cuda, mps and cpu")
    return "cpu" if device.type == "mps" else str(device)


def _inverse_of_lower(lower: Floats) -> Floats:
    """L⁻¹ (n, n) of a lower triangular L, for which numpy has no function.

    By halves, so that almost all of the work is products of matrices:

        ⎡A 0⎤⁻¹   ⎡   A⁻¹     0 ⎤
        ⎣B C⎦   = ⎣-C⁻¹BA⁻¹  C⁻¹⎦
    """
    if len(lower) <= _LEAF:
        return np.asarray(np.linalg.inv(lower), np.float64)
    half = len(lower) // 2
    top, bottom = _inverse_of_lower(lower[:half, :half]), _inverse_of_lower(lower[half:, half:])
    inverse = np.zeros_like(lower)
    inverse[:half, :half], inverse[half:, half:] = top, bottom
    inverse[half:, :half] = -(bottom @ (lower[half:, :half] @ top))
    return inverse
