"""The header `traceparent`: what is taken for one, and that nothing else does any harm."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hurnet_stream.ports import TraceContext, new_trace, parse_traceparent

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
HEX16, HEX32 = st.from_regex(r"[0-9a-f]{16}", fullmatch=True), st.from_regex(r"[0-9a-f]{32}", fullmatch=True)


@pytest.mark.parametrize(
    ("value", "sampled"),
    [
        (f"00-{TRACE}-{SPAN}-01", True),
        (f"00-{TRACE}-{SPAN}-00", False),
        (f"00-{TRACE}-{SPAN}-03", True),  # a flag that is not known yet
        (f"00-{TRACE}-{SPAN}-fe", False),
        (f"01-{TRACE}-{SPAN}-01", True),  # a later version, which may say more behind
        (f"cc-{TRACE}-{SPAN}-01-what-the-future-holds", True),
    ],
)
def test_what_w3c_allows_is_read(value: str, sampled: bool) -> None:
    assert parse_traceparent(value.encode()) == TraceContext(TRACE, SPAN, sampled)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "00",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-01-more",  # version 00 has four fields
        f"00-{TRACE}-{SPAN}-01\n",
        f" 00-{TRACE}-{SPAN}-01",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-1",
        f"00-{TRACE[:-1]}-{SPAN}-01",
        f"00-{TRACE[:-1]}g-{SPAN}-01",
        f"01-{TRACE}-{SPAN}-01.x",
        f"01-{TRACE}-{SPAN}-01-" + "x" * 1_000_000,
    ],
)
def test_anything_else_is_no_traceparent(value: str) -> None:
    assert parse_traceparent(value.encode()) is None


@given(st.none() | st.binary(max_size=80) | st.from_regex(rb"[0-9a-f]{2}(-[0-9a-f]+){1,5}", fullmatch=True))
def test_whatever_the_bytes_are_ids_are_hexadecimal_or_there_are_none(value: bytes | None) -> None:
    context = parse_traceparent(value)
    if context:
        assert re.fullmatch("[0-9a-f]{32}", context.trace_id)
        assert re.fullmatch("[0-9a-f]{16}", context.span_id)


@given(st.builds(TraceContext, HEX32, HEX16, st.booleans()))
def test_what_is_written_is_read_again(context: TraceContext) -> None:
    name, value = context.header
    assert name == "traceparent"
    if context.trace_id.strip("0") and context.span_id.strip("0"):
        assert parse_traceparent(value) == context


def test_a_new_trace_is_another_each_time_and_sampled() -> None:
    one, other = new_trace(), new_trace()
    assert one.trace_id != other.trace_id
    assert parse_traceparent(one.header[1]) == one
    assert one.sampled
