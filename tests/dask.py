"""A Dask cluster on loopback, over TLS: a scheduler and workers, each a process that can be killed."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from hurnet_stream.local.loopback import free_ports
from tests.acceptance.system import Running
from tests.secured import Authority

FOREIGN = """
from dataclasses import replace
from hurnet_stream.adapters.embedders import dask_task, load as true_load
def load(name):
    embedder = true_load(name)
    embedder.identity = replace(embedder.identity, fingerprint="another")
    return embedder
dask_task.load = load
"""
"""Run in a worker at its start, this makes its embedder another one."""
POISONED = """
import os
from hurnet_stream.adapters.embedders import dask_task, load as true_load
class Fragile:
    def __init__(self, embedder):
        self.embedder, self.identity = embedder, embedder.identity
    def embed(self, texts):
        if any("poison" in text for text in texts):
            os._exit(1)
        return self.embedder.embed(texts)
dask_task.load = lambda name: Fragile(true_load(name))
"""
"""The same: a text with "poison" in it ends the worker."""


class DaskCluster:
    """Everything ends with the block. A task may end one worker, and no second one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = free_ports(1)[0]
        self._authority = Authority(folder)
        self._files = self._authority.issue("dask")
        self._running: list[Running] = []

    @property
    def address(self) -> str:
        return f"tls://127.0.0.1:{self._port}"

    @property
    def variables(self) -> Mapping[str, str]:
        """An ingest's settings."""
        certificate, key = self._authority.issue("ingest")
        return {
            "HURNET_INGEST_EMBED_ON": "dask",
            "HURNET_DASK_SCHEDULER": self.address,
            "HURNET_DASK_CA_FILE": str(self._authority.file),
            "HURNET_DASK_CERT_FILE": str(certificate),
            "HURNET_DASK_KEY_FILE": str(key),
            "HURNET_DASK_TEXTS": "8",
            "HURNET_DASK_TIMEOUT": "20",
        }

    def scheduler(self) -> Running:
        return self._start("scheduler", "--protocol", "tls", "--host", "127.0.0.1", "--port", str(self._port))

    def worker(self, preload: str = "", nanny: bool = False) -> Running:
        """One of one thread; a `nanny` starts it again if it ends."""
        options = ["--nthreads", "1", "--host", "127.0.0.1", "--memory-limit", "0"]
        if preload:
            file = self._folder / f"preload-{len(self._running)}.py"
            file.write_text(preload)
            options += ["--preload", str(file)]
        return self._start("worker", self.address, "--nanny" if nanny else "--no-nanny", *options)

    def _start(self, kind: str, *options: str) -> Running:
        certificate, key = map(str, self._files)
        tls = ("--tls-ca-file", str(self._authority.file), "--tls-cert", certificate, "--tls-key", key)
        command = [sys.executable, "-m", f"distributed.cli.dask_{kind}", *options, *tls, "--no-dashboard"]
        environment = {**os.environ, "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1"}
        log = self._folder / f"dask-{kind}-{len(self._running)}.log"
        self._running.append(Running(f"dask {kind}", command, environment, log))
        return self._running[-1]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for running in reversed(self._running):  # workers first: they would look for their scheduler
            if running.process.poll() is None:
                running.process.terminate()
        for running in self._running:
            running.wait_end()
