"""The dependency graph of the project, from which staleness of results follows.

The inputs of jobs and the identity of resumable work follow from it, too. It is read off the import
statements of the source, so nothing is imported to know it.

A module is made of itself and of every module of `untrained` that it imports, directly or not, at
its top or inside a function. Imports for type checkers alone (`if TYPE_CHECKING:`) do not count,
nor do the packages above a module unless something is imported from them. A registry refers to its
entries by address, which is no import: whoever uses an entry names its module as well. A module
outside `untrained`, for example a plug-in's, is followed likewise, through its own package and
through whatever else is neither installed nor in the standard library.
"""

import ast
import hashlib
import sys
import sysconfig
import tokenize
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path

from untrained.errors import MissingDataError

_OURS = "untrained"

#: Where installed packages lie: what changes there has a version.
_INSTALLED = tuple(
    Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "purelib", "platlib")
)


@dataclass(frozen=True)
class _Source:
    """What is known of a module from its text.

    Attributes:
        imports: absolute names of what it imports, modules and their attributes alike.
        digest: of its code, in hexadecimal.
    """

    imports: tuple[str, ...]
    digest: str


def closure(*modules: str) -> tuple[str, ...]:
    """Return the sorted names of all modules that some modules are made of, themselves included.

    Args:
        modules: absolute names, or addresses of something in them (`package.module:Attribute`).

    Raises:
        MissingDataError: there is no such module, or it is not written in Python.
    """
    roots = [name.partition(":")[0] for name in modules]
    for root in roots:
        if _file(root) is None:
            raise MissingDataError(f"there is no Python module {root!r}: check how it is spelled")
    followed = {_OURS, *(root.partition(".")[0] for root in roots)}
    found: set[str] = set()
    waiting = list(roots)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += _imported(name, followed)
    return tuple(sorted(found))


def code_files(*modules: str) -> tuple[Path, ...]:
    """Return the files of all modules that some modules are made of, in the order of names."""
    return tuple(path for name in closure(*modules) if (path := _file(name)) is not None)


def code_digests(*modules: str) -> dict[str, str]:
    """Return the digest of the code of each module that some modules are made of.

    Comments, docstrings and layout change no digest. Nor do the tables of registries: one more
    entry leaves the code of the others as it was.
    """
    return {name: _source(path).digest for name in closure(*modules) if (path := _file(name))}


def code_digest(*modules: str) -> str:
    """Return one digest of the code of all modules that some modules are made of."""
    lines = (f"{name} {digest}\n" for name, digest in code_digests(*modules).items())
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def digest_of_tokens(path: Path) -> str:
    """Return a digest of a file with the tokens of Python, without comments and layout."""
    with tokenize.open(path) as file:
        tokens = [
            token.string
            for token in tokenize.generate_tokens(file.readline)
            if token.type not in (tokenize.COMMENT, tokenize.NL)
        ]
    return hashlib.sha256("\0".join(tokens).encode()).hexdigest()


def _imported(name: str, followed: set[str]) -> list[str]:
    """The modules that a module imports itself, of packages that are followed."""
    path = _file(name)
    if path is None:
        return []
    ours = name.partition(".")[0] == _OURS
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    found = []
    for imported in _source(path).imports:
        spelled = _absolute(imported, package)
        top = spelled.partition(".")[0]
        if top in followed or (not ours and _is_local(top)):
            found += [module] if (module := _module(spelled)) else []
    return found


def _absolute(imported: str, package: str) -> str:
    """A name as seen from outside; a relative one begins with as many dots as in its import."""
    bare = imported.lstrip(".")
    above = len(imported) - len(bare) - 1
    if above < 0:
        return imported
    parts = package.split(".")
    return ".".join([*parts[: len(parts) - above], *([bare] if bare else [])])


def _module(name: str) -> str | None:
    """The module that a name is, or else the one that the name is an attribute of."""
    for candidate in (name, name.rpartition(".")[0]):
        if candidate and _file(candidate) is not None:
            return candidate
    return None


@cache
def _file(module: str) -> Path | None:
    """The source file of a module; None where there is none."""
    top, *inside = module.split(".")
    for folder in _folders(top):
        path = folder.joinpath(*inside)
        for candidate in (path / "__init__.py", path.with_suffix(".py")):
            if candidate.is_file():
                return candidate
    origin = _origin(top)
    return origin if origin is not None and not inside else None


