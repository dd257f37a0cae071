"""All but a GPU works where torch is not installed: each test is a process in which it can't be imported."""

from __future__ import annotations

import subprocess
import sys

import pytest

BLOCKED = """
import sys

class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "torch":
            raise ModuleNotFoundError("No module named 'torch'", name="torch")

sys.meta_path.insert(0, NoTorch())
"""


def run(program: str) -> subprocess.CompletedProcess[str]:
    whole = BLOCKED + program + "\nassert 'torch' not in sys.modules\n"
    return subprocess.run([sys.executable, "-c", whole], capture_output=True, text=True, check=False)


def succeeds(program: str) -> None:
    done = run(program)
    assert done.returncode == 0, done.stderr


LEARNED = """
import numpy as np
from hurnet_stream.core.grid import SCALE, snap
from hurnet_stream.core.statistics.statistics import Statistics

rows = snap(np.random.default_rng(0).standard_normal((300, 40)))
answers = [f"a{i % 7}" for i in range(300)]
statistics = Statistics(40, "auto")
statistics.add(rows, answers, np.arange(1, 301))
"""


def test_statistics_are_folded_solved_and_chosen_a_ridge_for() -> None:
    succeeds(
        LEARNED
        + """
from hurnet_stream.core.paper.gcv import solve_by_gcv
from hurnet_stream.core.solve.solve import solve, solve_weights
from hurnet_stream.core.solve.weights import gate

x = rows / SCALE
gram = x.T @ (np.arange(1, 301)[:, None] * x) + 0.1 * np.eye(40)
weights = solve(statistics)
assert np.allclose(weights.projection, np.linalg.inv(gram), atol=1e-12)
assert weights.certificate.method == "cholesky" and gate(weights) == []
assert solve(statistics, 0.0, max_condition=1.0).certificate.method == "eigh"
assert gate(solve_by_gcv(statistics)) == []
columns = solve_weights(statistics, ["a0", "a3"])
sums = np.array([statistics.answer_sums[answer].total for answer in ("a0", "a3")]) / SCALE
assert np.allclose(columns.weights, weights.projection @ sums.T, atol=1e-12)
"""
    )


def test_a_search_without_kernels_is_exact() -> None:
    succeeds(
        """
import numpy as np
from hurnet_stream.core.search import int8

signs = np.where(np.arange(64 * 20).reshape(20, 64) % 3, 127, -127).astype(np.int8)
products = np.empty((20, 20), np.float32)
int8.multiply(signs, signs, products)
assert (products == signs.astype(int) @ signs.T.astype(int)).all()
from hurnet_stream.core.grid import snap
from hurnet_stream.core.index.index import ContextIndex
from hurnet_stream.core.native import disabled
from hurnet_stream.core.stored.batch import Entry

rows = snap(np.random.default_rng(0).standard_normal((400, 24)))
index = ContextIndex(24)
with disabled():
    index.append(0, [Entry(i, 0, "c", str(i), None) for i in range(400)], rows)
    matches = index.search(rows[:20], 1)
assert [match.rows.tolist() for match in matches] == [[i] for i in range(20)]
"""
    )


def test_all_modules_but_those_of_a_gpu_are_imported() -> None:
    succeeds(
        """
import importlib, pkgutil
import hurnet_stream

OF_A_GPU = {"hurnet_stream.core.search.device", "hurnet_stream.core.statistics.gram_torch"}
NO_MODULES = {  # for hatchling; a library in C
    "hurnet_stream.core.native.hatch_hook",
    "hurnet_stream.core.native.kernels",
}
names = [module.name for module in pkgutil.walk_packages(hurnet_stream.__path__, "hurnet_stream.")]
workers = {f"hurnet_stream.{role}.{role}" for role in ("ingest", "solver", "responder")}
assert workers <= set(names)
assert OF_A_GPU <= set(names)
for name in names:
    if name not in OF_A_GPU | NO_MODULES:
        importlib.import_module(name)
"""
    )


@pytest.mark.parametrize("name", ["cuda", "cuda:1"])
def test_a_gpu_is_refused_with_the_name_of_the_extra(name: str) -> None:
    done = run(f"from hurnet_stream.core.arrays import backend_of\nbackend_of({name!r})")
    last = done.stderr.strip().splitlines()[-1]
    assert last == f"ValueError: device {name!r} needs torch: pip install 'hurnet-stream[torch]'"


def test_the_solver_says_in_one_line_what_a_gpu_needs() -> None:
    succeeds(
        """
from hurnet_stream.errors import ConfigurationError
from hurnet_stream.metrics.solver import SolverMetrics
from hurnet_stream.settings.settings import Settings, SolveSettings
from hurnet_stream.solver.solver import Solver

try:
    Solver(None, None, None, Settings(solve=SolveSettings(device="cuda")), SolverMetrics())
except ConfigurationError as error:
    assert str(error) == (
        "HURNET_SOLVE_DEVICE: device 'cuda' needs torch: pip install 'hurnet-stream[torch]'"
    ), error
else:
    raise AssertionError("no refusal")
"""
    )


def test_a_responder_searches_on_the_cpu_and_refuses_a_gpu_in_one_line() -> None:
    succeeds(
        """
from hurnet_stream.errors import ConfigurationError
from hurnet_stream.metrics.responder import ResponderMetrics
from hurnet_stream.responder.generation import _search_device

assert _search_device("cpu", ResponderMetrics()) is _search_device("auto", ResponderMetrics()) is None
try:
    _search_device("cuda", ResponderMetrics())
except ConfigurationError as error:
    assert str(error) == (
        "HURNET_RESPONDER_DEVICE: device 'cuda' needs torch: pip install 'hurnet-stream[torch]'"
    ), error
else:
    raise AssertionError("no refusal")
"""
    )
