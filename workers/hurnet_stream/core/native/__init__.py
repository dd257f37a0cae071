"""Kernels in C for which numpy has no operation that is both fast and exact.

    planes.c, dots.c, scan.c     the search (search.py here)
    token_sums.c                 sums of rows of tokens (token_sums.py here)
    syrk.c                       sums of products of rows (syrk.py here)
    gram.c, positive.c,
    local_solve.c                the closed form over a few hundred rows (local_solve.py here)
    taught.c                     chains of rows that share an answer, what weights predict (taught.py here)
    scn.c                        equation 1 between texts (rule/encoded_words.py)
    terms.c, postings.c          the terms of texts, and the lexical search (lexical.py here)
    encoder.c                    a sentence encoder in fixed point (encoder.py here)
    pieces.c                     words into tokens (pieces.py here)

They are optional: each caller has another way if a kernel is missing. Together they are one shared library
with no Python in it, compiled when the package is installed if there is a C compiler (in a working tree by
hand: `python -m hurnet_stream.core.native.build`). One binary serves every CPU of an architecture: a kernel
that needs more than the baseline is compiled for that alone, and called only if `features()` has it.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from enum import IntFlag
from pathlib import Path
from typing import Final

LIBRARY: Final = Path(__file__).with_name("kernels.so")

_enabled = ContextVar("native kernels", default=True)


class CpuFeature(IntFlag):
    """What a kernel may need of the CPU; the bits of `hurnet_cpu_features` in cpu.c."""

    AVX2 = 1
    AVX512 = 2
    """AVX-512 F, BW and VL."""
    VNNI = 4
    """AVX-512 VNNI, with AVX512."""


def library() -> ctypes.CDLL | None:
    """The kernels, or None if they were not built, were built from other sources than these, or don't load.

    A call gives up the GIL. Whoever uses a function sets its `argtypes` and `restype`.
    """
    return _load(LIBRARY) if _enabled.get() else None


def loaded_library() -> ctypes.CDLL:
    """The same for who has asked before whether there is one. Raises RuntimeError if there is none."""
    loaded = library()
    if loaded is None:
        raise RuntimeError("the kernels are not there")
    return loaded


def features() -> CpuFeature:
    """What the CPU and the operating system offer; none without the library."""
    loaded = library()
    return CpuFeature(loaded.hurnet_cpu_features()) if loaded else CpuFeature(0)


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def threads_max() -> int:
    """How many threads a kernel may use: the number in OMP_NUM_THREADS, as for BLAS, or else one a core."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return max(1, int(asked)) if asked.isdecimal() else cores()


@contextmanager
def disabled() -> Iterator[None]:
    """A block in which there seems to be no library: for the tests of what is done without."""
    token = _enabled.set(False)
    try:
        yield
    finally:
        _enabled.reset(token)


def sources(folder: Path) -> list[Path]:
    """What the library in `folder` is made from, in a fixed order."""
    return sorted(folder.glob("*.[ch]"))


def digest(folder: Path) -> str:
    """SHA-256 (hex) of the sources. A library carries that of its own, and is not used if it differs from
    this."""
    state = hashlib.sha256()
    for source in sources(folder):
        state.update(hashlib.sha256(source.read_bytes()).digest())
    return state.hexdigest()


@functools.cache
def _load(path: Path) -> ctypes.CDLL | None:
    try:
        loaded = ctypes.CDLL(str(path))
        loaded.hurnet_sources.restype = ctypes.c_char_p
        loaded.hurnet_cpu_features.restype = ctypes.c_uint
        # An older library may lack a function or read its arguments otherwise.
        return loaded if loaded.hurnet_sources() == digest(path.parent).encode() else None
    except (OSError, AttributeError):
        return None
