"""Download one file; an interrupted download is resumed, and the result is checked."""

import re
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from http.client import responses
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit
from urllib.request import url2pathname

from untrained.errors import DownloadError, ParameterError, UntrainedError, quoted, short
from untrained.files import absent, check_plain, digest

if TYPE_CHECKING:
    import requests
    from rich.progress import Progress

_CHUNK = 1 << 16
_TIMEOUT = (10.0, 60.0)  # seconds to connect, and between two pieces
_SLOW_SECONDS, _SLOW_BYTES = 60.0, 1 << 16  # a connection that brings less in this time is broken
_LONGEST = 86_400.0  # seconds of a try
_MOST = 8 << 30  # bytes; the largest official file has 2 GB
#: How a web page begins, whatever its server calls it.
_PAGE = re.compile(rb"\s*(<!--.*?-->\s*)*<(!doctype html|html|head)\b", re.IGNORECASE | re.DOTALL)
_SPAN = re.compile(r"bytes (?:(?P<start>\d{1,18})-\d{1,18}|\*)/(?P<total>\d{1,18}|\*)", re.ASCII)
_PASSING = (408, 425, 429, 500, 502, 503, 504)  # refusals that may be temporary


class _InterruptedError(Exception):
    """Signals a failure after which another try may succeed."""


class _StaleError(_InterruptedError):
    """Signals a failure after which another try must read the file from its start."""


def join(mirror: str, name: str) -> str:
    """Return the address of the file `name` below `mirror`, a base URL or a folder."""
    return f"{mirror.rstrip('/')}/{name}" if "://" in mirror else str(Path(mirror) / name)


def check_mirror(mirror: str | None) -> str | None:
    """Return a mirror, a base URL or a folder, if files can be read from such an address.

    Raises:
        ParameterError: it is a URL of another scheme than https, http and file, or has no host.
    """
    if mirror is None or "://" not in mirror:
        return mirror
    scheme = mirror.partition("://")[0].lower()
    if scheme not in ("https", "http", "file"):
        raise ParameterError(f"{quoted(mirror)}: a URL begins with https://, http:// or file://")
    parts = _split(mirror)
    if scheme != "file" and not (parts.hostname or "").strip():
        raise ParameterError(f"{quoted(mirror)} names no host: write https://host/folder")
    return mirror


