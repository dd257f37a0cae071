"""Names of entries, shards and watermarks: read in one way, written in one way, and told what is wrong."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hurnet_schemas import Answer, Coordinates, InvalidMessage, Query
from hurnet_schemas import places as names
from hurnet_schemas.places import OFFSET_MOST, PARTITION_MOST, Place
from hurnet_stream.core.places import CHUNKS_MOST, PARTITIONS_MOST, SPAN, Topics, last_position
from hurnet_stream.places import NotRead, Places

THREE = Places.of(Topics({"tickets": 1, "faq.v2": 2}), "texts")
TOPICS = st.from_regex(names.TOPIC, fullmatch=True)
PLACES = st.builds(
    Place,
    st.none() | TOPICS,
    st.integers(0, PARTITION_MOST),
    st.integers(0, OFFSET_MOST),
    st.integers(0, names.CHUNK_MOST),
)
SHARDS = st.builds(names.shard_name, st.none() | TOPICS, st.integers(0, PARTITION_MOST))


@given(PLACES)
def test_a_place_is_read_as_it_is_written(place: Place) -> None:
    assert names.place(str(place)) == place
    coordinates = Coordinates.of(place)
    assert Coordinates.model_validate_json(coordinates.encode()).place == place


@given(st.dictionaries(SHARDS, st.integers(0, OFFSET_MOST), max_size=5))
def test_watermarks_are_read_as_they_are_written(marks: dict[names.ShardName, int]) -> None:
    assert names.watermarks(names.watermarks_text(marks)) == marks
    query = Query(text="hi", min_watermarks=marks)
    assert Query.decode(query.encode()).min_watermarks == marks


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("2/89", Place(None, 2, 89)),
        ("tickets/3/41", Place("tickets", 3, 41)),
        ("tickets/3/41#2", Place("tickets", 3, 41, 2)),
        ("007/0", Place(None, 7, 0)),
        ("7/3/41", Place("7", 3, 41)),
    ],
)
def test_names(name: str, place: Place) -> None:
    assert names.place(name) == place


GARBAGE = [
    *(
        "",
        "/",
        "2",
        "2/",
        "/89",
        "2/89/",
        "a/b/c/d",
        "tickets/3/",
        "tickets/3",
        "tickets//41",
        " 2/89",
        "2/89 ",
    ),
    *(
        "2/-1",
        "-2/1",
        "+2/1",
        "2/1.0",
        "2/0x1",
        "²/1",
        "٣/1",
        "2/1e3",
        "tick ets/3/41",
        "tickéts/3/41",
        "2/1#",
    ),
    *(
        "2/1#x",
        "2/1#-1",
        "2/1#1024",
        "2/1#99999",
        "2/1##1",
        "2147483648/0",
        "0/" + "9" * 19,
        "0/" + "9" * 5_000,
    ),
    *("t" * 250 + "/3/41", "tickets/3/41#2\n", "tickets\\3\\41", "../3/41/..", "\x00/1/2", "2/89#1#2"),
]


@pytest.mark.parametrize("name", GARBAGE)
def test_what_is_no_place_is_told(name: str) -> None:
    with pytest.raises(ValueError, match=r"PARTITION/OFFSET|above") as told:
        names.place(name)
    assert len(str(told.value)) < 200


@pytest.mark.parametrize("name", ["2/89", "answers/0/42#1", "answers", "answers/0", "", "a/b/0/42"])
def test_what_is_no_record_is_told(name: str) -> None:
    with pytest.raises(ValueError, match="OFFSET"):
        names.record_place(name)


@pytest.mark.parametrize(
    "text", ["1", "1=", "=1", "a=1", "1=-1", "1=2=3", "1=2;3=4", "tickets/=1", "/1=1", "0=41,,1=2", "t/1/2=3"]
)
def test_what_are_no_watermarks_is_told(text: str) -> None:
    with pytest.raises(ValueError, match="PARTITION=OFFSET"):
        names.watermarks(text)


def test_of_a_shard_that_is_named_twice_the_higher_offset_counts() -> None:
    assert names.watermarks("tickets/3=7, tickets/03=5,0=1,0=2") == {"tickets/3": 7, 0: 2}


def test_shards_stand_in_the_order_of_their_numbers() -> None:
    marks: dict[names.ShardName, int] = {"b/10": 1, 10: 1, "b/9": 1, "a/0": 1, 9: 1}
    assert names.watermarks_text(marks) == "9=1,10=1,a/0=1,b/9=1,b/10=1"


@pytest.mark.parametrize(
    ("entry", "name", "record"),
    [
        ((2, 89), "2/89", "texts/2/89"),
        ((PARTITIONS_MOST + 3, 41 * SPAN), "tickets/3/41", "tickets/3/41"),
        ((PARTITIONS_MOST + 3, 41 * SPAN + 2), "tickets/3/41#2", "tickets/3/41"),
        ((2 * PARTITIONS_MOST, 0), "faq.v2/0/0", "faq.v2/0/0"),
    ],
)
def test_an_entry_has_the_name_of_its_record(entry: tuple[int, int], name: str, record: str) -> None:
    assert (THREE.name(entry), THREE.record(entry)) == (name, record)
    assert THREE.entry(names.place(name)) == entry


def test_the_topic_of_texts_may_be_named() -> None:
    assert THREE.entry(names.place("texts/2/89")) == (2, 89)
    assert THREE.positions({"texts/2": 9, 2: 5}) == {2: 9}
    assert names.without_topic({"texts/2": 9, 2: 5, "tickets/3": 1}, "texts") == {2: 9, "tickets/3": 1}


@given(st.integers(0, 2), st.integers(0, PARTITIONS_MOST - 1), st.integers(0, OFFSET_MOST // SPAN - 1))
def test_a_watermark_is_all_chunks_of_its_record(number: int, partition: int, offset: int) -> None:
    shard = number * PARTITIONS_MOST + partition
    mark = last_position(shard, offset)
    seen = THREE.seen({shard: mark})
    assert (list(seen.values()), THREE.positions(seen)) == ([offset], {shard: mark})


def test_a_record_of_which_a_part_is_in_is_not_in() -> None:
    shard = PARTITIONS_MOST + 3
    assert THREE.seen({shard: 41 * SPAN + 2}) == {"tickets/3": 40}
    assert THREE.beyond({shard: 41 * SPAN + CHUNKS_MOST, 0: 7}) == {}
    assert THREE.seen({shard: 2}) == THREE.seen({0: -1}) == {}


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("ticket/3/41", "reads no topic 'ticket' here: it reads faq.v2, texts, tickets"),
        ("65536/0", "no topic has a partition 65536"),
        ("tickets/65536/0", "no topic has a partition 65536"),
        (f"tickets/3/{OFFSET_MOST}", "no record has so high an offset"),
        ("2/89#1", "has no entry 1"),
        (f"tickets/3/41#{CHUNKS_MOST}", "has no entry 511"),
    ],
)
def test_an_entry_that_no_store_of_these_topics_has_is_told(name: str, why: str) -> None:
    with pytest.raises(NotRead, match=why):
        THREE.entry(names.place(name))


def test_a_shard_of_another_topic_is_told() -> None:
    with pytest.raises(NotRead, match="reads no topic 'x'"):
        THREE.shard("x/1")
    with pytest.raises(NotRead, match="reads no topic 'x'"):
        THREE.positions({"x/1": 1})


@pytest.mark.parametrize(
    "fields",
    [
        {"min_watermarks": {"tickets/x": 1}},
        {"min_watermarks": {"/3": 1}},
        {"min_watermarks": {"tickets/2147483648": 1}},
        {"min_watermarks": {"tickets/3": -1}},
        {"min_watermarks": {f"{'t' * 250}/3": 1}},
        {"exclude": {"topic": "tick ets", "partition": 0, "offset": 1}},
        {"exclude": {"topic": "", "partition": 0, "offset": 1}},
        {"exclude": {"partition": 0, "offset": 1, "chunk": 1024}},
        {"exclude": {"partition": 0, "offset": 1, "chunk": -1}},
    ],
)
def test_queries_name_what_can_be(fields: dict[str, object]) -> None:
    with pytest.raises(InvalidMessage, match=next(iter(fields))):
        Query.decode(json.dumps({"text": "hi", **fields}).encode())


def test_with_one_topic_nothing_changes_on_the_wire() -> None:
    """Bytes as the version before wrote them."""
    query = Query(text="hi", min_watermarks={0: 17, 3: 2}, exclude=Coordinates(partition=0, offset=4))
    assert query.encode() == (
        b'{"v":1,"text":"hi","context":"default","top_k":1,"min_watermarks":{"0":17,"3":2},'
        b'"exclude":{"partition":0,"offset":4}}'
    )
    raw = (
        b'{"v":1,"id":"q","outcome":"answered","answer":"on","candidates":[{"answer":"on","scores":{"combined":'
        b'0.9,"meaning":0.9,"spelling":0.8,"memory":0.95,"lexical":0.4,"words":0.7},"entry":{"partition":0,'
        b'"offset":17},"text":"turn on","metadata":{}}],"neighbours":[{"entry":{"partition":1,"offset":2},'
        b'"text":"a","answer":"a","similarity":0.5,"metadata":{}}],"receipt":{"query":"queries/0/3","context":'
        b'"home","exclude":{"partition":0,"offset":4},"deleting":{"1":7},"rows":12,"embedder":"e",'
        b'"fingerprint":"f","watermarks":{"0":17,"1":3},"weights":{"version":2,"watermarks":{"0":17},"count":12,'
        b'"ridge":0.1},"threshold":0.3,"seconds":0.004}}'
    )
    assert Answer.decode(raw).encode() == raw
