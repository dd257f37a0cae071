"""What a name on the command line stands for.

faq.csv           a file
texts/            each file in it and in its folders, in the order of their names; of .txt and .md files
                  each is one text. What has another name, or begins with . or _, is passed over
s3://bucket/a/    the same in an object store
-                 standard input
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final, Literal

from hurnet_stream.operations.files.opened import WEB, UnreadableFile, readable, scheme_of, store_of

Kind = Literal["auto", "csv", "jsonl", "lines", "parquet", "document"]
STDIN: Final = "-"
PACKED: Final = (".gz", ".zst", ".bz2")
KINDS: Final[dict[str, Kind]] = {
    ".csv": "csv",
    ".tsv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
}
DOCUMENTS: Final = (".txt", ".md", ".markdown")


@dataclass(frozen=True, slots=True)
class Input:
    """One file. `inside` is its name below the folder that was given, and `size` its bytes if that is
    known."""

    name: str
    kind: Kind
    size: int | None = None
    inside: str = ""


@dataclass(slots=True)
class Found:
    """All files, and how many were passed over."""

    inputs: list[Input]
    passed_over: int = 0

    @property
    def size(self) -> int | None:
        """Their bytes; None if those of one are not known."""
        sizes = [each.size for each in self.inputs]
        known = [size for size in sizes if size is not None]
        return sum(known) if len(known) == len(sizes) else None


def identity(name: str) -> str:
    """The name by which a file or folder is known again."""
    return name if scheme_of(name) else str(Path(name).resolve())


def found(names: tuple[str, ...], kind: Kind) -> Found:
    """Raises `UnreadableFile` for a name that stands for nothing."""
    result = Found([])
    for name in names:
        with readable(name):
            _find(name, kind, result)
    return result


def _find(name: str, kind: Kind, result: Found) -> None:
    if name == STDIN:
        result.inputs.append(Input(name, kind))
    elif (scheme := scheme_of(name)) in WEB:
        result.inputs.append(Input(name, _kind(name, kind)))
    elif scheme:
        _in_store(name, kind, result)
    elif Path(name).is_dir():
        before = len(result.inputs)
        _in_folder(Path(name), kind, result)
        _check_any(name, result, before)
    else:
        result.inputs.append(Input(name, _kind(name, kind), _size(Path(name))))


def _size(path: Path) -> int | None:
    stat = path.stat()
    return stat.st_size if path.is_file() else None  # a pipe has none


def _kind(name: str, kind: Kind, otherwise: Kind = "auto") -> Kind:
    """That of a file by its name, if it was not given."""
    if kind != "auto":
        return kind
    path = PurePosixPath(name.partition("?")[0] if scheme_of(name) else name)
    if path.suffix.lower() in PACKED:
        path = path.with_suffix("")
    return KINDS.get(path.suffix.lower(), otherwise)


def _of_folder(inside: str, kind: Kind) -> Kind | None:
    """The kind of a file of a folder; None if it is passed over."""
    parts = PurePosixPath(inside).parts
    if any(part.startswith((".", "_")) for part in parts):
        return None
    path = PurePosixPath(inside)
    bare = path.with_suffix("") if path.suffix.lower() in PACKED else path
    if bare.suffix.lower() in DOCUMENTS:
        return kind if kind != "auto" else "document"
    known = KINDS.get(bare.suffix.lower())
    return known and (kind if kind != "auto" else known)


def _in_folder(folder: Path, kind: Kind, result: Found) -> None:
    for path in _walked(folder):
        inside = path.relative_to(folder).as_posix()
        if (of_file := _of_folder(inside, kind)) and path.is_file():
            result.inputs.append(Input(str(path), of_file, path.stat().st_size, inside))
        else:
            result.passed_over += 1


def _walked(folder: Path) -> Iterator[Path]:
    """Every file, by name. Links to folders are not followed, since they may lead round and round."""

    def fail(error: OSError) -> None:
        raise UnreadableFile(f"{error.filename}: {error.strerror}: make it readable, or move it") from error

    for at, folders, files in os.walk(folder, onerror=fail):
        folders.sort()
        yield from (Path(at, name) for name in sorted(files))


def _in_store(url: str, kind: Kind, result: Found) -> None:
    from pyarrow import fs

    store, path = store_of(url)
    info = store.get_file_info(path)
    if info.type == fs.FileType.File:
        result.inputs.append(Input(url, _kind(path, kind), info.size))
        return
    if info.type == fs.FileType.NotFound:
        raise UnreadableFile(f"{url}: there is no such file, folder or bucket")
    before = len(result.inputs)
    prefix, _, query = url.partition("?")
    for each in sorted(_files(store, path), key=lambda each: str(each.path)):
        inside = each.path[len(path) :].strip("/")
        if of_file := _of_folder(inside, kind):
            name = f"{prefix.rstrip('/')}/{inside}{'?' + query if query else ''}"
            result.inputs.append(Input(name, of_file, each.size, inside))
        else:
            result.passed_over += 1
    _check_any(url, result, before)


def _files(store: Any, path: str) -> Iterator[Any]:
    from pyarrow import fs

    for each in store.get_file_info(fs.FileSelector(path, recursive=True)):
        if each.type == fs.FileType.File:
            yield each


def _check_any(name: str, result: Found, before: int) -> None:
    if len(result.inputs) == before:
        endings = ", ".join((*KINDS, *DOCUMENTS))
        raise UnreadableFile(f"{name}: holds no file of texts (of the names that end in {endings})")
