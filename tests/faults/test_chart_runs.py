"""What the chart makes, started as processes: its arguments, variables and files, and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from hurnet_stream.local import ValkeyServer
from tests.acceptance.system import Running, wait_for
from tests.chart import Object, of_kind, pods, rendered

PASSWORD = "of the store"
VALUES = """
kafka: {{ bootstrap: "{bootstrap}", partitions: 2, replication: 1 }}
redis: {{ url: "redis://127.0.0.1:{port}/0", prefix: {name} }}
secret: {{ name: passwords, keys: {{ HURNET_REDIS_PASSWORD: redis-password }} }}
metrics: {{ host: 127.0.0.1 }}
settings:
  HURNET_KAFKA_TEXTS: {name}-texts
  HURNET_KAFKA_QUERIES: {name}-queries
  HURNET_KAFKA_ANSWERS: answers-{name}
  HURNET_KAFKA_FEEDBACK: {name}-feedback
  HURNET_KAFKA_DEAD_LETTERS: {name}-dead
  HURNET_EMBEDDER_NAME: hash128
"""


class Cluster:
    """A kubelet's work, as far as a process without a container can stand in for it."""

    def __init__(self, objects: list[Object], folder: Path) -> None:
        self.objects = objects
        self.folder = folder
        self.running: dict[str, Running] = {}
        (folder / "redis-password").write_text(PASSWORD + "\n")
        (folder / "redis-password").chmod(0o440)

    def environment(self, pod: str, container: Object) -> dict[str, str]:
        """What the pod's process sees. One host has one of each port, so each takes a free one."""
        given = {each["name"]: each.get("value", pod) for each in container["env"]}
        assert given.pop("HURNET_METRICS_PORT") == "9100"
        here = {name: value.replace("/etc/hurnet/secrets", str(self.folder)) for name, value in given.items()}
        needed = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
        return {**needed, "TMPDIR": str(self.folder), **here}

    def run(self, role: str, *more: str) -> subprocess.CompletedProcess[str]:
        """The pod of a Job or a hook, to its end."""
        (container,) = self._containers(role)
        return subprocess.run(
            [sys.executable, "-m", "hurnet_stream", *container["args"], *more],
            env=self.environment(role, container),
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    def start(self) -> None:
        """All pods of all workloads."""
        for workload in of_kind(self.objects, "Deployment", "StatefulSet"):
            (container,) = workload["spec"]["template"]["spec"]["containers"]
            for number in range(workload["spec"]["replicas"]):
                pod = f"{workload['metadata']['name']}-{number}"
                command = [sys.executable, "-m", "hurnet_stream", *container["args"]]
                log = self.folder / f"{pod}.log"
                self.running[pod] = Running(pod, command, self.environment(pod, container), log)

    def _containers(self, role: str) -> Iterator[Object]:
        for _, spec in pods(self.objects):
            yield from (each for each in spec["containers"] if each["name"] == role)


@pytest.fixture
def cluster(kafka_bootstrap: str, unique: str, tmp_path: Path) -> Iterator[Cluster]:
    with ValkeyServer(password=PASSWORD) as store:
        values = VALUES.format(bootstrap=kafka_bootstrap, port=store.port, name=unique)
        cluster = Cluster(rendered(values), tmp_path)
        yield cluster
        for running in cluster.running.values():
            if running.process.poll() is None:
                running.kill()


def _says_200(running: Running, path: str) -> bool:
    return running.get(path)[0] == 200


def test_everything_that_the_chart_starts_runs_and_is_well(cluster: Cluster) -> None:
    topics = cluster.run("topics")
    assert topics.returncode == 0, topics.stdout + topics.stderr
    cluster.start()
    assert len(cluster.running) == 8
    probed = {each["name"]: each for _, spec in pods(cluster.objects) for each in spec["containers"]}
    for pod, running in cluster.running.items():
        container = probed[pod.split("-")[-2]]
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            path = container[probe]["httpGet"]["path"]
            wait_for(partial(_says_200, running, path), what=f"{pod} {path}")
    solvers = [running for pod, running in cluster.running.items() if "solver" in pod]
    wait_for(lambda: sum("standing by" in each.get("/readyz")[1] for each in solvers) == 1, what="one leads")
    doctor = cluster.run("doctor", "--timeout", "60")
    assert doctor.returncode == 0, doctor.stdout + doctor.stderr
    for running in cluster.running.values():
        assert running.terminate() == 0
