"""`untrained params`: the meaning and the allowed values of the keys of params.yaml."""

import json
from typing import Annotated

import typer

from untrained.errors import ParameterError, quoted


def _keys() -> list[str]:
    from untrained.parameters import keys

    return list(keys())


def params(
    key: Annotated[
        str,
        typer.Argument(
            help="Key to explain, for example scores.batch_size; default: all are listed.",
            autocompletion=_keys,
        ),
    ] = "",
    schema: Annotated[
        bool, typer.Option("--schema", help="Print the JSON schema of params.yaml, for editors.")
    ] = False,
) -> None:
    """Explain the keys of params.yaml.

    Of one key the allowed values, the value here and the meaning are printed.
    """
    from untrained.parameters import explain, json_schema, keys, read_parameters

    if schema and key:
        raise ParameterError(f"--schema is that of all keys: leave {quoted(key)} out")
    if schema:
        typer.echo(json.dumps(json_schema(), indent=2))
        return
    here = read_parameters()
    if not key:
        width = max(map(len, keys()))
        for one in keys().values():
            typer.echo(f"{one.path:<{width}}  {one.allowed}")
        return
    one = explain(key)
    typer.echo(f"{one.path}: {one.allowed}")
    value: object = here
    for step in one.path.split("."):
        value = value.get(step) if isinstance(value, dict) else None
    if here:
        typer.echo(f"params.yaml here: {_as_yaml(value)}")
    typer.echo(one.description)


def _as_yaml(value: object) -> str:
    import yaml

    text = yaml.safe_dump(value, default_flow_style=True, width=10_000, allow_unicode=True)
    return text.removesuffix("\n").removesuffix("...").rstrip()
