"""Any model2vec model that is on this machine: `m2v:MODEL`, with the extra `model2vec`.

Such a model is a table with a vector for each token. A text's vector is the mean of its tokens', so it takes
microseconds, and it is the same in any batch.
"""

from functools import partial

from hurnet_stream.adapters.embedders.model_embedder import PLAN, ModelEmbedder
from hurnet_stream.adapters.embedders.model_files import digest_of, find_model, readable
from hurnet_stream.core.stored.batch import EmbedderIdentity
from hurnet_stream.errors import ConfigurationError

MARK = "model.safetensors"
_PACKAGES = ("model2vec", "tokenizers")


def model2vec_model(model: str) -> ModelEmbedder:
    """`m2v:MODEL`. Raises `ConfigurationError` if the extra or the model is missing, or the folder holds
    another kind of model."""
    try:
        from model2vec import StaticModel
    except ImportError as missing:
        raise ConfigurationError(
            f"the embedder m2v:{model} needs: pip install 'hurnet-stream[model2vec]'"
        ) from missing
    folder = find_model(model, MARK)
    with readable(folder):
        made = StaticModel.from_pretrained(folder, force_download=False)
    identity = EmbedderIdentity(f"m2v:{model}", digest_of(folder, f"m2v;{PLAN}", _PACKAGES), made.dim)
    encode = partial(made.encode, use_multiprocessing=False)
    return ModelEmbedder(identity, encode, encode)
