"""Products of 8-bit vectors, by every routine that is here, against numpy's integers."""

import os
import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from hurnet_stream.core.search import int8 as products

DIMENSIONS = [1, 2, 3, 17, 63, 64, 65, 256, 1000, 1024, 1025, 1 << 14]


def drawn(d: int) -> Iterator[tuple[NDArray[np.int8], NDArray[np.int8]]]:
    """Few and many of any bytes, of the extremes in all mixtures, and of the extremes that add up."""
    random = np.random.default_rng(d)
    for n, rows in [(1, 1), (1, 33), (3, 70), (20, 5), (20, 70)]:
        for values in [range(-127, 128), (-127, 127), (127,), (-127,)]:
            c, p = (random.choice(np.array(values, dtype=np.int8), size=(m, d)) for m in (n, rows))
            yield c, p


def check(routine: str, d: int) -> None:
    """Raises AssertionError where one differs."""
    for c, p in drawn(d):
        exact = c.astype(np.int64) @ p.astype(np.int64).T
        if routine == "multiply":
            out = np.full((len(c), len(p) + 2), np.nan, dtype=np.float32)  # as part of something wider
            products.multiply(c, p, out[:, 1:-1])
            assert (out[:, 1:-1] == exact.astype(np.float32)).all()
            assert np.isnan(out[:, [0, -1]]).all()
        else:
            assert (getattr(products, routine)(c, p) == exact).all()


@pytest.mark.parametrize("d", DIMENSIONS)
@pytest.mark.parametrize("library", ["what is here", "without simsimd", "simsimd for all"])
def test_products_are_integers_rounded_once(d: int, library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if library == "without simsimd":
        monkeypatch.setattr(products, "_DOT", None)
    elif products._DOT is None:
        pytest.skip("simsimd is not installed")
    elif library == "simsimd for all":
        monkeypatch.setattr(products, "_MANY", 100)
    check("multiply", d)


@pytest.mark.parametrize("d", DIMENSIONS)
def test_torch_and_floats_are_exact_where_they_say_so(d: int) -> None:
    check("by_floats", d)
    if products.torch_is_exact():
        check("by_torch", d)


def test_where_torch_is_not_exact_others_are_taken() -> None:
    """oneDNN as on a processor with AVX2 alone, whose sums of pairs overflow: these products must not."""
    code = (
        "from tests.unit.test_products import DIMENSIONS, check, products\n"
        "for products._DOT in (products._DOT, None):\n"
        "    for d in DIMENSIONS: check('multiply', d)\n"
    )
    old = os.environ | {"ONEDNN_MAX_CPU_ISA": "AVX2"}
    subprocess.run([sys.executable, "-c", code], env=old, check=True, timeout=120)
