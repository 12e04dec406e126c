"""From an archive on a server, in a folder or unpacked to a minibatch."""

import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from untrained.errors import (
    DamagedFileError,
    DownloadError,
    MissingDataError,
    ParameterError,
    UnknownNameError,
)
from untrained.images import fetch
from untrained.images.fetch import fetch_images
from untrained.images.splits import training_set


@pytest.fixture
def small(official, monkeypatch):
    """Imitated CIFAR-100 files that pass for the official ones."""
    monkeypatch.setattr("untrained.images.fetch.archive_md5", lambda dataset: None)
    return official("cifar100")


@pytest.fixture
def target(tmp_path):
    return tmp_path / "images" / "cifar100.npz"


def check(small, target):
    images, _ = training_set("cifar100", "train", target.parent)
    np.testing.assert_array_equal(images, small.images["train"])
    assert list(target.parent.iterdir()) == [target]


def test_from_files_that_are_here(small, target, tmp_path):
    folder = small.write_folder(tmp_path / "mirror" / "cifar-100-python")
    archive = small.write_archive(tmp_path / "packed" / "cifar-100-python.tar.gz")
    for source in (folder, folder.parent, archive, archive.parent):
        assert fetch_images("cifar100", target, source) == {"train": 20, "test": 20}
        check(small, target)
        target.unlink()
    for mirror in (str(folder.parent), archive.parent.as_uri()):
        fetch_images("cifar100", target, mirror=mirror)
        check(small, target)
    assert archive.is_file()


def test_from_a_server(small, target, tmp_path, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    archive = small.write_archive(tmp_path / "served" / "cifar-100-python.tar.gz")

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *arguments):
            pass

    handler = partial(Quiet, directory=str(archive.parent))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            mirror = f"http://127.0.0.1:{server.server_port}"
            names = []
            fetch_images("cifar100", target, mirror=mirror, bar=False, progress=names.append)
            check(small, target)
            assert names == ["train", "test"]
            with pytest.raises(DownloadError, match="404"):
                fetch_images("cifar10", target, mirror=mirror, bar=False)
        finally:
            server.shutdown()
            thread.join()


def test_the_official_address_and_checksum_are_used(target, monkeypatch):
    asked = []

    def refuse(*arguments, **settings):
        asked.append(arguments)
        raise DownloadError("no connection")

    monkeypatch.setattr(fetch, "download", refuse)
    for dataset in ("cifar10", "cifar100"):
        with pytest.raises(DownloadError):
            fetch_images(dataset, target)
    host = "https://www.cs.toronto.edu/~kriz/"
    ten, hundred = "cifar-10-python.tar.gz", "cifar-100-python.tar.gz"
    assert asked == [
        (host + ten, target.with_name(ten), "c58f30108f718f92721af3b95e74349a"),
        (host + hundred, target.with_name(hundred), "eb9058c3a382ffc7106e4002c42a8d85"),
    ]


def test_what_cannot_be_fetched(target, tmp_path):
    with pytest.raises(MissingDataError, match="`untrained fetch ImageNet16-120 --from FOLDER`"):
        fetch_images("ImageNet16-120", target)
    with pytest.raises(MissingDataError, match=r"lacks data_batch_1, .*test_batch"):
        fetch_images("cifar10", target, tmp_path, allow_missing=True)
    with pytest.raises(MissingDataError, match="does not exist"):
        fetch_images("cifar10", target, mirror=str(tmp_path / "absent"))
    with pytest.raises(ParameterError, match="noise"):
        fetch_images("noise", target)
    with pytest.raises(UnknownNameError, match="cifar100"):
        fetch_images("cifar1000", target)
    assert not target.exists()


def arrays(count=5, classes=120, side=16):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, side, side, 3)).astype(np.uint8)
    return {"x": images, "y": rng.integers(0, classes, count)}


def test_a_set_without_official_files_is_taken_from_arrays(tmp_path):
    given = arrays()
    (tmp_path / "mirror").mkdir()
    np.savez(tmp_path / "mirror" / "TinyImageNet16-120.npz", **given)
    target = tmp_path / "images" / "TinyImageNet16-120.npz"
    for where in ({"mirror": str(tmp_path / "mirror")}, {"source": tmp_path / "mirror"},
                  {"source": tmp_path / "mirror" / "TinyImageNet16-120.npz"}):  # fmt: skip
        target.unlink(missing_ok=True)
        assert fetch_images("TinyImageNet16-120", target, **where) == {"train": 5}
        images, labels = training_set("TinyImageNet16-120", "train", target.parent)
        np.testing.assert_array_equal(images, given["x"])
        np.testing.assert_array_equal(labels, given["y"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": np.zeros((5, 16, 16, 3))}, "has float64 images"),
        (
            {"x": np.zeros((5, 8, 8, 3), np.uint8)},
            r"uint8 of shape \(5, 16, 16, 3\) would be right",
        ),
        ({"y": np.zeros(4, np.int64)}, r"labels of shape \(4,\)"),
        ({"y": np.full(5, 120)}, "labels outside 0 to 119"),
        ({"y": np.zeros(5)}, "float64 labels: integers would be right"),
        ({"y": None}, r"is not an \.npz of x"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(tmp_path, change, message):
    given = {name: value for name, value in (arrays() | change).items() if value is not None}
    np.savez(tmp_path / "a.npz", **given)
    with pytest.raises(DamagedFileError, match=message):
        fetch_images("TinyImageNet16-120", tmp_path / "b.npz", tmp_path / "a.npz")
    assert not (tmp_path / "b.npz").exists()


def test_arrays_that_are_not_there(tmp_path):
    with pytest.raises(MissingDataError, match="untrained fetch TinyImageNet16-120 --from FOLDER"):
        fetch_images("TinyImageNet16-120", tmp_path / "b.npz")
    with pytest.raises(MissingDataError, match="does not exist"):
        fetch_images("TinyImageNet16-120", tmp_path / "b.npz", tmp_path)
    (tmp_path / "c.npz").write_text("no archive")
    with pytest.raises(DamagedFileError, match=r"is not an \.npz"):
        fetch_images("TinyImageNet16-120", tmp_path / "b.npz", tmp_path / "c.npz")
