"""The rules of Prometheus: they are valid, what they say of the system exists, and each alert is tested."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.prometheus import RULES, faster

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "prometheus"
NUMBER = re.compile(r"\d+(?: \* 86400)?(?:ms|s|m|h|d)?\b")


def promtool(*arguments: str) -> str:
    """What `promtool ARGUMENTS` says. In CI it must be installed."""
    if shutil.which("promtool") is None:
        if os.environ.get("CI"):
            pytest.fail("CI must have promtool (.ci/run installs it)")
        pytest.skip("no promtool on this machine")
    done = subprocess.run(
        ["promtool", *arguments], cwd=FOLDER, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_configuration_and_its_rules_are_valid() -> None:
    assert "is valid" in promtool("check", "config", "prometheus.yml")
    assert "SUCCESS" in promtool("check", "rules", "--lint-fatal", "rules.yml")


def test_faster_rules_differ_in_times_alone() -> None:
    rules = RULES.read_text("utf-8")
    quick = faster(rules, 30)
    assert "rate(hurnet:slo_events:total[10000ms])" in quick
    assert "offset 240000ms" in quick
    assert "hurnet_store_memory_bytes[720000ms], 8640)" in quick
    assert "limit: silence }, expr: vector(10)" in quick
    assert re.sub(r"\d+(ms|s|m|h|d)\b", "", quick).count("vector(0.99)") == 3  # a share is no time
    for slow_line, quick_line in zip(rules.splitlines(), quick.splitlines(), strict=True):
        assert NUMBER.sub("N", slow_line) == NUMBER.sub("N", quick_line)
