"""JSON with the id of its schema before it: it is checked against the schema, within a number of steps.

Validators follow what a schema says, and a schema may say everything twice at each level: 50 levels would
take 2^50 steps. So each keyword that is tried is counted. Patterns are matched by an engine whose time grows
only with the length of the text; those that it does not know (looking ahead or back) are not checked. No
schema is fetched from anywhere: what is referred to comes from the registry with the schema.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Annotated, Any, Final

from jsonschema import exceptions, validators
from jsonschema.validators import Draft7Validator
from pydantic import StringConstraints, TypeAdapter, ValidationError
from pydantic_core import SchemaError
from referencing import Registry, Resource
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT7

from hurnet_schemas import InvalidMessage
from hurnet_stream.ports import Schema
from hurnet_stream.readers.formats import Json
from hurnet_stream.readers.wire import HEADER_BYTES

STEPS_MOST: Final = 50_000
"""Keywords that are tried for one record: a second's work."""
_UNIQUE_MOST: Final = 1_000
"""Items of a list that are compared with each other."""
_JSON: Final = Json()


class _TooManySteps(Exception):
    pass


class _Steps:
    left = STEPS_MOST


def compiled(schema: Schema) -> Callable[[bytes], Any]:
    """What reads and checks values of this schema. Raises `InvalidMessage` if it is wrong."""
    try:
        document = json.loads(schema.text)
        referred = {name: json.loads(text) for name, text in schema.references.items()}
        base = validators.validator_for(document, default=Draft7Validator)
        for each in (document, *referred.values()):
            _speak_one_dialect(each)
        steps = _Steps()
        counted = validators.extend(base, {name: _counted(check, steps) for name, check in _checks(base)})
        checker = counted(document, registry=_registry(referred))
        _bounded(steps, lambda: base.check_schema(document))
    except (exceptions.SchemaError, ValueError, TypeError, AttributeError, RecursionError) as error:
        why = f" at {_path(error)}" if isinstance(error, exceptions.SchemaError) else ""
        raise InvalidMessage(
            "invalid-message", f"it is no JSON Schema{why}: {type(error).__name__}"
        ) from None

    def decode(raw: bytes) -> Any:
        value = _JSON.decode(raw[HEADER_BYTES:])
        problem = _bounded(steps, lambda: next(checker.iter_errors(value), None))
        if problem is not None:
            raise InvalidMessage(
                "invalid-message",
                f"the value breaks it at {_path(problem)}: {problem.validator or 'nothing is allowed there'}",
            )
        return value

    return decode


def _bounded(steps: _Steps, check: Callable[[], Any]) -> Any:
    steps.left = STEPS_MOST
    try:
        return check()
    except _TooManySteps:
        raise InvalidMessage("invalid-message", f"checking takes more than {STEPS_MOST:,} steps") from None
    except RecursionError:
        raise InvalidMessage("invalid-message", "it refers to itself without end") from None
    except Unresolvable as error:
        raise InvalidMessage(
            "invalid-message", f"it refers to {error.ref!r:.100}, which is not registered with it"
        ) from None
    except exceptions.SchemaError:
        raise
    except Exception as error:  # whatever a schema can do to the library
        raise InvalidMessage("invalid-message", f"checking fails: {type(error).__name__}") from None


def _speak_one_dialect(part: Any) -> None:
    """Without `$schema`, by which a part could name a dialect whose steps nobody counts."""
    if isinstance(part, dict):
        part.pop("$schema", None)
    for inner in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
        _speak_one_dialect(inner)


def _registry(referred: Mapping[str, Any]) -> Any:
    resources = [
        (name, Resource.from_contents(document, default_specification=DRAFT7))
        for name, document in referred.items()
    ]
    return Registry().with_resources(resources)


def _checks(base: Any) -> Iterator[tuple[str, Any]]:
    for name, check in base.VALIDATORS.items():
        yield name, _OURS.get(name, check)


def _counted(check: Any, steps: _Steps) -> Any:
    def counting(validator: Any, value: Any, instance: Any, schema: Any) -> Any:
        steps.left -= 1
        if steps.left < 0:
            raise _TooManySteps
        return check(validator, value, instance, schema) or ()

    return counting


def _pattern(_validator: Any, pattern: Any, instance: Any, _schema: Any) -> Iterator[Any]:
    if isinstance(instance, str) and not _matches(pattern, instance):
        yield exceptions.ValidationError("pattern")


def _pattern_properties(validator: Any, patterns: Mapping[str, Any], instance: Any, _schema: Any) -> Any:
    if isinstance(instance, dict):
        for pattern, subschema in patterns.items():
            for name, value in instance.items():
                if _matches(pattern, name):
                    yield from validator.descend(value, subschema, path=name, schema_path=pattern)


def _additional(validator: Any, allowed: Any, instance: Any, schema: Any) -> Iterator[Any]:
    if not isinstance(instance, dict):
        return
    named, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
    for name, value in instance.items():
        if name not in named and not any(_matches(pattern, name) for pattern in patterns):
            yield from validator.descend(value, allowed, path=name)


def _unique(validator: Any, wanted: Any, instance: Any, schema: Any) -> Any:
    if isinstance(instance, list) and len(instance) <= _UNIQUE_MOST:
        return Draft7Validator.VALIDATORS["uniqueItems"](validator, wanted, instance, schema)
    return ()


def _unchecked(_validator: Any, _wanted: Any, _instance: Any, _schema: Any) -> Any:
    """Python's own engine for patterns is behind this keyword."""
    return ()


_OURS: Final[Mapping[str, Any]] = {
    "pattern": _pattern,
    "patternProperties": _pattern_properties,
    "additionalProperties": _additional,
    "uniqueItems": _unique,
    "unevaluatedProperties": _unchecked,
}


def _matches(pattern: str, text: str) -> bool:
    adapter = _engine(pattern)
    if adapter is None:
        return True
    try:
        adapter.validate_python(text)
    except ValidationError:
        return False
    return True


@lru_cache(1_000)
def _engine(pattern: str) -> TypeAdapter[str] | None:
    try:
        return TypeAdapter(Annotated[str, StringConstraints(pattern=pattern)])
    except SchemaError:
        return None


def _path(error: Any) -> str:
    return "/".join(str(part)[:40] for part in error.absolute_path) or "its top"
