"""Downloads against a real server on this machine that can be told to misbehave."""

import contextlib
import hashlib
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests

from untrained.download import check_mirror, download, join, local_path
from untrained.errors import DownloadError, ParameterError, UntrainedError

PIECE = 65_536  # what is read at once
CONTENT = bytes(range(256)) * 4000
MD5 = hashlib.md5(CONTENT).hexdigest()
#: What drips, with what comes before it.
DRIPPING = {"a header": b"Long: ", "a length": b"\r\n5; long="}


@dataclass
class Behaviour:
    """What the server does, and what it was asked."""

    content: bytes = CONTENT
    ranges: bool = True
    cut_after: list[int] = field(default_factory=list)  # bytes sent before each hang-up
    statuses: list[int] = field(default_factory=list)  # refusals before it serves
    words: str | None = None  # what it calls them
    span: str | None = None  # a Content-Range of its own
    lengths: bool = True
    length: str | None = None  # a Content-Length of its own
    redirects: str | None = None  # to where it sends all that ask
    parts_only: bool = False  # whether it answers 206 whatever is asked
    drips: float = 0.0  # seconds before each byte
    dripping: str = "content"  # or where else the bytes are that drip
    kind: str | None = None  # a Content-Type
    asked: list[str | None] = field(default_factory=list)


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        behaviour = self.server.behaviour
        asked = self.headers.get("Range")
        behaviour.asked.append(asked)
        assert self.headers.get("Accept-Encoding") == "identity"
        if self.path != "/file.bin":
            return self.send_error(404)
        if behaviour.statuses:
            return self.send_error(behaviour.statuses.pop(0), behaviour.words)
        if behaviour.drips and behaviour.dripping in DRIPPING:
            head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
            self.wfile.write(head + DRIPPING[behaviour.dripping])
            return self.drip()
        if behaviour.redirects:
            self.send_response(302)
            self.send_header("Location", behaviour.redirects)
            self.send_header("Content-Length", "0")
            return self.end_headers()
        start, total = 0, len(behaviour.content)
        if (asked and behaviour.ranges) or behaviour.parts_only:
            start = int((asked or "bytes=0-").removeprefix("bytes=").removesuffix("-"))
            if start >= total:
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{total}")
                self.send_header("Content-Length", "0")
                return self.end_headers()
            self.send_response(206)
            span = behaviour.span or f"bytes {start}-{total - 1}/{total}"
            behaviour.span = None
            self.send_header("Content-Range", span)
        else:
            self.send_response(200)
        if behaviour.lengths:
            self.send_header("Content-Length", behaviour.length or str(total - start))
        if behaviour.kind:
            self.send_header("Content-Type", behaviour.kind)
        self.end_headers()
        if behaviour.dripping == "the rest":
            self.wfile.write(behaviour.content)
        self.drip()
        end = start + behaviour.cut_after.pop(0) if behaviour.cut_after else total
        with contextlib.suppress(OSError):
            self.wfile.write(behaviour.content[start:end])
        return None

    def drip(self):
        with contextlib.suppress(OSError):  # the other end has had enough
            while self.server.behaviour.drips:
                time.sleep(self.server.behaviour.drips)
                self.wfile.write(b"x")

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.behaviour = Behaviour()
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def url(server):
    return f"http://127.0.0.1:{server.server_port}/file.bin"


@pytest.fixture
def target(tmp_path):
    return tmp_path / "new" / "file.bin"


def part_of(target):
    return target.with_name("file.bin.part")


def test_a_file_arrives_and_no_part_is_left(url, target, capsys):
    assert download(url, target, md5=MD5) == target
    assert target.read_bytes() == CONTENT
    assert list(target.parent.iterdir()) == [target]
    assert capsys.readouterr().out == ""


def test_a_broken_transfer_is_resumed_within_the_call(server, url, target):
    server.behaviour.cut_after = [4 * PIECE + 9, PIECE]
    download(url, target, md5=MD5, progress=False, backoff=0)
    assert target.read_bytes() == CONTENT
    assert server.behaviour.asked == [None, f"bytes={4 * PIECE + 9}-", f"bytes={5 * PIECE + 9}-"]


