"""What is taught is embedded as a passage, and what is asked as a question, by every part of the system."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from hurnet_schemas import Query, TextEvent
from hurnet_stream.adapters.embedders.hashing import HashedText
from hurnet_stream.adapters.embedders.joined import Joined
from hurnet_stream.adapters.embedders.model_files import readable
from hurnet_stream.adapters.embedders.prompts import prompts_of
from hurnet_stream.core.stored.batch import Vectors
from hurnet_stream.errors import ConfigurationError
from hurnet_stream.operations.evaluation import Evaluation
from hurnet_stream.settings.settings import SolveSettings
from tests.memory.entry_store import MemoryEntryStore
from tests.worlds import ingest, responder

DIMENSION = responder.EMBEDDER.identity.dimension


class TwoKinds(HashedText):
    """Sees a question as the passage that answers it."""

    said = "how late is it"
    meant = "the time of the day"

    def embed_questions(self, texts: Sequence[str]) -> Vectors:
        return self.embed([self.meant if text == self.said else text for text in texts])


class PassagesOnly(HashedText):
    def embed_questions(self, texts: Sequence[str]) -> Vectors:
        raise AssertionError("nobody asks")


class QuestionsOnly(HashedText):
    def embed(self, texts: Sequence[str]) -> Vectors:
        raise AssertionError("nobody teaches")

    def embed_questions(self, texts: Sequence[str]) -> Vectors:
        return responder.EMBEDDER.embed(texts)


def test_ingest_stores_passages() -> None:
    world = ingest.World(embedder=PassagesOnly(ingest.EMBEDDER.identity.dimension))
    world.send(TextEvent(text=TwoKinds.said, answer="a clock"))
    ingest.turn(world.worker())
    (batch,) = MemoryEntryStore(world.redis).tail({}, 10).batches
    np.testing.assert_array_equal(batch.vectors, ingest.EMBEDDER.embed([TwoKinds.said]))


def test_a_responder_asks_questions_and_nothing_else() -> None:
    world = responder.World(embedder=QuestionsOnly(DIMENSION))
    world.teach(*responder.PAIRS)
    world.ask(Query(text="will it rain tomorrow", id="q"))
    responder.turn(world.responder())
    assert responder.only(world.answers()).answer == "weather"
    assert not world.dead_letters()


def test_a_question_that_is_seen_as_its_passage_finds_it() -> None:
    found = {}
    for made in (HashedText(DIMENSION), TwoKinds(DIMENSION)):
        world = responder.World(embedder=made)
        world.teach((TwoKinds.meant, "ten o'clock"), ("how is it going", "fine"))
        world.ask(Query(text=TwoKinds.said, id="q"))
        responder.turn(world.responder(threshold=0))
        found[type(made)] = responder.only(world.answers()).answer
    assert found == {HashedText: "fine", TwoKinds: "ten o'clock"}


@pytest.mark.parametrize(("kind", "right"), [(HashedText, False), (TwoKinds, True)])
def test_an_evaluation_teaches_passages_and_asks_questions(kind: type[HashedText], right: bool) -> None:
    evaluation = Evaluation(kind(DIMENSION), SolveSettings(device="cpu"))
    taught = [(TwoKinds.meant, "ten o'clock"), ("how is it going", "fine")]
    evaluation.teach([TextEvent(text=text, answer=answer) for text, answer in taught])
    (asked,) = evaluation.ask([TextEvent(text=TwoKinds.said, answer="ten o'clock")])
    assert asked.right() is right


def test_each_part_of_a_joined_embedder_sees_questions_in_its_own_way() -> None:
    parts = [TwoKinds(DIMENSION), HashedText(DIMENSION)]
    asked, meant = Joined(parts).embed_questions([TwoKinds.said]), Joined(parts).embed([TwoKinds.meant])
    np.testing.assert_array_equal(asked[:, :DIMENSION], meant[:, :DIMENSION])
    assert (asked[:, DIMENSION:] != meant[:, DIMENSION:]).any()
    np.testing.assert_array_equal(Joined(parts).embed([TwoKinds.said])[:, DIMENSION:], asked[:, DIMENSION:])


@pytest.mark.parametrize(
    "said", ["{", "[]", '{"prompts": ["a"]}', '{"prompts": {"query": 7}}', '{"prompts": 7}', "[" * 100_000],
    ids=["cut", "a list", "prompts as a list", "a number", "prompts as a number", "deep"],
)  # fmt: skip
def test_prompts_that_can_not_be_read_are_an_error_of_the_configuration(tmp_path: Path, said: str) -> None:
    (tmp_path / "config_sentence_transformers.json").write_text(said)
    with pytest.raises(ConfigurationError, match="can't be read"), readable(tmp_path):
        prompts_of("model", tmp_path)
