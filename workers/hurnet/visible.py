"""Text from outside, made safe to show: nothing in it moves a cursor, ends a line or turns others around.

A terminal obeys control characters and escape sequences, and the characters that set the direction of writing
make a line read otherwise than it stands. Each of them is shown as an escape (`\\x1b`, `\\u202e`) instead of
being obeyed. The joiners of emoji and of Indic and Persian writing, U+200C and U+200D, stay: words need them.
"""

from __future__ import annotations

import json
import re

_UNSAFE = re.compile(
    "["
    "\x00-\x1f\x7f-\x9f"  # controls, the line ends among them
    "\u2028\u2029"  # line and paragraph separators
    "\ud800-\udfff"  # lone surrogates: bytes that were no text
    "\xad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"  # invisible, or bidi
    "\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"  # formatting of rare scripts
    "\U000e0000-\U000e007f"  # tags, which hide text
    "]"
)
_NAMED = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def visible(text: str, keep: str = "") -> str:
    """`text` with whatever a terminal could obey as an escape; the characters in `keep` stay as they are."""
    return _UNSAFE.sub(lambda found: found[0] if found[0] in keep else _escape(found[0]), text)


def visible_json(value: object, *, ascii_only: bool = False) -> str:
    """`value` as JSON on one line, with the same characters as JSON's own escapes: it still means the same.

    `ascii_only` is for a stream that can't carry other characters."""
    return escaped_json(json.dumps(value, ensure_ascii=ascii_only))


def escaped_json(document: str) -> str:
    """A JSON document on one line: unsafe characters can only be inside its strings."""
    return _UNSAFE.sub(_json_escape, document)


def _json_escape(found: re.Match[str]) -> str:
    escaped = json.dumps(found[0])[1:-1]
    return "\\u007f" if escaped == "\x7f" else escaped  # the one control that JSON leaves as it is


def below(value: float, limit: float) -> str:
    """A number that is below `limit`, in as many decimals as it takes to see that: 0.2996, not 0.30."""
    texts = (f"{value:.{decimals}f}" for decimals in range(2, 20))
    return next((text for text in texts if float(text) < limit), repr(value))


def _escape(character: str) -> str:
    code = ord(character)
    if character in _NAMED:
        return _NAMED[character]
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
