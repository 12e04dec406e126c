"""Types of parameters, and descriptions of their allowed values in words."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from annotated_types import Ge, Gt, Le, MinLen
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from untrained.errors import ParameterError, UntrainedError, quoted, unknown_name
from untrained.limits import COUNT, SECONDS
from untrained.seeds import LARGEST

Schema = Mapping[str, Any]

T = TypeVar("T")


def accepted(check: Callable[[Any], object]) -> AfterValidator:
    """Refuse a value for which `check` raises an `UntrainedError`."""

    def validated(value: T) -> T:
        try:
            check(value)
        except UntrainedError as error:
            raise ValueError(str(error)) from error
        return value

    return AfterValidator(validated)


def each(check: Callable[[Any], object]) -> AfterValidator:
    """Refuse a list with a value for which `check` raises an `UntrainedError`."""
    return accepted(lambda values: [check(value) for value in values])


def each_once(canonical: Callable[[Any], object] = lambda value: value) -> AfterValidator:
    """Refuse a list with two spellings of one thing, such as its name and its address."""

    def check(values: tuple[Any, ...]) -> None:
        found: dict[object, object] = {}
        for value in values:
            own = canonical(value)
            if own in found:
                raise ParameterError(
                    f"{quoted(found[own])} and {quoted(value)} are the same: keep one"
                )
            found[own] = value

    return accepted(check)


Seed = Annotated[int, Ge(0), Le(LARGEST)]
Count = Annotated[int, Ge(1), Le(COUNT)]
Several = Annotated[int, Ge(2), Le(COUNT)]
Number = Annotated[float, Ge(0), Le(SECONDS), Field(allow_inf_nan=False)]
_Unique = (each_once(), Field(strict=False, json_schema_extra={"uniqueItems": True}))
Names = Annotated[tuple[str, ...], MinLen(1), *_Unique]
Seeds = Annotated[tuple[Seed, ...], MinLen(1), *_Unique]
SeedsOrNone = Annotated[tuple[Seed, ...], *_Unique]
CostsOrNone = Annotated[tuple[str, ...], *_Unique]
Batches = Annotated[tuple[Several, ...], MinLen(1), *_Unique]
Epochs = Annotated[tuple[Number, ...], MinLen(1), *_Unique]
Fraction = Annotated[float, Gt(0), Le(1), Field(allow_inf_nan=False)]


class Section(BaseModel):
    """A section of the parameters."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,  # neither 1.0 nor true is the integer 1
        use_attribute_docstrings=True,
    )


@dataclass(frozen=True)
class Key:
    """A key of the parameters.

    Attributes:
        path: `key` or `section.key`.
        allowed: the allowed values in words.
        description: the meaning of the key.
    """

    path: str
    allowed: str
    description: str


def keys_of(schema: Schema) -> dict[str, Key]:
    """Return the keys of a JSON schema by their paths, in its order."""
    found = {}
    for name, part in schema["properties"].items():
        section = _resolved(part, schema)
        inside = section.get("properties")
        own = {f"{name}.{key}": one for key, one in inside.items()} if inside else {name: section}
        for path, one in own.items():
            found[path] = Key(path, _in_words(one), " ".join(one["description"].split()))
    return found


def _resolved(part: Schema, schema: Schema) -> Schema:
    reference = part.get("$ref")
    return schema["$defs"][reference.rpartition("/")[2]] if reference else part


def _in_words(schema: Schema, *, several: bool = False) -> str:
    """Describe the values that a JSON schema allows.

    Args:
        schema: the schema of a value, or of a section.
        several: whether the noun is in the plural, for values of a list.
    """
    if "properties" in schema:
        return f"a section of {', '.join(schema['properties'])}"
    if "anyOf" in schema:
        return " or ".join(_in_words(part) for part in schema["anyOf"])
    if "enum" in schema:
        return " or ".join(schema["enum"])
    if "const" in schema:
        return str(schema["const"])
    if schema["type"] == "array":
        some = "one or more" if schema.get("minItems") else "none or more"
        return f"a list of {some} different {_in_words(schema['items'], several=True)}"
    noun = _NOUNS[schema["type"]][several]
    if "exclusiveMinimum" in schema:
        return f"{noun} above {schema['exclusiveMinimum']}, at most {schema['maximum']}"
    if "minimum" in schema:
        noun += f", {schema['minimum']} or larger"
    largest = schema.get("maximum")
    if largest is None:
        return noun
    return f"{noun}, below 2^63" if largest == LARGEST else f"{noun}, at most {largest}"


#: Nouns for the types of JSON: singular and plural.
_NOUNS = {
    "boolean": ("true or false", "true or false"),
    "integer": ("an integer", "integers"),
    "null": ("null", "null"),
    "number": ("a number", "numbers"),
    "string": ("text", "names"),
}


def complaint_of(error: ValidationError, schema: Schema) -> str:
    """Describe one of some validation errors in a line, by the JSON schema of the model.

    A misspelled key is described rather than the key that is then missing.
    """
    order = ("extra_forbidden", "missing")
    found = error.errors(include_url=False)
    first = min(found, key=lambda one: (*order, one["type"]).index(one["type"]))
    part = schema
    path = ""
    for step in first["loc"]:
        within = part.get("properties", {})
        if isinstance(step, int) and "items" in part:
            path, part = f"{path}[{step}]", part["items"]
        elif step in within:
            path, part = f"{path}.{step}".lstrip("."), _resolved(within[step], schema)
        elif first["type"] in ("extra_forbidden", "invalid_key"):
            unknown = unknown_name("key", str(step), within)
            return f"{path}.{step}: {unknown}".lstrip(".")
        # otherwise it is a branch of a union, which is described as a whole
    if first["type"] == "missing":
        return f"{path} is missing: add {_in_words(part)}"
    if first["type"] == "value_error":
        return f"{path}: {first['ctx']['error']}"
    return f"{path}: {quoted(first['input'])} is wrong: write {_in_words(part)}"
