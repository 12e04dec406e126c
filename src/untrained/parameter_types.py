"""Types of parameters, and words for what may stand under a key of a model of them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from annotated_types import Ge, Gt, Le, MinLen
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from untrained.errors import ParameterError, UntrainedError, unknown_name

Schema = Mapping[str, Any]

T = TypeVar("T")


def accepted(check: Callable[[Any], object]) -> AfterValidator:
    """Refuse a value for which `check` raises an error of the user's."""

    def validated(value: T) -> T:
        try:
            check(value)
        except UntrainedError as error:
            raise ValueError(str(error)) from error
        return value

    return AfterValidator(validated)


def each(check: Callable[[Any], object]) -> AfterValidator:
    """Refuse a list with a value for which `check` raises an error of the user's."""
    return accepted(lambda values: [check(value) for value in values])


def each_once(canonical: Callable[[str], object]) -> AfterValidator:
    """Refuse a list that names one thing twice, for example by its name and by its address."""

    def check(names: tuple[str, ...]) -> None:
        found: dict[object, str] = {}
        for name in names:
            same = found.setdefault(canonical(name), name)
            if same != name:
                raise ParameterError(f"{same!r} and {name!r} are the same: keep one")

    return accepted(check)


def _check_different(values: tuple[Any, ...]) -> None:
    for value in values:
        if values.count(value) > 1:
            raise ParameterError(f"{value!r} is there twice: keep one")


Seed = Annotated[int, Ge(0), Le(2**63 - 1)]
Count = Annotated[int, Ge(1)]
Several = Annotated[int, Ge(2)]
Number = Annotated[float, Ge(0), Field(allow_inf_nan=False)]
_Unique = (
    accepted(_check_different),
    Field(strict=False, json_schema_extra={"uniqueItems": True}),
)
Names = Annotated[tuple[str, ...], MinLen(1), *_Unique]
Seeds = Annotated[tuple[Seed, ...], MinLen(1), *_Unique]
SeedsOrNone = Annotated[tuple[Seed, ...], *_Unique]
Batches = Annotated[tuple[Several, ...], MinLen(1), *_Unique]
Epochs = Annotated[tuple[Number, ...], MinLen(1), *_Unique]
Fraction = Annotated[float, Gt(0), Le(1), Field(allow_inf_nan=False)]


class Section(BaseModel):
    """Parameters that belong together."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,  # neither 1.0 nor true is the integer 1
        use_attribute_docstrings=True,
    )


@dataclass(frozen=True)
class Key:
    """What is known of a key.

    Attributes:
        path: `key` or `section.key`.
        allowed: what may stand there, in words.
        description: what it means.
    """

    path: str
    allowed: str
    description: str


def keys_of(schema: Schema) -> dict[str, Key]:
    """List the keys of a model by their paths, in its order, from its JSON schema."""
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
    """What a JSON schema allows, in words.

    Args:
        schema: of one value, or of a section.
        several: whether values in a list are described.
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
    return noun if schema.get("maximum") is None else f"{noun}, below 2^63"


#: Types of JSON in words: one value, and several.
_NOUNS = {
    "boolean": ("true or false", "true or false"),
    "integer": ("an integer", "integers"),
    "null": ("null", "null"),
    "number": ("a number", "numbers"),
    "string": ("text", "names"),
}


def complaint_of(error: ValidationError, schema: Schema) -> str:
    """Describe the most telling of some errors in one line, by the JSON schema of the model.

    A misspelled key comes before the key that is then missing.
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
        # else a branch of a union, which is described as a whole
    if first["type"] == "missing":
        return f"{path} is missing: add {_in_words(part)}"
    if first["type"] == "value_error":
        return f"{path}: {first['ctx']['error']}"
    return f"{path}: {first['input']!r} is wrong: write {_in_words(part)}"
