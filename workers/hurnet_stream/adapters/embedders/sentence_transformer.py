"""Any sentence-transformers model that is on this machine: `st:MODEL`, with the extra
`sentence-transformers`.

Texts go through the model one at a time and on the CPU, so a text's row is the same in any batch, on one
machine with one version of torch. Another machine may differ by a step of the grid, unlike with `hash` and
`use`.
"""

from functools import partial

from hurnet_stream.adapters.embedders.model_embedder import PLAN, ModelEmbedder, one_at_a_time
from hurnet_stream.adapters.embedders.model_files import digest_of, find_model, readable
from hurnet_stream.adapters.embedders.prompts import prompts_of
from hurnet_stream.core.stored.batch import EmbedderIdentity
from hurnet_stream.errors import ConfigurationError

MARK = "modules.json"  # every sentence-transformers model has this file
_PACKAGES = ("sentence-transformers", "transformers", "tokenizers", "torch")


def sentence_transformer(model: str) -> ModelEmbedder:
    """`st:MODEL`. Raises `ConfigurationError` if the extra or the model is missing."""
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError as missing:
        raise ConfigurationError(
            f"the embedder st:{model} needs: pip install 'hurnet-stream[sentence-transformers]'"
        ) from missing
    folder = find_model(model, MARK)
    with readable(folder):
        made = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
        prompts = prompts_of(model, folder)
    # Of a model with a network for each kind of text, each of these takes its own.
    passage, question = (
        partial(encode, prompt=prompt, convert_to_numpy=True, show_progress_bar=False)
        for encode, prompt in (
            (made.encode_document, prompts.passage),
            (made.encode_query, prompts.question),
        )
    )
    digest = digest_of(folder, f"st;{PLAN};{prompts}", _PACKAGES)
    identity = EmbedderIdentity(f"st:{model}", digest, len(passage("a")))
    return ModelEmbedder(identity, one_at_a_time(passage), one_at_a_time(question))
