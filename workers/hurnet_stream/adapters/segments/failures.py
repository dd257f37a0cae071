"""What can go wrong with files, as the port has it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from hurnet_stream.errors import SegmentMissing, SegmentsFailing


@contextmanager
def reached(where: str, name: str = "") -> Iterator[None]:
    """Files are reached `where`. Raises `SegmentMissing` if the one with this name is not there, and
    `SegmentsFailing` for all else."""
    try:
        yield
    except FileNotFoundError as error:
        if name:
            raise SegmentMissing(f"{where}: there is no file {name}") from error
        raise SegmentsFailing(_said(where, error)) from error
    except OSError as error:
        raise SegmentsFailing(_said(where, error)) from error


def _said(where: str, error: OSError) -> str:
    return f"{where}: {(error.strerror or str(error))[:200]}"
