"""The workflow: linters find nothing in it, and what it runs and builds is what is here."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
import yaml

from tests.tools import run

ROOT = Path(__file__).parents[2]
WORKFLOW = ROOT / ".github/workflows/ci.yml"
JOBS = yaml.safe_load(WORKFLOW.read_text())["jobs"]
ZIZMOR = str(Path(sys.executable).with_name("zizmor"))


def _risks(text: str, folder: Path) -> str:
    """What zizmor says of a workflow with this text; "" if nothing."""
    file = folder / ".github/workflows/ci.yml"
    file.parent.mkdir(parents=True)
    file.write_text(text)
    done = run(ZIZMOR, "--offline", "--no-progress", "--quiet", "--min-severity", "low", str(file))
    return done.stdout if done.returncode else ""


def test_no_risk_is_known_in_it(tmp_path: Path) -> None:
    assert _risks(WORKFLOW.read_text(), tmp_path) == ""


@pytest.mark.parametrize(
    ("old", "new", "finding"),
    [
        (r"@[0-9a-f]{40} # (v\d).*", r"@\1", "unpinned-uses"),
        (r"persist-credentials: false", "fetch-depth: 1", "artipacked"),
        (r"contents: read", "contents: write", "excessive-permissions"),
        (r"run: \.ci/run", "run: echo ${{ github.head_ref }}", "template-injection"),
    ],
)
def test_a_risk_would_be_seen(old: str, new: str, finding: str, tmp_path: Path) -> None:
    assert finding in _risks(re.sub(old, new, WORKFLOW.read_text()), tmp_path)


def test_it_is_a_workflow() -> None:
    linted = run(
        "actionlint", "-shellcheck=", "-pyflakes=", str(WORKFLOW)
    )  # two more tools, if they are there
    assert linted.returncode == 0, linted.stdout


def test_each_action_is_pinned_by_commit_and_says_which_version_that_is() -> None:
    uses = re.findall(r"uses: (.*)", WORKFLOW.read_text())
    assert len(uses) == 6
    assert all(re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", each) for each in uses)


def test_it_runs_what_developers_run_and_builds_what_compose_starts() -> None:
    assert ".ci/run" in [step.get("run") for step in JOBS["ci"]["steps"]]
    image = JOBS["image"]["env"]["IMAGE"]
    services = yaml.safe_load((ROOT / "deploy/compose.yaml").read_text())["services"]
    assert {each["image"] for each in services.values() if each["image"].startswith("hurnet")} == {image}
    commands = "\n".join(step.get("run", "") for step in JOBS["image"]["steps"])
    for named in re.findall(r"-f (\S+)", commands):
        assert (ROOT / named).is_file()
    assert set(re.findall(r"exec -T (\w+)", commands)) <= set(services)


def test_what_is_built_is_listed_and_what_is_listed_is_scanned() -> None:
    steps = {
        step["uses"].partition("@")[0]: step["with"] for step in JOBS["image"]["steps"] if "uses" in step
    }
    made, scanned = steps["anchore/sbom-action"], steps["anchore/scan-action"]
    assert made["output-file"] == scanned["sbom"]
    assert scanned["severity-cutoff"] == "high"
    assert "fail-build" not in scanned, "its default is to fail"


def test_whatever_is_pinned_has_somebody_who_moves_it() -> None:
    updates = yaml.safe_load((ROOT / ".github/dependabot.yml").read_text())["updates"]
    assert {each["package-ecosystem"] for each in updates} == {"github-actions", "docker", "docker-compose"}
    assert all((ROOT / each["directory"].strip("/")).is_dir() for each in updates)