@cache
def _folders(top: str) -> tuple[Path, ...]:
    """The folders of a package."""
    if top == _OURS:
        return (Path(__file__).parent,)
    spec = _spec(top)
    return tuple(map(Path, spec.submodule_search_locations or ())) if spec else ()


@cache
def _origin(top: str) -> Path | None:
    """The file of a module without a package."""
    spec = _spec(top)
    origin = Path(spec.origin) if spec and spec.origin else None
    return origin if origin is not None and origin.suffix == ".py" else None


def _spec(top: str) -> ModuleSpec | None:
    try:
        return find_spec(top)
    except (ImportError, ValueError):
        return None


@cache
def _is_local(top: str) -> bool:
    """Whether a package is neither installed nor in the standard library: a neighbour's code."""
    if top in sys.stdlib_module_names:
        return False
    path = next(iter([*_folders(top), _origin(top)]), None)
    return path is not None and not any(
        path.resolve().is_relative_to(folder) for folder in _INSTALLED
    )


def _source(path: Path) -> _Source:
    status = path.stat()
    return _parsed(path, status.st_mtime_ns, status.st_size)


@cache
def _parsed(path: Path, changed: int, size: int) -> _Source:
    """What is known of a file, read again only where it has been written to."""
    del changed, size
    text = path.read_bytes()
    try:
        tree = ast.parse(text)
    except SyntaxError:  # whoever imports it says what is wrong with it
        return _Source((), hashlib.sha256(text).hexdigest())
    words: list[str] = []
    _spell(tree, words)
    digest = hashlib.sha256("\0".join(words).encode("utf-8", "surrogatepass")).hexdigest()
    return _Source(tuple(dict.fromkeys(_imports(tree.body))), digest)


def _imports(statements: Iterable[ast.stmt]) -> Iterator[str]:
    """The names that statements import, those inside them included."""
    for statement in statements:
        if isinstance(statement, ast.Import):
            yield from (alias.name for alias in statement.names)
        elif isinstance(statement, ast.ImportFrom):
            whence = "." * statement.level + (statement.module or "")
            joint = "" if whence.endswith(".") else "."
            yield from (
                whence if alias.name == "*" else f"{whence}{joint}{alias.name}"
                for alias in statement.names
            )
        elif isinstance(statement, ast.If) and _is_for_type_checkers(statement.test):
            yield from _imports(statement.orelse)
        else:
            for field in ("body", "orelse", "finalbody"):
                yield from _imports(getattr(statement, field, ()))
            for field in ("handlers", "cases"):
                for part in getattr(statement, field, ()):
                    yield from _imports(part.body)


def _is_for_type_checkers(test: ast.expr) -> bool:
    name = test.attr if isinstance(test, ast.Attribute) else getattr(test, "id", None)
    return name == "TYPE_CHECKING"


def _spell(node: ast.AST, words: list[str]) -> None:
    """Append a syntax tree to some words, alike in all versions of Python.

    Without docstrings, without what only type checkers read, without positions in the text.
    """
    words.append(type(node).__name__)
    for field in node._fields:
        value = getattr(node, field, None)
        if value is None or value == []:  # newer versions of Python have more fields
            continue
        words.append(field)
        if isinstance(value, list):
            for part in value:
                if not isinstance(part, ast.AST):
                    words.append(repr(part))
                elif not _is_prose(part):
                    _spell(part, words)
            words.append("]")
        elif isinstance(value, ast.AST):
            _spell(value, words)
        else:
            words.append(repr(value))


def _is_prose(part: ast.AST) -> bool:
    """Whether a statement does nothing at run time that another module could depend on."""
    if isinstance(part, ast.Expr):  # of a body: a docstring, or a string where one could be
        return isinstance(part.value, ast.Constant) and isinstance(part.value.value, str)
    if isinstance(part, ast.If) and _is_for_type_checkers(part.test):
        return not part.orelse
    if isinstance(part, ast.Assign | ast.AnnAssign):
        called = part.value.func if isinstance(part.value, ast.Call) else None
        called = (
            called.value if isinstance(called, ast.Subscript) else called
        )  # Registry[Space](...)
        return isinstance(called, ast.Name) and called.id == "Registry"
    return False
