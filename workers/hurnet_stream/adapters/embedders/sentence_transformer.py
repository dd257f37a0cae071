"""Any sentence-transformers model that is on this machine: `st:MODEL`, with the extra
`sentence-transformers`.

Nothing is downloaded. Texts go through the model one at a time, because padding to the longest text of a
batch changes last bits. So a text's row is the same in any batch, on one machine with one version of torch.
Another machine may differ by a step of the grid, unlike with `hash` and `use`. The fingerprint covers the
model's files and the versions of the libraries.
"""

from collections.abc import Sequence
from hashlib import sha256
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from hurnet_stream.core.grid import snap
from hurnet_stream.core.reading import without_unseen
from hurnet_stream.core.stored.batch import EmbedderIdentity, Vectors
from hurnet_stream.errors import ConfigurationError

_LIBRARIES = ("sentence-transformers", "transformers", "tokenizers", "torch")
# Raise it with any change to what is done here to a text or a vector, if that can move a coordinate.
_REVISION = 2
_MARK = "modules.json"  # every sentence-transformers model has this file


class SentenceTransformerEmbedder:
    """`st:MODEL`, on the CPU, which gives the same bits for the same input."""

    def __init__(self, model: str) -> None:
        try:
            from sentence_transformers import SentenceTransformer
        except ImportError as missing:
            raise ConfigurationError(
                f"the embedder st:{model} needs: pip install 'hurnet-stream[sentence-transformers]'"
            ) from missing
        folder = find_model(model)
        self._model = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
        dimension = len(self._model.encode("", show_progress_bar=False))
        self.identity = EmbedderIdentity(f"st:{model}", _fingerprint(folder), dimension)

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Rows on the grid (len(texts), dimension) int16; a zero row for a blank text."""
        rows = np.zeros((len(texts), self.identity.dimension), dtype=np.int16)
        for row, text in zip(rows, texts, strict=True):
            clean = text.encode("utf-8", "replace").decode("utf-8")  # a lone surrogate is no character
            if without_unseen(clean).strip():  # else a model would give the empty text a direction
                vector = self._model.encode(clean, convert_to_numpy=True, show_progress_bar=False)
                row[:] = snap(np.asarray(vector)[None])[0]
        return rows

    def embed_questions(self, texts: Sequence[str]) -> Vectors:
        return self.embed(texts)


def find_model(model: str) -> Path:
    """The folder of a model: a path, or a folder inside an installed package of that name, or one in the
    local cache. Raises `ConfigurationError` if there is none."""
    if (Path(model) / _MARK).is_file():
        return Path(model)
    module = model.replace("-", "_")
    spec = find_spec(module) if module.isidentifier() else None
    for root in (spec.submodule_search_locations or ()) if spec else ():
        for mark in sorted(Path(root).rglob(_MARK)):
            return mark.parent
    return _cached(model)


def _cached(model: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(model, local_files_only=True))
    except (HFValidationError, LocalEntryNotFoundError) as absent:
        raise ConfigurationError(
            f"no model {model!r} on this machine: give a folder with {_MARK},"
            " or the name of an installed package that ships one"
        ) from absent


def _fingerprint(folder: Path) -> str:
    versions = ";".join(f"{name}=={metadata.version(name)}" for name in _LIBRARIES)
    digest = sha256(f"st;{_REVISION};{versions}".encode())
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and p.suffix != ".md"):
        digest.update(f"\n{path.relative_to(folder).as_posix()} {path.stat().st_size}\n".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()
