"""What a model wants to read in front of a text, by which it tells a passage from a question.

    e5     taught    passage: The shop opens at nine.
           asked     query: when do you open
    bge    taught    The shop opens at nine.
           asked     Represent this sentence for searching relevant passages: when do you open

A sentence-transformers model says it in a file of its own. Many older ones don't, although they were trained
so. Those are known by their names.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_FILE = "config_sentence_transformers.json"


@dataclass(frozen=True, slots=True)
class Prompts:
    """What stands in front of a text."""

    passage: str = ""
    question: str = ""


_BGE_EN = "Represent this sentence for searching relevant passages: "
_BGE_ZH = "为这个句子生成表示以用于检索相关文章："

FAMILIES: Mapping[str, Prompts] = {
    r"e5-(small|base|large)(-v2)?|multilingual-e5-(small|base|large)": Prompts("passage: ", "query: "),
    r"bge-(small|base|large)-en(-v1\.5)?": Prompts("", _BGE_EN),
    r"bge-(small|base|large)-zh(-v1\.5)?": Prompts("", _BGE_ZH),
}
"""By the names of models, as the model cards of intfloat/e5-base and BAAI/bge-base-en-v1.5 say."""


def prompts_of(model: str, folder: Path) -> Prompts:
    """The prompts of the model in the folder: its own, else those of its family, else none.

    `model` is how the user names it: a name, or a path whose parts may hold one.
    """
    return _own(folder) or _of_family(model) or Prompts()


def _own(folder: Path) -> Prompts | None:
    path = folder / _FILE
    said: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    prompts: dict[str, Any] = said.get("prompts") or {}
    passages = [prompts[name] for name in ("document", "passage", "corpus") if name in prompts]
    own = Prompts(passages[0] if passages else "", prompts.get("query", ""))
    if own == Prompts():  # newer versions write both down for every model, as empty
        always = prompts.get(said.get("default_prompt_name") or "", "")
        own = Prompts(always, always)
    if not all(isinstance(prompt, str) for prompt in (own.passage, own.question)):
        raise ValueError(f"{path} has a prompt that is no text")
    return own if own != Prompts() else None


def _of_family(model: str) -> Prompts | None:
    # The cache of Hugging Face names its folders models--owner--name.
    names = [name.lower() for part in Path(model).parts for name in part.split("--")]
    for pattern, prompts in FAMILIES.items():
        if any(re.fullmatch(pattern, name) for name in names):
            return prompts
    return None
