"""Conditions on metadata as a person types them, for `--where`; `hurnet_schemas.filter` says what they mean.

    lang=en                  {"key": "lang", "is": "en"}
    lang!=en                 {"not": {"key": "lang", "is": "en"}}        entries without the key meet it, too
    lang in en,pt            {"key": "lang", "in": ["en", "pt"]}
    city in "Bonn, DE",Rome  {"key": "city", "in": ["Bonn, DE", "Rome"]}
    price>=10                {"key": "price", "at_least": 10}            as numbers
    since<2026-11-28         {"key": "since", "below": "2026-11-28"}     as texts, since it is no number
    version>="10"            {"key": "version", "at_least": "10"}        quotes make a text of it

Several conditions must all be met.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

import click

_FORM = re.compile(
    r"\s*(?P<key>[A-Za-z0-9_.-]{1,64}?)\s*(?P<operator>!=|>=|<=|=|>|<|\sin\s)\s*(?P<value>.*)", re.DOTALL
)
_BOUNDS = {">=": "at_least", ">": "above", "<=": "at_most", "<": "below"}
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?")
_ITEM = re.compile(r'\s*("(?:[^"\\]|\\.)*"\s*|[^,]*),', re.DOTALL)
"""Of a list that ends in a comma. Those in quotes may have commas in them."""
_RIGHT = 'KEY=VALUE, KEY!=VALUE, "KEY in A,B" or KEY>=NUMBER (also >, <=, <)'


def condition(text: str) -> dict[str, Any]:
    """One condition. Raises `BadParameter` if it is none."""
    form = _FORM.fullmatch(text)
    if form is None:
        raise click.BadParameter(f"{text!r} is not {_RIGHT}", param_hint="--where")
    key, operator, value = form["key"], form["operator"].strip(), form["value"].strip()
    if operator == "in":
        return {"key": key, "in": [_text(each.strip()) for each in _ITEM.findall(value + ",")]}
    if operator in _BOUNDS:
        return {"key": key, _BOUNDS[operator]: _bound(value)}
    equal = {"key": key, "is": _text(value)}
    return equal if operator == "=" else {"not": equal}


def joined(given: str | None, where: Sequence[str]) -> dict[str, Any] | None:
    """The filter of --filter and all --where; None if there is none. Raises `BadParameter`."""
    conditions = [condition(text) for text in where]
    if given is not None:
        conditions.insert(0, _parsed(given))
    return {"and": conditions} if len(conditions) > 1 else next(iter(conditions), None)


def _parsed(given: str) -> dict[str, Any]:
    try:
        read = json.loads(given)
    except (ValueError, RecursionError) as error:
        raise click.BadParameter(f"is not JSON: {error}", param_hint="--filter") from None
    if not isinstance(read, dict):
        raise click.BadParameter(
            'is no condition, such as {"key": "lang", "is": "en"}', param_hint="--filter"
        )
    return read


def _text(value: str) -> str:
    """A value, without the quotes around it if there are any."""
    if len(value) > 1 and value[0] == value[-1] == '"':
        try:
            read = json.loads(value)
        except ValueError:
            return value
        return read if isinstance(read, str) else value
    return value


def _bound(value: str) -> float | str:
    if not _NUMBER.fullmatch(value):
        return _text(value)
    return int(value) if re.fullmatch(r"[+-]?\d{1,15}", value) else float(value)
