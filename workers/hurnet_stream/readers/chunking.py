"""Long texts are cut into chunks, each of which becomes an entry of its own.

    a text of 120 characters                    its chunks of at most 60
    # Returns                                   # Returns ↵ You have 30 days to send it back.
    You have 30 days to send it back.           We pay the postage.
    We pay the postage. The money is on         The money is on your account after a week.
    your account after a week.

A chunk holds as much as it may, and ends at the best place that there is: where most line ends follow each
other, which is between paragraphs, then at the end of a line, a sentence or a word. What a reader sees as one
character, a flag or a letter with its accents, is only cut if it is longer than a chunk. Nothing but white
space at the ends of chunks is lost.

The library looks ahead to the end of what it is given, which for a text without line ends takes time with the
square of its length: 222 s for 800,000 Chinese characters. So it is given a window of a few chunks. All that
it finds there but the last chunk, which the end of the window may have cut short, is as good as final, and
the next window begins where that last one began.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from semantic_text_splitter import TextSplitter

from hurnet_schemas import InvalidMessage
from hurnet_schemas.base import MAX_TEXT, printable
from hurnet_stream.core.places import CHUNKS_MOST

WINDOW: Final = 8
"""Chunks that fit into what the library sees at once."""


class Chunking:
    """Cuts texts into chunks of at most `most` characters, 1 to 16,384. A character is a code point, as in
    all limits of texts."""

    def __init__(self, most: int) -> None:
        if not 1 <= most <= MAX_TEXT:
            raise ValueError(f"a chunk has 1 to {MAX_TEXT:,} characters, and not {most:,}")
        self._most = most
        self._splitter = TextSplitter(most)

    def __call__(self, text: str) -> list[str]:
        """The chunks of the text, in their order. A text that is no longer than a chunk stays as it is.
        Raises `InvalidMessage` if there are more chunks than a record may have, or if a character is none of
        a text's.
        """
        if len(text) <= self._most:
            return [text]
        try:
            printable(text)
        except ValueError as error:
            raise InvalidMessage("invalid-message", f"text: {error}") from None
        chunks: list[str] = []
        for chunk in self._chunks(text):
            if len(chunks) == CHUNKS_MOST:
                raise InvalidMessage("too-long", self._too_many(len(text)))
            chunks.append(chunk)
        return chunks or [
            text[: self._most]
        ]  # white space alone, which whoever reads the chunk refuses as blank

    def _chunks(self, text: str) -> Iterator[str]:
        begin, window = 0, WINDOW * self._most
        while begin < len(text):
            seen = text[begin : begin + window]
            found = self._splitter.chunk_indices(seen)
            begin += len(seen)
            if begin < len(text) and found and found[-1][0] > 0:
                begin += found[-1][0] - len(
                    seen
                )  # the last chunk is found again, from its first character on
                found.pop()
            yield from (chunk for _, chunk in found)

    def _too_many(self, length: int) -> str:
        return (
            f"cut into pieces of at most {self._most:,} characters the text of {length:,} has more than"
            f" {CHUNKS_MOST:,} of them; a larger `chunk` for the topic makes fewer"
        )
