"""Each rule by promtool: it fires by its fault, not just below, and goes out after the mend."""

from __future__ import annotations

import pytest

from tests.prometheus import RULES, promtool


@pytest.mark.parametrize("file", sorted(path.name for path in (RULES.parent / "tests").glob("*.yml")))
def test_rules(file: str) -> None:
    assert "SUCCESS" in promtool("test", "rules", f"tests/{file}")
