"""A real schema registry: Apicurio, out of Maven's repository, on the JDK that Kafka runs on."""

from __future__ import annotations

import hashlib
import shutil
import tarfile
from pathlib import Path
from typing import Any

import httpx
from jgo.config import GlobalSettings
from jgo.maven import MavenContext
from typing_extensions import override

from hurnet_stream.local.folders import locked, scratch
from hurnet_stream.local.jars import cache_folder, java
from hurnet_stream.local.loopback import HOST, free_ports
from hurnet_stream.local.server import Server

VERSION = "3.3.3"
SHA256 = "8bc6751c76d963734224b01d5e7f84ccb3cb61c87d3bd77c36c35f10a5cbed63"
"""Of the archive, 159 MB."""
_FETCH_S = 600.0


def _program() -> Path:
    """The folder of the program, which the first test on a machine fetches."""
    folder = cache_folder().with_name(f"apicurio-{VERSION}")
    if not (folder / "quarkus-run.jar").exists():
        with locked(folder.with_name(f"{folder.name}-fetching"), _FETCH_S):
            if not (folder / "quarkus-run.jar").exists():
                _fetch(folder)
    return folder


def _fetch(folder: Path) -> None:
    settings = GlobalSettings.load()
    with scratch(folder.with_name(f"{folder.name}-unpacking")) as made:
        maven = MavenContext(repo_cache=made / "maven", local_repos=[settings.repo_cache])
        maven.remote_repos.update(settings.repositories)
        project = maven.project("io.apicurio", "apicurio-registry-app").at_version(VERSION)
        archive = project.artifact(classifier="all", packaging="tar.gz").resolve()
        with archive.open("rb") as file:
            assert hashlib.file_digest(file, "sha256").hexdigest() == SHA256, (
                "another archive than was locked"
            )
        with tarfile.open(archive) as packed:
            packed.extractall(made / "program", filter="data")
        shutil.rmtree(folder, ignore_errors=True)
        (made / "program").replace(folder)


class ApicurioServer(Server):
    """Apicurio Registry with its schemas in memory. `url` is its API as Confluent's registry has it."""

    name = "Apicurio Registry"

    def __init__(self, timeout: float = 120.0) -> None:
        self.port, self._management = free_ports(2)
        super().__init__(None, [self.port], timeout)
        self._program = _program()

    @override
    def _prepare(self) -> list[str]:
        settings = {
            "quarkus.http.host": HOST,
            "quarkus.http.port": self.port,
            "quarkus.management.host": HOST,
            "quarkus.management.port": self._management,
        }
        jvm = ["-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData"]
        options = [f"-D{name}={value}" for name, value in settings.items()]
        return [str(java()), *jvm, *options, "-jar", str(self._program / "quarkus-run.jar")]

    @override
    def _ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/subjects", timeout=5).status_code == 200
        except httpx.HTTPError:
            return False

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}/apis/ccompat/v7"

    def register(self, subject: str, text: str, kind: str = "AVRO", references: Any = ()) -> int:
        """The id that the schema has."""
        body = {"schema": text, "schemaType": kind, "references": list(references)}
        reply = httpx.post(f"{self.url}/subjects/{subject}/versions", json=body, timeout=30)
        return int(reply.raise_for_status().json()["id"])
