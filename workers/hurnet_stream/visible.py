"""Makes text from outside safe to show on a terminal.

A terminal obeys control characters and escape sequences: they can move the cursor, or hide what was printed
before. Characters that set the direction of writing make a line look different from what it is. Each of these
characters is shown as an escape (`\\x1b`, `\\u202e`) instead. U+200C and U+200D stay: emoji and the scripts
of India and Persia need them to join letters.
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
    """`text` with each unsafe character as an escape. The characters in `keep` stay as they are."""
    return _UNSAFE.sub(lambda unsafe: unsafe[0] if unsafe[0] in keep else _escape(unsafe[0]), text)


def visible_json(value: object, *, ascii_only: bool = False) -> str:
    """`value` as JSON on one line. Unsafe characters become JSON's own escapes, so it still means the same.

    With `ascii_only` all other characters outside ASCII do, too: some streams can't carry them."""
    return escaped_json(json.dumps(value, ensure_ascii=ascii_only))


def escaped_json(document: str) -> str:
    """A JSON document on one line with its unsafe characters as escapes. They can only be inside strings."""
    return _UNSAFE.sub(_json_escape, document)


def _json_escape(unsafe: re.Match[str]) -> str:
    escaped = json.dumps(unsafe[0])[1:-1]
    # JSON leaves one control character, DEL, as it is.
    return "\\u007f" if escaped == "\x7f" else escaped


def below(value: float, limit: float) -> str:
    """A number that is below `limit`, with as many decimals as it takes to see that: 0.2996, not 0.30."""
    texts = (f"{value:.{decimals}f}" for decimals in range(2, 20))
    return next((text for text in texts if float(text) < limit), repr(value))


def _escape(character: str) -> str:
    code = ord(character)
    if character in _NAMED:
        return _NAMED[character]
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
