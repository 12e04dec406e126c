"""The dependency graph of the code, which decides when a result is out of date.

The inputs of jobs and the keys of resumable work follow from it. It is read from the import
statements of the source; no module is imported.

The closure of a module is itself and every module of `untrained` that it imports, directly or not,
at its top or inside a function. Imports for type checkers alone (`if TYPE_CHECKING:`) do not count,
nor do the packages above a module unless something is imported from them. A registry refers to its
entries by address, which is not an import, so that users of an entry have to name its module. From
a module outside `untrained`, for example of a plug-in, imports are followed through its own package
and through all code that is neither installed nor in the standard library.
"""

import ast
import hashlib
import sys
import sysconfig
import tokenize
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path

from untrained.errors import MissingDataError, quoted

_OURS = "untrained"

#: The packages that this one computes with. Others store, check or print what these have computed.
COMPUTING = frozenset({"matplotlib", "numba", "numpy", "scipy", "torch"})

#: The folders of installed packages, whose code changes with their version only.
_INSTALLED = tuple(
    Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "purelib", "platlib")
)


@dataclass(frozen=True)
class _Source:
    """The imports and the digest of a source file.

    Attributes:
        imports: names of modules and of their attributes; relative ones begin with dots.
        digest: the digest of its code, in hexadecimal.
    """

    imports: tuple[str, ...]
    digest: str


def closure(*modules: str) -> tuple[str, ...]:
    """Return the sorted names of all modules in the closure of some modules.

    Args:
        modules: absolute names, or addresses of attributes (`package.module:Attribute`).

    Raises:
        MissingDataError: there is no such module, or it is not written in Python.
    """
    roots = [name.partition(":")[0] for name in modules]
    for root in roots:
        if _file(root) is None:
            remedy = "define it in a file" if root == "__main__" else "check how it is spelled"
            raise MissingDataError(f"there is no Python module {quoted(root)}: {remedy}")
    followed = {_OURS, *(root.partition(".")[0] for root in roots)}
    found: set[str] = set()
    waiting = list(roots)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += _imported(name, followed)
    return tuple(sorted(found))


def code_digests(*modules: str) -> dict[str, str]:
    """Return the digest of the code of each module in the closure of some modules, and versions.

    Comments, docstrings and layout do not change a digest. Neither do the tables of registries,
    since a new entry does not affect the code of the others. The versions are those of installed
    packages that the modules import: of `COMPUTING`, and of all that a module outside `untrained`
    imports.
    """
    found = closure(*modules)
    digests = {name: _source(path).digest for name in found if (path := _file(name))}
    packages = {package for name in found for package in _packages(name)}
    versions = {name: version(name) for name in sorted(packages - digests.keys())}
    return digests | {name: known for name, known in versions.items() if known}


def code_digest(*modules: str) -> str:
    """Return one digest of what `code_digests` returns."""
    lines = (f"{name} {digest}\n" for name, digest in code_digests(*modules).items())
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def rule_digests(folder: Path) -> dict[str, dict[str, str]]:
    """Return the digests of each file of rules and of those whose names it uses, by its name.

    Names are functions and constants. Comments and layout change no digest.
    """
    tokens = {path.name: _tokens(path) for path in sorted(folder.glob("*.smk"))}
    makers = {name: file for file, words in tokens.items() for name in _defined(words)}
    digests = {
        file: hashlib.sha256("\0".join(words).encode()).hexdigest()
        for file, words in tokens.items()
    }
    found = {}
    for file in tokens:
        used, waiting = {file}, [file]
        while waiting:
            more = {makers[word] for word in tokens[waiting.pop()] if word in makers} - used
            used |= more
            waiting += more
        found[file.removesuffix(".smk")] = {name: digests[name] for name in sorted(used)}
    return found


def _tokens(path: Path) -> list[str]:
    """Return the Python tokens of a file, without comments and layout."""
    with tokenize.open(path) as file:
        return [
            token.string
            for token in tokenize.generate_tokens(file.readline)
            if token.type not in (tokenize.COMMENT, tokenize.NL)
        ]


def _defined(tokens: list[str]) -> Iterator[str]:
    """Yield the functions and constants that a file of rules defines."""
    for before, word, after in zip(["", *tokens], tokens, tokens[1:], strict=False):
        if before == "def" or (word.isupper() and word.isidentifier() and after == "="):
            yield word


