"""The lexical part of an index, with the kernels and without, against BM25 as its formula stands, text by
text."""

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import nullcontext
from math import log
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hurnet_stream.core.index import arena, tidying
from hurnet_stream.core.index.index import ContextIndex, EntryId
from hurnet_stream.core.lexical import alphabet, bm25, question
from hurnet_stream.core.lexical.run import HOLE, MOST_TIMES, SLOT_BITS
from hurnet_stream.core.lexical.terms import MOST_LENGTH, STEM_LETTERS, TERM_BYTES, records, terms
from hurnet_stream.core.lexical.vocabulary import Vocabulary
from hurnet_stream.core.native import LIBRARY, disabled, library
from hurnet_stream.core.search import block, blocks
from hurnet_stream.core.search import search as scan
from hurnet_stream.core.stored.batch import Entry
from hurnet_stream.core.stored.entries import starts_of

Held = dict[EntryId, str]
ROWS_OF_A_BLOCK = block.BLOCK_ROWS  # before the tests make it smaller
WORDS = [
    "the",
    "the",
    "the",
    "a",
    "lamp",
    "on",
    "Élan",
    "élan",
    "c++",
    "-5",
    "開燈",
    "ну",
    "x" * 40,
    "7" * 41,
]


@pytest.fixture(params=["kernels", "portable"], autouse=True)
def native(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Blocks are so small that they are given up all the time."""
    if request.param == "kernels" and library() is None:
        pytest.skip("no kernels were built")
    for module in (block, blocks, scan, tidying):
        monkeypatch.setattr(module, "BLOCK_ROWS", 32)
    monkeypatch.setattr(arena, "LARGEST_CHUNK", 256)
    with nullcontext() if request.param == "kernels" else disabled():
        yield


def append(index: ContextIndex, held: Held, partition: int, texts: dict[int, str]) -> None:
    entries = [Entry(offset, 0, "c", text, "answer") for offset, text in texts.items()]
    index.append(partition, entries, np.ones((len(entries), 4), np.int16))
    held |= {(partition, offset): text for offset, text in texts.items()}


def built(held: Held) -> ContextIndex:
    """An index of these entries, appended one by one."""
    index = ContextIndex(4)
    for (partition, offset), text in held.items():
        append(index, {}, partition, {offset: text})
    return index


def reference(text: str, held: Held) -> dict[EntryId, int]:
    """The scores on the grid of the entries that score, by the definition: over terms and entries."""
    terms_of = {entry: terms(own) for entry, own in held.items()}
    total, scores = sum(map(len, terms_of.values())), Counter[EntryId]()
    for term in dict.fromkeys(terms(text)):
        times = {entry: own.count(term) for entry, own in terms_of.items() if term in own}
        for entry, often in times.items():
            length = bm25.K1 * (1 - bm25.B) + bm25.K1 * bm25.B * len(held) / total * len(terms_of[entry])
            f = float(min(often, MOST_TIMES))
            scores[entry] += int(bm25.most(len(held), len(times)) * f / (f + length))
    return {entry: score for entry, score in scores.items() if score}


def whole(text: str, held: Held) -> int:
    every = [{*terms(own)} for own in held.values()]
    return sum(bm25.most(len(held), sum(term in own for own in every)) for term in {*terms(text)})


def check(index: ContextIndex, held: Held, text: str, k: int, exclude: EntryId | None = None) -> None:
    expected = reference(text, held)
    best = sorted((-score, entry) for entry, score in expected.items() if entry != exclude)[:k]
    rows, scores = index.lexical_search(text, k, exclude)
    assert [index.entry_id(row) for row in rows.tolist()] == [entry for _, entry in best]
    assert scores.tolist() == [-score / whole(text, held) for score, _ in best]
    every = list(held)
    rows = np.array([index.find(entry) for entry in every], np.int64)
    asked_for = index.lexical_scores(text, rows).tolist()
    assert asked_for == [expected.get(entry, 0) / max(1, whole(text, held)) for entry in every]


texts_of_words = st.lists(st.sampled_from(WORDS), max_size=8).map(" ".join)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.lists(texts_of_words, min_size=1, max_size=50), min_size=1, max_size=4),
    texts_of_words,
    st.integers(1, 20),
    st.integers(0, 2**32),
)
def test_the_best_rows_and_their_scores_are_those_of_the_formula(
    batches: list[list[str]], text: str, k: int, seed: int
) -> None:
    """Whatever was appended and removed, in whatever order, and while blocks are given up."""
    index, held, random = ContextIndex(4), Held(), Random(seed)
    for number, batch in enumerate(batches):
        partition = random.randrange(2)
        append(index, held, partition, {100 * number + i: own for i, own in enumerate(batch)})
        check(index, held, text, k)
        for entry in random.sample(list(held), random.randint(0, len(held))):
            del held[entry]
            assert index.remove(*entry)
        check(index, held, text, k, random.choice([None, *held]))
    shuffled = random.sample(list(held), len(held))
    check(built({entry: held[entry] for entry in shuffled}), held, text, k)


def test_many_at_once_are_removed_and_what_is_left_is_as_if_they_had_never_been() -> None:
    index, held, random = ContextIndex(4), Held(), Random(1)
    texts = {i: " ".join(random.choices([*WORDS, f"rare{i}"], k=6)) for i in range(300)}
    append(index, held, 0, texts)
    gone = random.sample(range(300), 240)
    index.remove_all(0, np.array(gone))
    left = {entry: text for entry, text in held.items() if entry[1] not in gone}
    check(index, left, "the lamp rare7 élan", 30)
    assert index._lexicon._total == built(left)._lexicon._total
    index.remove_all(0, np.array([offset for _, offset in left]))
    assert index.lexical_search("the", 5)[0].tolist() == []


def test_nothing_of_a_removed_text_stays() -> None:
    index, held = ContextIndex(4), Held()
    append(index, held, 0, {0: "hunter2 is the secret", 1: "the lamp is on", 2: "secret"})
    lexicon = index._lexicon
    assert b"hunter2" in lexicon._vocabulary.records.tobytes()
    index.remove(0, 0)
    assert b"hunter2" not in lexicon._vocabulary.records.tobytes()
    assert lexicon._vocabulary.find(records([b"secret", b"hunter2"])[:1])[0] >= 0
    assert [len(postings.keys()) for postings in lexicon._postings.values()] == [5]
    append(index, held, 0, {3: "tulip", 4: "rose"})  # their terms get the number that is free, and a new one
    del held[0, 0]
    check(index, held, "tulip rose secret the", 5)


def test_terms_are_words_without_case_and_accents() -> None:
    assert terms("Où est l'Été ?") == [b"ou", b"est", b"l", b"ete"]
    assert terms("Ou\u0300 EST l\u2019e\u0301te\u0301") == [b"ou", b"est", b"l", b"ete"]
    assert terms("C++ costs -5 €") == [b"c++", b"costs", b"5-", "€".encode()]
    assert terms("開燈") == ["開".encode(), "燈".encode(), "開燈".encode()]
    assert terms("???") == [b"???"]
    assert terms("Lamps, lámpadas: INTERNATIONAL") == [b"lamps", b"lampad", b"intern"]
    assert terms("internationa1 HTTP_STATUS rx780001") == [b"internationa1", b"http_status", b"rx780001"]
    assert terms("कार्यक्रमों") == ["कार्यक्रमों".encode()[:TERM_BYTES]]  # six letters with what stands on them
    assert terms("") == terms(" \0 ") == []
    assert terms("7" * 40) == terms("7" * 41) == [b"7" * TERM_BYTES]


TRICKY = [
    *"aZ_09-+#&$^<=>@ .?'\0\t\n\x7f\u00ad",
    *"éßÉıİſŉǆªº²½§£©·«\xa0\x85",
    *"ΣςσάЖйґԯ",
    *"\u0301\u0345\u1e9e\u1ea4\u1f88",
]
TRICKY += ["lampadas", "äöüßßx", "straßßen", "ǆǆǆǆ", "éééééé", "жжжжжжж", "nas_tring"]
TRICKY += [
    *"\u2010\u2013\u2019\u201c\u2026\u2028\u200d\u2044\u2057\u2070",
    *"開กก़가\u1100€🙂\U0001f1e6",
    "-5",
    "–5",
    " ",
    "word",
]


@given(
    st.lists(
        st.lists(st.sampled_from(TRICKY) | st.characters(exclude_categories=["Cs"]), max_size=90).map("".join)
    )
)
@settings(deadline=None, max_examples=300)
def test_the_kernel_reads_texts_as_the_definition_says(texts: list[str]) -> None:
    check_numbered(texts)


def test_every_character_is_read_alike_alone_and_between_others() -> None:
    codes = [*range(0x530), *range(0x1E00, 0x2080)]
    for form in ("{}", "x{}y", "{}5", "x {}x -{}", "x{0}{0}", "{}-5"):
        check_numbered([form.format(chr(code), chr(code)) for code in codes])
    check_numbered([chr(code) * 70 for code in codes if code >= 0x80])


def check_numbered(texts: list[str]) -> None:
    vocabulary, encoded = Vocabulary(), [text.encode() for text in texts]
    starts = starts_of(np.array([len(text) for text in encoded], np.int64))
    numbers, of_text, lengths = vocabulary.numbered(b"".join(encoded), starts)
    expected = [records(terms(text)).tolist() for text in texts]
    assert lengths.tolist() == list(map(len, expected))
    order = np.argsort(of_text, kind="stable")
    table = vocabulary.slots.table
    assert {*table[table >= 0].tolist()} == {*numbers.tolist()}  # nothing else was left behind
    assert vocabulary.records[numbers[order]].tolist() == [record for own in expected for record in own]


def test_the_logarithm_is_one() -> None:
    for entries, holding in [
        (1, 0),
        (1, 1),
        (2, 1),
        (10**6, 1),
        (10**6, 5 * 10**5),
        (2**31, 0),
        (9**9, 9**9),
    ]:
        idf = log(1 + (entries - holding + 0.5) / (holding + 0.5))
        assert bm25.most(entries, holding) == pytest.approx(2.2 * idf * bm25.GRID, abs=3.2, rel=1e-9)


def test_a_score_is_between_0_and_1_and_a_word_that_nobody_knows_lowers_it() -> None:
    index = built({(0, 0): "lamp", (0, 1): "the lamp is on", (0, 2): "teapot"})
    same, less = (
        index.lexical_scores("teapot", np.array([2]))[0],
        index.lexical_scores("teapot xyz", np.array([2])),
    )
    assert 0.5 < same < 1
    assert 0 < less[0] < same


def test_of_a_long_question_the_rarest_terms_count() -> None:
    held = {(0, i): " ".join(f"w{j}" for j in range(i, 100)) for i in range(100)}
    index = built(held)
    text = " ".join(f"w{j}" for j in range(99, -1, -1))
    rarest = " ".join(f"w{j}" for j in range(question.MOST_ASKED))
    assert index.lexical_search(text, 9)[1].tolist() == index.lexical_search(rarest, 9)[1].tolist()
    assert index.lexical_search(text, 9)[0].tolist() == index.lexical_search(rarest, 9)[0].tolist()


def test_an_empty_index_and_an_empty_question_find_nothing() -> None:
    assert ContextIndex(4).lexical_search("the", 3)[0].tolist() == []
    index = built({(0, 0): "the", (0, 1): ""})
    assert index.lexical_search("", 3)[0].tolist() == index.lexical_search("the", 0)[0].tolist() == []
    assert index.lexical_scores("", np.array([0, 1])).tolist() == [0, 0]


def test_kernels_and_python_agree_on_what_they_share() -> None:
    sources = "".join((LIBRARY.parent / name).read_text() for name in ("terms.c", "postings.c"))
    expected = {
        "TERM_BYTES": TERM_BYTES,
        "STEM_LETTERS": STEM_LETTERS,
        "MOST_LENGTH": MOST_LENGTH,
        "MOST_TERMS": question.MOST_ASKED,
        "BLOCK_ROWS": 1 << SLOT_BITS,
        "HOLE": HOLE,
        "FIRST": alphabet.FIRST,
        "END": alphabet.END,
    }
    defined = dict(re.findall(r"^#define (\w+) (\w+)", sources, re.MULTILINE))
    assert {name: int(defined[name], 0) for name in expected} == expected
    assert ROWS_OF_A_BLOCK == 1 << SLOT_BITS