def test_a_broken_transfer_is_resumed_by_the_next_call(server, url, target):
    server.behaviour.cut_after = [4 * PIECE + 9]
    with pytest.raises(DownloadError, match=r"the connection broke.*run it again to continue"):
        download(url, target, md5=MD5, progress=False, retries=0)
    assert not target.exists()
    assert part_of(target).stat().st_size == 4 * PIECE + 9
    download(url, target, md5=MD5, progress=False)
    assert target.read_bytes() == CONTENT
    assert server.behaviour.asked == [None, f"bytes={4 * PIECE + 9}-"]


def test_a_server_without_ranges_is_read_from_the_start(server, url, target):
    server.behaviour.ranges = False
    server.behaviour.cut_after = [4 * PIECE + 9]
    download(url, target, md5=MD5, progress=False, backoff=0)
    assert target.read_bytes() == CONTENT
    assert server.behaviour.asked == [None, f"bytes={4 * PIECE + 9}-"]


@pytest.mark.parametrize("lengths", [True, False])
def test_an_empty_file_and_one_of_unknown_length_arrive(server, url, target, lengths):
    server.behaviour.lengths = lengths
    server.behaviour.content = b""
    assert download(url, target, progress=False).read_bytes() == b""
    server.behaviour.content = CONTENT
    assert download(url, target, progress=False).read_bytes() == CONTENT


def test_a_resumed_transfer_without_a_length_is_known_to_be_short(server, url, target):
    part_of(target).parent.mkdir()
    part_of(target).write_bytes(CONTENT[:10])
    server.behaviour.lengths = False
    server.behaviour.cut_after = [20]
    download(url, target, md5=MD5, progress=False, backoff=0)
    assert server.behaviour.asked == ["bytes=10-", "bytes=30-"]
    assert target.read_bytes() == CONTENT


def test_a_part_that_is_complete_already_is_not_read_again(server, url, target):
    part_of(target).parent.mkdir()
    part_of(target).write_bytes(CONTENT)
    download(url, target, md5=MD5, progress=False, retries=0)
    assert server.behaviour.asked == [f"bytes={len(CONTENT)}-"]
    assert target.read_bytes() == CONTENT


@pytest.mark.parametrize("span", ["bytes 0-9/10", "nonsense"])
def test_a_part_of_another_file_is_dropped(server, url, target, span):
    part_of(target).parent.mkdir()
    part_of(target).write_bytes(b"x" * (len(CONTENT) + 1))
    download(url, target, md5=MD5, progress=False, backoff=0)
    assert target.read_bytes() == CONTENT
    target.unlink()
    part_of(target).write_bytes(b"x")
    server.behaviour.span = span
    download(url, target, md5=MD5, progress=False, backoff=0)
    assert target.read_bytes() == CONTENT


def test_a_part_that_nobody_asked_for_is_one_line(server, url, target):
    server.behaviour.parts_only = True
    server.behaviour.span = "bytes 5-9/10"
    download(url, target, md5=MD5, progress=False, backoff=0)
    assert target.read_bytes() == CONTENT
    server.behaviour.span = "bytes 5-9/10"
    with pytest.raises(DownloadError, match="the server sent another part of the file"):
        download(url, target, md5="0000", progress=False, retries=0)


@pytest.mark.parametrize("dripping", [*DRIPPING, "content", "the rest"])
def test_a_dripping_server_is_given_up_and_resumed(server, url, target, monkeypatch, dripping):
    """Each byte comes before any timeout of a socket."""
    monkeypatch.setattr("untrained.download._SLOW_SECONDS", 0.1)
    server.behaviour.drips, server.behaviour.dripping = 0.01, dripping
    server.behaviour.lengths = False
    with pytest.raises(DownloadError, match="sends too slowly"):
        download(url, target, progress=False, retries=0)
    begun = {path: path.stat().st_size for path in target.parent.iterdir()}
    time.sleep(0.1)
    # what still comes is not written
    assert {path: path.stat().st_size for path in target.parent.iterdir()} == begun
    server.behaviour.drips = 0
    download(url, target, progress=False)
    assert target.read_bytes().endswith(CONTENT[-1000:])


