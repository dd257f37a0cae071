"""Expressions in JMESPath, by which a part of a record is found: what is wrong with one is told at the start.

    value.subject                        right
    subject                              wrong: `subject` is none of value, key, ...; probably value.subject
    join(' ', value.lines                wrong: it ends too early
    joined(value.lines)                  wrong: there is no such function; probably join

JMESPath itself would find the second and the fourth only when a record comes, or never: a name that is not
there is null.
"""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any, Final

ROOTS: Final = (
    "value", "key", "headers", "topic", "partition", "offset", "timestamp", "envelope"
)  # fmt: skip
"""What an expression may begin with."""
OWN_FUNCTIONS: Final = {"lower": 1, "slug": 1, "clamp": 3}
"""Functions that JMESPath does not have, and how many arguments they take (readers/expressions.py)."""
_ALL_AT_ROOT: Final = frozenset(
    (
        "comparator",
        "or_expression",
        "and_expression",
        "not_expression",
        "multi_select_list",
        "multi_select_dict",
        "key_val_pair",
        "function_expression",
    )
)
"""Nodes whose parts all look at what the node itself looks at. In others that is the first part alone: what
follows looks at the result of the part before it."""

Node = dict[str, Any]
"""A node of a parsed expression, as JMESPath makes it: type, value, children."""


def parsed(expression: str) -> Node:
    """The tree of an expression. Raises ValueError, which says where it is wrong and what would be right."""
    from jmespath import exceptions
    from jmespath.parser import Parser

    try:
        tree: Node = Parser().parse(expression).parsed
    except exceptions.EmptyExpressionError:
        raise ValueError("it is empty") from None
    except exceptions.IncompleteExpressionError:
        raise ValueError(f"the expression ends too early, after column {len(expression)}") from None
    except exceptions.LexerError as error:
        raise ValueError(f"column {error.lex_position + 1}: {error.message}") from None
    except exceptions.ParseError as error:
        if error.lex_position >= len(expression):
            raise ValueError(f"the expression ends too early, after column {len(expression)}") from None
        place = f"column {error.lex_position + 1}"
        raise ValueError(f"{place}: {error.token_value!r:.40} is not expected here") from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    for problem in _problems(tree):
        raise ValueError(problem)
    return tree


def roots(tree: Node) -> Iterator[str]:
    """The names at which an expression begins to look."""
    if tree["type"] == "field":
        yield tree["value"]
    elif tree["type"] != "expref":
        children = tree["children"]
        for child in children if tree["type"] in _ALL_AT_ROOT else children[:1]:
            yield from roots(child)


def _problems(tree: Node) -> Iterator[str]:
    for name in roots(tree):
        if name not in ROOTS:
            yield (
                f"{name!r:.80} is none of {', '.join(ROOTS)}, with one of which it must begin;"
                f" did you mean value.{name:.80}?"
            )
    yield from _calls(tree)
    if tree["type"] == "subexpression" and tree["children"][0]["type"] == "not_expression":
        yield "`!` holds for the first name alone: write !(value.x), or value.x == `false`"


def _calls(tree: Node) -> Iterator[str]:
    """What is wrong with calls of functions, anywhere in the tree."""
    from jmespath.functions import Functions

    if tree["type"] == "function_expression":
        name, given = tree["value"], len(tree["children"])
        known = Functions.FUNCTION_TABLE
        if name in OWN_FUNCTIONS:
            wanted, more = OWN_FUNCTIONS[name], False
        elif name in known:
            signature = known[name]["signature"]
            wanted, more = len(signature), bool(signature and signature[-1].get("variadic"))
        else:
            close = get_close_matches(name, [*known, *OWN_FUNCTIONS], 1)
            yield f"there is no function {name:.40}()" + (f"; did you mean {close[0]}()?" if close else "")
            return
        if given < wanted or (given > wanted and not more):
            yield f"{name}() takes {wanted} argument{'s' if wanted > 1 else ''}, and not {given}"
    for child in tree["children"]:
        yield from _calls(child)
