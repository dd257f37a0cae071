"""A fresh system per test, as in the acceptance tests."""

from __future__ import annotations

from tests.acceptance.conftest import system

__all__ = ["system"]