def test_a_server_that_is_never_done_is_given_up_and_resumed(server, url, target, monkeypatch):
    """It sends fast enough for a network, and would take weeks."""
    monkeypatch.setattr("untrained.download._SLOW_SECONDS", 0.05)
    monkeypatch.setattr("untrained.download._SLOW_BYTES", 1)
    monkeypatch.setattr("untrained.download._LONGEST", 0.2)
    server.behaviour.drips = 0.001
    with pytest.raises(DownloadError, match="took more than 0 hours"):
        download(url, target, progress=False, retries=0)
    assert part_of(target).stat().st_size


def test_a_hanging_server_is_given_up(server, url, target, monkeypatch):
    monkeypatch.setattr("untrained.download._TIMEOUT", (1, 0.1))
    server.behaviour.drips = 1.0
    with pytest.raises(DownloadError, match="the connection broke"):
        download(url, target, progress=False, retries=1, backoff=0)


def test_an_endless_server_is_given_up(server, url, target, monkeypatch):
    monkeypatch.setattr("untrained.download._MOST", 100_000)
    server.behaviour.lengths = False
    with pytest.raises(DownloadError, match=r"file\.bin sends more than 0 GiB"):
        download(url, target, progress=False)


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("text/html; charset=utf-8", CONTENT),
        ("application/octet-stream", b"\n<!-- from a proxy -->\n<!DOCTYPE HTML>\n<title>Log in"),
        (None, b"<html lang='en'>"),
    ],
)
def test_a_web_page_is_no_file(server, url, target, kind, content):
    server.behaviour.kind, server.behaviour.content = kind, content
    with pytest.raises(DownloadError, match=r"file\.bin answers with a web page, not with a file"):
        download(url, target, progress=False)


def test_the_wrong_content_is_deleted(url, target):
    with pytest.raises(DownloadError, match=f"has the MD5 {MD5}, not 0000"):
        download(url, target, md5="0000", progress=False)
    assert list(target.parent.iterdir()) == []


def test_a_target_that_has_the_checksum_is_left_alone(server, url, target):
    target.parent.mkdir()
    target.write_bytes(CONTENT)
    download(url, target, md5=MD5, progress=False)
    assert server.behaviour.asked == []
    target.write_bytes(b"old")
    download(url, target, md5=MD5, progress=False)
    assert target.read_bytes() == CONTENT


def test_a_missing_file_is_reported_at_once(server, url, target):
    with pytest.raises(DownloadError, match=r"absent: the server says 404 .*name a mirror"):
        download(url.replace("file.bin", "absent"), target, progress=False)
    assert len(server.behaviour.asked) == 1


@pytest.mark.parametrize(
    ("status", "said"),
    [(404, "404 Not Found;"), (503, r"503 Service Unavailable\)"), (999, "999;")],
)
def test_a_status_is_said_in_the_words_of_the_standard(server, url, target, status, said):
    """The server's own may be a screen long, or move the cursor of a terminal."""
    server.behaviour.statuses = [status] * 2
    server.behaviour.words = "\x1b[2J" + "no " * 9_000
    with pytest.raises(DownloadError, match=f"the server says {said}") as caught:
        download(url, target, progress=False, backoff=0, retries=1)
    assert len(str(caught.value)) < 200
    assert str(caught.value).isprintable()


def test_a_busy_server_is_asked_again(server, url, target):
    server.behaviour.statuses = [503, 500, 429]
    download(url, target, md5=MD5, progress=False, backoff=0)
    assert len(server.behaviour.asked) == 4
    server.behaviour.statuses = [503, 503]
    with pytest.raises(DownloadError, match="503"):
        download(url, target, progress=False, backoff=0, retries=1)


