"""Read plain values out of the text of Python objects, as other tools print them.

Nothing is executed: an expression is parsed, and of its syntax tree only constants, tuples, lists,
dictionaries, ranges and the wrappers that NumPy, PyTorch and ConfigSpace print are read.
"""

import ast
import re
from collections.abc import Sequence
from inspect import Parameter, Signature
from typing import Any

from untrained.errors import short

#: Functions whose only value is their first argument, as in `np.int64(3)` and `array([0, 1])`.
_WRAPPERS = re.compile(r"u?int\d*|float\d*|bool_?|str_|array|tensor|OrderedDict|Configuration")
#: Blanks between two items of an array that is printed without commas.
_NO_COMMA = re.compile(r"""(?<=[\])'"0-9.])\s+(?=[\[('"0-9])""")
_LONGEST_TEXT = 8000
_LARGEST = 1000


def expression(text: str) -> ast.expr:
    """Return the syntax tree of an expression; items of arrays need no commas between them.

    Raises:
        ValueError: the text is none; the message says why.
    """
    if len(text) > _LONGEST_TEXT:
        raise ValueError(f"{len(text)} characters, at most {_LONGEST_TEXT} are read")
    if "\\" in text:
        raise ValueError("a backslash")
    try:
        return ast.parse(_NO_COMMA.sub(", ", text.strip()), mode="eval").body
    except SyntaxError as error:
        raise ValueError(error.msg) from error
    except (RecursionError, MemoryError) as error:  # for very deep nesting
        raise ValueError("too deeply nested") from error


def called(node: ast.expr) -> str | None:
    """Return the last word of the function that an expression calls; None if it calls none."""
    match node:
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)):
            return name
    return None


def value_of(node: ast.expr) -> Any:  # noqa: ANN401 - whatever the text spells
    """Return the value of an expression.

    Raises:
        ValueError: it is not of plain values; the message names the part.
    """
    match node:
        case ast.Constant(value=bool() | int() | float() | str() | None as value):
            return value
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
            return -value
        case ast.Name(id="true" | "false" | "null" as name):  # of JSON
            return {"true": True, "false": False}.get(name)
        case ast.Tuple(elts=items):
            return tuple(map(value_of, items))
        case ast.List(elts=items):
            return [value_of(item) for item in items]
        case ast.Dict(keys=keys, values=values):
            names = [key.value for key in keys if isinstance(key, ast.Constant)]
            if len(set(names)) < len(names):
                raise ValueError("a key comes twice")
            if len(names) == len(keys):
                return dict(zip(names, map(value_of, values), strict=True))
        case ast.Call(args=arguments, keywords=[]) if called(node) == "range":
            return _range([value_of(one) for one in arguments])
        case ast.Call(args=[], keywords=[ast.keyword(arg="values", value=value)]) if _wraps(node):
            return value_of(value)
        case ast.Call(args=[value, *_]) if _wraps(node):
            found = value_of(value)
            if called(node) != "OrderedDict" or isinstance(found, dict):
                return found
            pairs = [listed(one) or [] for one in listed(found) or [found]]
            if all(len(pair) == 2 and isinstance(pair[0], str) for pair in pairs):
                return dict(pairs)
    raise ValueError(f"{short(ast.unparse(node))} is no plain value")


def arguments_of(
    node: ast.expr, function: str, required: Sequence[str], optional: Sequence[str] = ()
) -> dict[str, ast.expr] | None:
    """Return the arguments of a call by their names; None if the expression is no such call.

    Args:
        node: the expression.
        function: the last word of the function's name.
        required: the names of its arguments in their order.
        optional: the names of keyword arguments that may be left out.

    Raises:
        ValueError: the call lacks an argument or has another one.
    """
    if not isinstance(node, ast.Call) or called(node) != function:
        return None
    kind = Parameter.POSITIONAL_OR_KEYWORD
    parameters = [Parameter(name, kind) for name in required]
    parameters += [Parameter(name, Parameter.KEYWORD_ONLY, default=None) for name in optional]
    named = {keyword.arg or "**": keyword.value for keyword in node.keywords}
    try:
        return Signature(parameters).bind(*node.args, **named).arguments
    except TypeError as error:
        raise ValueError(str(error)) from error


def read(text: str) -> Any:  # noqa: ANN401 - whatever the text spells
    """Return the value that a text spells.

    Raises:
        ValueError: it spells none; the message says why.
    """
    try:
        return value_of(expression(text))
    except (TypeError, RecursionError) as error:
        raise ValueError(str(error)) from error


def close(text: str, separators: str) -> str:
    """Return a text without the blanks around separators; others may be mistakes and stay."""
    return re.sub(rf"\s*([{re.escape(separators)}])\s*", r"\1", text.strip())


def is_whole(value: object) -> bool:
    """Tell whether a value is an integer, which no truth value is."""
    return type(value) is int


def listed(value: object) -> list[Any] | None:
    """Return the items of a list or a tuple; None for any other value."""
    return list(value) if isinstance(value, list | tuple) else None


def _wraps(node: ast.expr) -> bool:
    return _WRAPPERS.fullmatch(called(node) or "") is not None


def _range(arguments: Sequence[object]) -> list[int]:
    numbers = [one for one in arguments if isinstance(one, int) and abs(one) <= _LARGEST]
    if not 1 <= len(numbers) == len(arguments) <= 3 or numbers[2:] == [0]:
        raise ValueError("a range takes one to three small numbers")
    return list(range(*numbers))
