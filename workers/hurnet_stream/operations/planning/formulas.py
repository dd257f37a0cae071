"""The formulas of the model: what a row and a question take, from measured figures.

A row is `d` dimensions and a text of `t` bytes. Names in `code` are figures of figures.json.

    taking in       µs a text        embedding + `ingest_own_us` + what Kafka and the store take beside it
    store           bytes a row      `store_bytes_a_dimension` d + `store_bytes_a_text_byte` t + `store_bytes`
                                     if sealed: `sealed_bytes`, and the rest lies in the segments
    responder       bytes a row      `held_bytes_a_dimension` d + `held_bytes_a_text_byte` t + `held_bytes`
                                     in tiers: the same of `tier_`, and all of it in files
    a question      µs of processor  q(n) = a + b d + n (c + e d) over n rows of one process, with a set of
                                     a, b, c, e for a question alone and one for each of many together

Questions that come while a turn is under way are answered together in the next one. So with `r` questions a
second in a process, a turn answers r * turn questions, and it takes

    turn = hop + alone(n) + (r turn) together(n)     hence     turn = (hop + alone) / (1 - r together)

where `hop` is the transaction. A question waits for the rest of the turn that it meets (half of it, at most
all of it), if there is one (a share `busy` = min(1, r turn) of the time), and then for its own:

    p50 = turn (1 + busy / 2)          p99 = turn (1 + busy) + `hop_p99_ms`

For example, a million rows of 256 dimensions and 100 questions a second: alone 10 ms, together 3 ms, hop
13 ms: turn = 23 / (1 - 0.3) = 33 ms, p50 = 49 ms, and p99 = 66 + 10 = 76 ms.

With `s` slices each process holds n = rows / s. All slices are asked each question, and search: what grows
with n above, and `slice_alone_us` or `slice_together_us` for the rest. A coordinator embeds, gathers and
ranks: `gather_alone_us` or `gather_together_us`, and `gather_us_a_slice` for each slice. The rounds between
them take `slice_rounds_ms`. Rows in tiers are read from files that are mapped: `tier_factor` times as long.
"""

from __future__ import annotations

import math

from hurnet_stream.operations.planning.figures import Numbers
from hurnet_stream.operations.planning.shapes import Load, Shape


def held_bytes(load: Load, numbers: Numbers, tiers: bool) -> float:
    """Resident bytes of a row in a responder or slice."""
    kind = "tier" if tiers else "held"
    return _by_size(load, numbers, kind)


def store_bytes(load: Load, numbers: Numbers) -> float:
    """Bytes of a row in Redis that is not sealed."""
    return _by_size(load, numbers, "store") + (numbers["store_bytes_a_key"] if load.keyed else 0.0)


def sealed_bytes(load: Load, numbers: Numbers) -> float:
    """Bytes of a row in Redis that lies in a segment."""
    return numbers["sealed_bytes"] + (numbers["sealed_bytes_a_key"] if load.keyed else 0.0)


def _by_size(load: Load, numbers: Numbers, kind: str) -> float:
    vector = numbers[f"{kind}_bytes_a_dimension"] * load.dimensions
    return vector + numbers[f"{kind}_bytes_a_text_byte"] * load.text_bytes + numbers[f"{kind}_bytes"]


def redis_bytes(load: Load, numbers: Numbers, segments: bool) -> float:
    """Of all primaries together."""
    if not segments:
        return load.rows * store_bytes(load, numbers)
    kept = min(load.rows, load.texts_s * load.kept_hours * 3_600)
    return kept * store_bytes(load, numbers) + (load.rows - kept) * sealed_bytes(load, numbers)


def responder_bytes(load: Load, numbers: Numbers, slices: int, tiers: bool) -> float:
    """Resident bytes of a process that holds the rows of one slice."""
    return numbers["responder_bytes"] + load.rows / slices * held_bytes(load, numbers, tiers)


def question_us(rows: float, dimensions: int, numbers: Numbers, how: str) -> float:
    """Processor time of one question over the rows of one process: `how` is alone or together."""
    fixed = numbers[f"{how}_us"] + numbers[f"{how}_us_a_dimension"] * dimensions
    return fixed + search_us(rows, dimensions, numbers, how)


def search_us(rows: float, dimensions: int, numbers: Numbers, how: str) -> float:
    """What of it grows with the rows."""
    row_ns = numbers[f"{how}_ns_a_row"] + numbers[f"{how}_ns_a_row_and_dimension"] * dimensions
    return rows * row_ns / 1_000


def turn_s(rate: float, alone_us: float, together_us: float, hop_ms: float) -> float:
    """How long a turn takes at so many questions a second; infinite if they are more than can be answered."""
    full = rate * together_us / 1e6
    return math.inf if full >= 1 else (hop_ms / 1e3 + alone_us / 1e6) / (1 - full)


def responder_us(load: Load, shape: Shape, numbers: Numbers, how: str) -> float:
    """Processor time of a responder that holds all rows, for a question."""
    return question_us(load.rows, load.dimensions, numbers, how) * _tier_factor(shape, numbers)


def slice_us(load: Load, shape: Shape, numbers: Numbers, how: str) -> float:
    """Processor time of one slice for a question."""
    searched = search_us(load.rows / shape.slices, load.dimensions, numbers, how)
    return numbers[f"slice_{how}_us"] + searched * _tier_factor(shape, numbers)


def gather_us(shape: Shape, numbers: Numbers, how: str) -> float:
    """Processor time of a coordinator for a question."""
    return numbers[f"gather_{how}_us"] + numbers["gather_us_a_slice"] * shape.slices


def _tier_factor(shape: Shape, numbers: Numbers) -> float:
    return numbers["tier_factor"] if shape.tiers else 1.0


def take_in_us(load: Load, numbers: Numbers) -> float:
    """Processor time of ingest for a text."""
    return load.embed_us + numbers["ingest_own_us"]


def store_cores(load: Load, numbers: Numbers) -> float:
    """Of Redis, to append what comes in."""
    text_us = numbers["append_us"] + numbers["append_us_a_dimension"] * load.dimensions
    return load.texts_s * (text_us + (numbers["append_us_a_key"] if load.keyed else 0.0)) / 1e6


def fold_us(dimensions: int, numbers: Numbers) -> float:
    """Processor time of a solver to add a pair."""
    return numbers["fold_us"] + numbers["fold_us_a_dimension"] * dimensions


def solving_cores(dimensions: int, numbers: Numbers) -> float:
    """Cores: it solves every five seconds, and the time grows with the cube of the dimensions."""
    return numbers["solve_ms_at_1024"] / 1e3 * (dimensions / 1_024) ** 3 / 5.0
