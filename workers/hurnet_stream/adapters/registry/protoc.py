"""Protobuf's own compiler, out of grpcio-tools: the text of a .proto file becomes descriptors.

It runs as a process of its own, once for each schema, so that no text can hold up or end the worker.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from hurnet_schemas import InvalidMessage
from hurnet_stream.ports import Schema

COMPILE_S: Final = 20.0
"""Longest time for one schema, on a machine that is busy."""
DESCRIPTORS_BYTES_MOST: Final = 4 << 20
_MAIN: Final = "hurnet_value.proto"
_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*){0,20}")
"""Names that files of schemas may have: none that leads out of their folder."""
_ERROR: Final = re.compile(r"[^ :]+\.proto(:\d+)*: ")


class Protoc:
    """Compiles schemas."""

    def compiled(self, schema: Schema) -> bytes:
        """A serialised FileDescriptorSet, whose last file is that of the schema. Raises `InvalidMessage`."""
        with tempfile.TemporaryDirectory(prefix="hurnet-") as folder:
            root = Path(folder)
            for name, text in {**schema.references, _MAIN: schema.text}.items():
                _write(root, name, text)
            return _run(root)


def _write(root: Path, name: str, text: str) -> None:
    if len(name) > 200 or not _NAME.fullmatch(name):
        raise InvalidMessage(
            "invalid-message", f"it refers to {name!r:.80}, which is no name of a .proto file"
        )
    try:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, "utf-8")
    except (OSError, UnicodeEncodeError) as error:
        raise InvalidMessage(
            "invalid-message", f"{name!r:.80} can't be written as a file: {type(error).__name__}"
        ) from None


def _run(root: Path) -> bytes:
    made = root / "made"
    command = [sys.executable, "-I", "-m", "grpc_tools.protoc", f"-I{root}"]
    command += ["--include_imports", f"--descriptor_set_out={made}", _MAIN]
    try:
        ended = subprocess.run(
            command, capture_output=True, timeout=COMPILE_S, cwd=root, stdin=subprocess.DEVNULL, check=False
        )
    except subprocess.TimeoutExpired:
        raise InvalidMessage("invalid-message", f"compiling it takes more than {COMPILE_S:g} s") from None
    if ended.returncode or not made.is_file():
        raise InvalidMessage("invalid-message", f"it does not compile: {_first_error(ended.stderr, root)}")
    if made.stat().st_size > DESCRIPTORS_BYTES_MOST:
        raise InvalidMessage("invalid-message", "its descriptors are too large")
    return made.read_bytes()


def _first_error(stderr: bytes, root: Path) -> str:
    """What protoc says first. The library behind it writes lines of its own beside that."""
    lines = stderr[:10_000].decode(errors="replace").replace(f"{root}/", "").splitlines()
    errors = [line for line in lines if _ERROR.match(line) and ": warning: " not in line]
    return next(iter([*errors, *lines]), "protoc said nothing").replace(_MAIN, "it")[:300]