def _imported(name: str, followed: set[str]) -> list[str]:
    """Return the modules that a module imports directly, of packages that are followed."""
    path = _file(name)
    if path is None:
        return []
    ours = name.partition(".")[0] == _OURS
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    found = []
    for imported in _source(path).imports:
        spelled = _absolute(imported, package)
        top = spelled.partition(".")[0]
        if top in followed or (not ours and _is_installed(top) is False):
            found += [module] if (module := _module(spelled)) else []
    return found


def _packages(name: str) -> set[str]:
    """Return the packages that a module imports and that its results are computed with."""
    path = _file(name)
    if path is None:
        return set()
    tops = {spelled.partition(".")[0] for spelled in _source(path).imports}
    if name.partition(".")[0] == _OURS:
        return tops & COMPUTING
    return {top for top in tops - {"", _OURS} if _is_installed(top)}


@cache
def version(package: str) -> str:
    """Return the version of an installed package; empty if there is none.

    What follows a plus sign names the device that a build of PyTorch is for. It is left out, since
    devices differ by rounding only.
    """
    for distribution in _distributions(package):
        try:
            return metadata.version(distribution).partition("+")[0]
        except metadata.PackageNotFoundError:
            continue
    return ""


def _distributions(package: str) -> Iterator[str]:
    """Yield names that the distribution of a package may have: most have that of the package."""
    yield package
    # reads the list of files of every installed distribution, which takes more than a second
    yield from metadata.packages_distributions().get(package, ())


def _absolute(imported: str, package: str) -> str:
    """Return the absolute name of an import in a package, whose leading dots are resolved."""
    bare = imported.lstrip(".")
    above = len(imported) - len(bare) - 1
    if above < 0:
        return imported
    parts = package.split(".")
    return ".".join([*parts[: len(parts) - above], *([bare] if bare else [])])


def _module(name: str) -> str | None:
    """Return the module of this name, or the one that has an attribute of this name."""
    for candidate in (name, name.rpartition(".")[0]):
        if candidate and _file(candidate) is not None:
            return candidate
    return None


@cache
def _file(module: str) -> Path | None:
    """Return the source file of a module; None if there is none."""
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
    """Return the folders of a top-level package."""
    if top == _OURS:
        return (Path(__file__).parent,)
    spec = _spec(top)
    return tuple(map(Path, spec.submodule_search_locations or ())) if spec else ()


@cache
def _origin(top: str) -> Path | None:
    """Return the file of a top-level module without a package."""
    spec = _spec(top)
    origin = Path(spec.origin) if spec and spec.origin else None
    return origin if origin is not None and origin.suffix == ".py" else None


def _spec(top: str) -> ModuleSpec | None:
    try:
        return find_spec(top)
    except (ImportError, ValueError):
        return None


@cache
def _is_installed(top: str) -> bool | None:
    """Return whether a package is installed; None if there is none outside the standard library."""
    if top in sys.stdlib_module_names:
        return None
    path = next(iter([*_folders(top), _origin(top)]), None)
    if path is None:
        return None
    return any(path.resolve().is_relative_to(folder) for folder in _INSTALLED)


def _source(path: Path) -> _Source:
    status = path.stat()
    return _parsed(path, status.st_mtime_ns, status.st_size)


@cache
def _parsed(path: Path, changed: int, size: int) -> _Source:
    """Parse a file; the result is cached until the file changes."""
    del changed, size
    text = path.read_bytes()
    try:
        tree = ast.parse(text)
    except SyntaxError:  # its import will report it
        return _Source((), hashlib.sha256(text).hexdigest())
    words: list[str] = []
    _spell(tree, words)
    digest = hashlib.sha256("\0".join(words).encode("utf-8", "surrogatepass")).hexdigest()
    return _Source(tuple(dict.fromkeys(_imports(tree.body))), digest)


def _imports(statements: Iterable[ast.stmt]) -> Iterator[str]:
    """Yield the names that statements import, at any depth."""
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
    """Append the words of a syntax tree, which are the same in all versions of Python.

    Docstrings, code for type checkers alone and positions in the text are left out.
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
    """Return whether a statement has no effect at run time that another module depends on."""
    if isinstance(part, ast.Expr):  # a docstring, or another string that is not used
        return isinstance(part.value, ast.Constant) and isinstance(part.value.value, str)
    if isinstance(part, ast.If) and _is_for_type_checkers(part.test):
        return not part.orelse
    if isinstance(part, ast.Assign | ast.AnnAssign):
        called = part.value.func if isinstance(part.value, ast.Call) else None
        if isinstance(called, ast.Subscript):  # Registry[Space](...)
            called = called.value
        return isinstance(called, ast.Name) and called.id == "Registry"
    return False
