"""The kinds of values that settings have: their limits, their units, and checks that need no server.

Checks raise ValueError for pydantic. No error repeats the value, because it may be a secret.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, Final

from pydantic import AfterValidator, Field, StringConstraints, TypeAdapter, ValidationError
from pydantic_core import SchemaError

from hurnet_stream.core.paper.kernel_features import PATTERN
from hurnet_stream.core.solve.weights import LEAST_RIDGE, MAX_RIDGE
from hurnet_stream.settings.addresses import check_name


@dataclass(frozen=True, slots=True)
class Unit:
    """What a number counts. It stands in the annotation of a setting, and `hurnet settings` shows it."""

    name: str


TOPIC_LENGTH_MAX: Final = 249
_TOPIC: Final = re.compile(rf"[A-Za-z0-9._-]{{1,{TOPIC_LENGTH_MAX}}}")
_EXPRESSION_LENGTH_MAX: Final = 500


def is_topic(name: str) -> bool:
    """Whether Kafka accepts this name for a topic."""
    return _TOPIC.fullmatch(name) is not None and name not in (".", "..")


def matches(expression: str, name: str) -> bool:
    """Whether `expression` describes the whole of a topic's name."""
    # pydantic brings an engine whose time grows only with the length of the name. Python's own tries
    # every way to split the name: (a+)+b and 249 letters would practically never end.
    try:
        _matcher(expression).validate_python(name)
    except ValidationError:
        return False
    return True


@lru_cache(16)
def _matcher(expression: str) -> TypeAdapter[str]:
    # Compiled by itself first: `a)|(b` is wrong, but inside the group `(?:...)` below it would be right.
    _compiled(expression)
    return _compiled(rf"^(?:{expression})$", max_length=TOPIC_LENGTH_MAX)


def _compiled(pattern: str, **limits: Any) -> TypeAdapter[str]:
    return TypeAdapter(Annotated[str, StringConstraints(pattern=pattern, **limits)])


def _checked_features(features: str) -> str:
    if not re.fullmatch(PATTERN, features):
        raise ValueError(
            "must be none, or a kernel and a size, as in gaussian:2048. Kernels: gaussian, laplace, "
            "arccosine. Sizes: 256, 512, 1024, 2048, 4096. Gaussian and laplace may have a width from 0.001 "
            "to 99.999, as in gaussian:2048:0.5"
        )
    return features


def _checked_ridge(ridge: float) -> float:
    if 0 < ridge < LEAST_RIDGE:
        raise ValueError(f"must be 0 or at least {LEAST_RIDGE:.2g}: less can't be told from 0")
    return ridge


def _checked_topic(name: str) -> str:
    if not is_topic(name):
        raise ValueError("is not a topic's name: 1 to 249 of A-Z a-z 0-9 . _ -")
    return name


def _checked_expression(expression: str) -> str:
    if len(expression) > _EXPRESSION_LENGTH_MAX:
        raise ValueError(f"is longer than {_EXPRESSION_LENGTH_MAX} characters")
    try:
        _matcher(expression)
    except SchemaError as error:
        reason = str(error).splitlines()[-1].strip().removeprefix("error: ").removeprefix("SchemaError: ")
        raise ValueError(f"is no regular expression that works here: {reason}") from None
    return expression


def _checked_address(host: str) -> str:
    bare = host.removeprefix("[").removesuffix("]")
    if not re.fullmatch(r"[^\s/\[\]@]+", bare):
        raise ValueError("must be an address or a host's name, as in 127.0.0.1, 0.0.0.0 or ::")
    check_name(bare)
    return bare


Topic = Annotated[str, AfterValidator(_checked_topic)]
Duration = Annotated[float, Unit("seconds")]
"""For a setting with limits of its own: those of `Seconds` would win over them."""
Seconds = Annotated[Duration, Field(ge=0, le=86_400)]
Records = Annotated[int, Unit("records")]
Rows = Annotated[int, Unit("rows")]
Port = Annotated[int, Field(ge=0, le=65_535)]
TopicExpression = Annotated[str, AfterValidator(_checked_expression)]
Address = Annotated[str, AfterValidator(_checked_address)]
KernelFeatures = Annotated[str, AfterValidator(_checked_features)]
Ridge = Annotated[float, Field(ge=0, lt=MAX_RIDGE), AfterValidator(_checked_ridge)]
