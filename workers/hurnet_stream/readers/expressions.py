"""An expression in JMESPath over one record, compiled once.

    over        {"value": {"subject": "Login", "tags": ["web", "new"]}, "key": "7", ...}
    value.subject                       "Login"
    value.tags[0]                       "web"
    join(' ', value.tags)               "web new"
    value.body                          null: what is not there is no error
    join(' ', value.body)               an error: join() takes a list, and this is null

Beside the functions of JMESPath there are three that people's topics need: lower(text); slug(text), a text as
a name that a context may have; and clamp(number, least, most), which keeps a number within bounds.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import jmespath
from jmespath import exceptions, functions
from jmespath.visitor import Options

from hurnet_stream.readers.values import kind
from hurnet_stream.settings import expressions

_NAME_MOST: Final = 64
"""Characters of a context's name."""


def _lower(_functions: object, text: str) -> str:
    return text.lower()


def _slug(_functions: object, text: str) -> str:
    name = re.sub(r"[^a-z0-9._]+", "-", text[: 4 * _NAME_MOST].lower())
    return name.lstrip("-._")[:_NAME_MOST].rstrip("-._")


def _clamp(_functions: object, number: float | None, least: float, most: float) -> float:
    return min(max(number or 0, least), most)


def _with_ours() -> Any:
    """JMESPath's functions, and ours."""
    text, number, or_null = {"types": ["string"]}, {"types": ["number"]}, {"types": ["number", "null"]}
    ours = {
        "lower": (_lower, (text,)),
        "slug": (_slug, (text,)),
        "clamp": (_clamp, (or_null, number, number)),
    }
    table = functions.Functions()
    table.FUNCTION_TABLE = functions.Functions.FUNCTION_TABLE | {
        name: {"function": function, "signature": signature} for name, (function, signature) in ours.items()
    }
    return table


class Expression:
    """One compiled expression, and what it is of, as in `text = value.subject`."""

    def __init__(self, setting: str, source: str) -> None:
        tree = expressions.parsed(source)
        self.place = f"{setting} = {source:.120}"
        self.looks_at = frozenset(expressions.roots(tree))
        """With which of the parts of a record it begins."""
        self._compiled = jmespath.compile(source)
        self._options = Options(custom_functions=_with_ours())

    def find(self, record: Mapping[str, Any]) -> Any:
        """What the expression finds in a record; None if nothing is there. Raises ValueError, which says what
        is wrong and would be right."""
        try:
            return self._compiled.search(record, options=self._options)
        except exceptions.JMESPathTypeError as error:
            takes = " or ".join(error.expected_types)
            raise ValueError(
                f"{error.function_name}() takes {takes}, and this is {kind(error.current_value)}"
                " (`value.x || 'other'` puts something in its place)"
            ) from None
        except exceptions.JMESPathError as error:
            raise ValueError(f"the expression can't be applied ({type(error).__name__})") from None
        # A value may be as deep as its format allows, and sorting compares whatever is there.
        except (RecursionError, TypeError, ValueError, OverflowError, KeyError, AttributeError) as error:
            raise ValueError(
                f"the expression can't be applied to this value ({type(error).__name__})"
            ) from None
