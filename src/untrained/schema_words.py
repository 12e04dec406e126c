"""Say in words what may stand under the keys of a pydantic model with sections."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from untrained.errors import unknown_name

Schema = Mapping[str, Any]


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
