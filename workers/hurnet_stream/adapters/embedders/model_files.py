"""Models are folders of files on this machine. Nothing is downloaded."""

from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from hurnet_stream.errors import ConfigurationError


def find_model(model: str, mark: str) -> Path:
    """The folder of a model: a path, or a folder inside an installed package of that name, or one in the
    local cache of Hugging Face. `mark` is a file that such a model has in its folder. Raises
    `ConfigurationError` if there is none."""
    if (Path(model) / mark).is_file():
        return Path(model)
    module = model.replace("-", "_")
    spec = find_spec(module) if module.isidentifier() else None
    for root in (spec.submodule_search_locations or ()) if spec else ():
        for found in sorted(Path(root).rglob(mark)):
            return found.parent
    return _cached(model, mark)


def _cached(model: str, mark: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        folder = Path(snapshot_download(model, local_files_only=True))
        (folder / mark).stat()
    except (HFValidationError, LocalEntryNotFoundError, FileNotFoundError) as absent:
        raise ConfigurationError(
            f"no model {model!r} on this machine: give a folder with {mark},"
            " or the name of an installed package that ships one"
        ) from absent
    return folder


@contextmanager
def readable(folder: Path) -> Iterator[None]:
    """Around what reads the files of a model. Raises `ConfigurationError` if they can't be read, whatever is
    in them: the packages that read them have no common error."""
    try:
        yield
    except ConfigurationError:
        raise
    except Exception as wrong:
        raise ConfigurationError(f"the model in {folder} can't be read: {wrong}") from wrong


def digest_of(folder: Path, plan: str, packages: tuple[str, ...]) -> str:
    """A fingerprint of all that decides a model's vectors: its files, the versions of the packages that read
    them, and `plan`, which is what else was decided about it."""
    versions = ";".join(f"{name}=={metadata.version(name)}" for name in packages)
    digest = sha256(f"{plan};{versions}".encode())
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and p.suffix != ".md"):
        digest.update(f"\n{path.relative_to(folder).as_posix()} {path.stat().st_size}\n".encode())
        with path.open("rb") as file:
            while piece := file.read(1 << 20):
                digest.update(piece)
    return digest.hexdigest()