def _split(url: str) -> SplitResult:
    """Return the parts of a URL whose host and port can be read."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise ParameterError(f"{quoted(url)} is no URL: {error}") from error
    return parts


def local_path(url: str) -> Path | None:
    """Return the path that a `file://` URL or a plain path means; None for any other address.

    Raises:
        ParameterError: the host or the port of a URL can't be read.
    """
    if "://" not in url:
        return Path(url)
    parts = _split(url)
    return Path(url2pathname(parts.path)) if parts.scheme == "file" else None


def download(
    url: str,
    target: Path,
    md5: str | None = None,
    progress: bool = True,
    *,
    retries: int = 3,
    backoff: float = 1.0,
) -> Path:
    """Download a file, or copy it from a folder.

    The part that has arrived is in `target` + `.part`, and an HTTP range request continues it in
    this call or in a later one; from a server that does not support ranges, the file is read from
    the start again. Only the checksum shows whether the parts belong together. A target that
    exists and has the checksum is not downloaded again.

    Args:
        url: an `http(s)://` or `file://` address, or a plain path.
        target: the file to write; its folder is created.
        md5: the hexadecimal checksum that the file must have.
        progress: whether to draw a bar on standard error.
        retries: the number of further tries when the connection breaks.
        backoff: the seconds before the first retry, which double before each further one.

    Returns:
        `target`.

    Raises:
        DownloadError: there is no connection, the server refuses, or the content is wrong.
        ParameterError: the host or the port of the address can't be read.
        UntrainedError: the target cannot be written.
    """
    part = target.with_name(f"{target.name}.part")
    check_plain(target)
    check_plain(part)
    if md5 is not None and target.is_file() and digest(target, "md5") == md5:
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        source = local_path(url)
        if source is None:
            _transfer(url, part, progress, retries, backoff)
        elif source.is_file():
            shutil.copyfile(source, part)
        else:
            raise DownloadError(f"{absent(source)}: name a file, or a mirror that has it")
        if md5 is not None and (found := digest(part, "md5")) != md5:
            part.unlink()
            raise DownloadError(
                f"{url} has the MD5 {found}, not {md5}: try again, or another mirror"
            )
        part.replace(target)
    except OSError as error:
        raise UntrainedError(f"cannot write {target}: {error.strerror or error}") from error
    return target


def _transfer(url: str, part: Path, progress: bool, retries: int, backoff: float) -> None:
    with _bar(progress) as bar:
        task = bar.add_task(url.rsplit("/", 1)[-1], total=None)
        for attempt in range(retries + 1):
            if attempt:
                time.sleep(backoff * 2 ** (attempt - 1))
            try:
                return _Try(url, part, partial(bar.update, task)).run()
            except _InterruptedError as error:
                reason = str(error)
                if isinstance(error, _StaleError):
                    part.unlink(missing_ok=True)
    raise DownloadError(
        f"cannot fetch {url} ({reason}): run it again to continue, or name a mirror"
    )


def _bar(progress: bool) -> "Progress":
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=not progress,
        transient=True,
    )


@dataclass
class _Try:
    """One try to continue a file, in a thread of its own.

    No timeout of a socket ends a server that sends a byte of a header now and then, or of the
    length of a chunk. Whoever waits for the thread can give it up; it then writes nothing more.

    Attributes:
        url: the address.
        part: the file that is continued.
        update: takes what arrived, for people.
        arrived: number of bytes that it has brought.
        error: what ended the try, if it failed.
        given_up: whether nobody waits for the thread any more.
        lock: held where the file is written, and where the try is given up.
    """

    url: str
    part: Path
    update: Callable[..., None]
    arrived: int = 0
    error: BaseException | None = None
    given_up: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    def run(self) -> None:
        """Continue the file to its end.

        Raises:
            _InterruptedError: another try may succeed.
            DownloadError: none will.
        """
        thread = threading.Thread(target=self._attempt, daemon=True)
        begun, before = time.monotonic(), 0
        thread.start()
        try:
            while thread.is_alive():
                thread.join(_SLOW_SECONDS)
                if not thread.is_alive():
                    break
                if self.arrived - before < _SLOW_BYTES:
                    raise _InterruptedError("the server sends too slowly")
                if time.monotonic() - begun > _LONGEST:
                    raise _InterruptedError(f"it took more than {_LONGEST / 3600:.0f} hours")
                before = self.arrived
        finally:
            with self.lock:
                self.given_up = True
        if self.error is not None:
            raise self.error

    def _attempt(self) -> None:
        try:
            self._fetch()
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            self.error = error

    def _fetch(self) -> None:
        import requests
        from urllib3.exceptions import HTTPError

        have = self.part.stat().st_size if self.part.is_file() else 0
        # in a compressed transfer, lengths and ranges would not be those of the file
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
        url = self.url
        try:
            with requests.get(url, headers=headers, stream=True, timeout=_TIMEOUT) as response:
                start, total = _range(url, response, have)
                if response.headers.get("Content-Type", "").startswith("text/html"):
                    raise _web_page(url)
                if not (start and start == total):
                    self._receive(response, start, total)
        except requests.exceptions.SSLError as error:
            raise DownloadError(f"cannot fetch {url}: its certificate is not valid") from error
        except requests.exceptions.ConnectionError as error:
            raise _InterruptedError("no connection") from error
        except (requests.exceptions.Timeout, HTTPError) as error:
            raise _InterruptedError("the connection broke") from error
        # the second is of an address to which a server redirects
        except (requests.exceptions.RequestException, ValueError) as error:
            raise DownloadError(f"cannot fetch {url}: {short(str(error), 200)}") from error

    def _receive(self, response: "requests.Response", start: int, total: int | None) -> None:
        place, chunk = start, b"any"
        while chunk:
            # `read` would wait for a whole chunk, however slow
            chunk = response.raw.read1(_CHUNK, decode_content=True)
            if not place and _PAGE.match(chunk):
                raise _web_page(self.url)
            with self.lock:
                if self.given_up:
                    return
                with self.part.open("ab" if place else "wb") as file:
                    file.write(chunk)
            place += len(chunk)
            self.arrived += len(chunk)
            self.update(total=total, completed=place)
            if place > _MOST:
                raise DownloadError(
                    f"{response.url} sends more than {_MOST >> 30} GiB: name another mirror"
                )
        if total is not None and place != total:
            raise _InterruptedError("the connection broke")


def _web_page(url: str) -> DownloadError:
    return DownloadError(
        f"{url} answers with a web page, not with a file: check the address or name another mirror"
    )


def _range(url: str, response: "requests.Response", have: int) -> tuple[int, int | None]:
    """Return where the content of a response starts in the file, and the file's length if known."""
    status = response.status_code
    if status == HTTPStatus.OK:
        length = response.headers.get("Content-Length")
        return 0, int(length) if length and re.fullmatch("[0-9]{1,18}", length) else None
    span = _SPAN.fullmatch(response.headers.get("Content-Range", ""))
    if status == HTTPStatus.PARTIAL_CONTENT and span and span["start"] == str(have):
        return have, int(span["total"]) if span["total"] != "*" else None
    unsatisfiable = status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and have
    if unsatisfiable and span and span["total"] == str(have):
        return have, have  # everything has arrived already
    if unsatisfiable or status == HTTPStatus.PARTIAL_CONTENT:
        raise _StaleError("the server sent another part of the file")
    # the standard's words: the server's own may be anything, of any length
    said = f"the server says {status} {responses.get(status, '')}".rstrip()
    if status in _PASSING:
        raise _InterruptedError(said)
    raise DownloadError(f"cannot fetch {url}: {said}; check the address or name a mirror")