def test_retries_wait_twice_as_long_each_time(server, url, target, monkeypatch):
    waits = []
    monkeypatch.setattr("untrained.download.time.sleep", waits.append)
    server.behaviour.statuses = [503] * 9
    with pytest.raises(DownloadError):
        download(url, target, progress=False, backoff=0.5)
    assert waits == [0.5, 1.0, 2.0]


def test_a_refused_connection_is_one_line(target, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as closed:
        port = closed.server_port
    with pytest.raises(DownloadError, match="no connection") as caught:
        download(f"http://127.0.0.1:{port}/file.bin", target, progress=False, backoff=0, retries=1)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("address", "message"),
    [("gopher://x/y", "No connection adapters"), ("http://", "Invalid URL")],
)
def test_addresses_that_cannot_be_fetched(address, message, target):
    with pytest.raises(DownloadError, match=message):
        download(address, target, progress=False)


@pytest.mark.parametrize("mirror", ["http://[", "file://[", "http://", "https:///x", "http://a:x"])
def test_a_mirror_has_a_host(mirror, target):
    with pytest.raises(ParameterError, match=r"names no host|is no URL"):
        check_mirror(mirror)
    with pytest.raises(UntrainedError):
        download(join(mirror, "file.bin"), target, progress=False)
    assert check_mirror("http://[::1]:8000/x") == "http://[::1]:8000/x"
    assert check_mirror("file:///x") == "file:///x"


@pytest.mark.parametrize("address", ["http://[", "http://a:x/", "http://", "gopher://x"])
def test_a_redirection_to_nowhere_is_one_line(server, url, target, address):
    server.behaviour.redirects = address
    with pytest.raises(DownloadError, match=r"^cannot fetch") as caught:
        download(url, target, progress=False, backoff=0, retries=1)
    assert "\n" not in str(caught.value)


def test_numbers_of_thousands_of_digits_are_no_lengths(server, url, target):
    server.behaviour.length = "9" * 5000
    download(url, target, md5=MD5, progress=False, backoff=0)
    target.unlink()
    part_of(target).write_bytes(CONTENT[:1000])
    server.behaviour.span = f"bytes 1000-2000/{'9' * 5000}"
    download(url, target, md5=MD5, progress=False, backoff=0)


def test_a_bad_certificate_is_not_retried(target, monkeypatch):
    calls = []

    def refuse(*arguments, **settings):
        calls.append(arguments)
        raise requests.exceptions.SSLError

    monkeypatch.setattr(requests, "get", refuse)
    with pytest.raises(DownloadError, match="certificate"):
        download("https://127.0.0.1/x", target, progress=False, backoff=0)
    assert len(calls) == 1


def test_a_folder_serves_as_well(tmp_path, target):
    source = tmp_path / "a mirror" / "file.bin"
    source.parent.mkdir()
    source.write_bytes(CONTENT)
    for mirror in (str(source.parent), source.parent.as_uri()):
        assert download(join(mirror, "file.bin"), target, md5=MD5).read_bytes() == CONTENT
        target.unlink()
        with pytest.raises(DownloadError, match=r"absent does not exist: name a file"):
            download(join(mirror, "absent"), target)
    source.write_bytes(b"other")
    with pytest.raises(DownloadError, match="MD5"):
        download(str(source), target, md5=MD5)
    assert source.read_bytes() == b"other"


def test_a_target_that_cannot_be_written(url, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UntrainedError, match="cannot write"):
        download(url, tmp_path / "file" / "x", progress=False)


def test_names_are_joined_to_mirrors():
    assert join("https://host/a/", "b.gz") == "https://host/a/b.gz"
    assert join("https://host/a", "b.gz") == "https://host/a/b.gz"
    assert local_path(join("some/folder", "b.gz")).as_posix() == "some/folder/b.gz"
    assert local_path("https://host/a") is None
