"""Members come out of folders and archives by their exact names, and nothing else happens."""

import io
import tarfile

import pytest

from untrained.errors import DamagedFileError, MissingDataError
from untrained.images import archives
from untrained.images.archives import read_members


def write_tar(path, entries, mode="w:gz"):
    """`entries`: pairs of name and content, or finished headers."""
    with tarfile.open(path, mode) as archive:
        for entry in entries:
            if isinstance(entry, tarfile.TarInfo):
                archive.addfile(entry)
                continue
            header = tarfile.TarInfo(entry[0])
            header.size = len(entry[1])
            archive.addfile(header, io.BytesIO(entry[1]))
    return path


def special(name, kind, link=""):
    header = tarfile.TarInfo(name)
    header.type, header.linkname = kind, link
    return header


def read(source, names=("a", "b")):
    return dict(read_members(source, "folder", names))


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_only_what_is_named_is_read(tmp_path, mode):
    directory = special("folder", tarfile.DIRTYPE)
    entries = [directory, ("folder/a", b"1"), ("./b", b"22"), ("folder/readme", b"x"), ("aa", b"y")]
    source = write_tar(tmp_path / "x.tar", entries, mode)
    assert read(source) == {"a": b"1", "b": b"22"}
    assert list(tmp_path.iterdir()) == [source]


def test_folders_have_the_files_or_the_official_folder(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a").write_bytes(b"inner")
    (tmp_path / "b").write_bytes(b"outer")
    (tmp_path / "folder" / "b").write_bytes(b"hidden by the outer one")
    (tmp_path / "c").write_bytes(b"not asked for")
    assert read(tmp_path) == {"a": b"inner", "b": b"outer"}


@pytest.mark.parametrize(
    "entry",
    [
        special("folder/a", tarfile.SYMTYPE, "/etc/passwd"),
        special("folder/a", tarfile.LNKTYPE, "folder/b"),
        special("folder/a", tarfile.FIFOTYPE),
        ("../a.txt", b"1"),
    ],
)
def test_links_are_not_followed_and_nothing_is_extracted(tmp_path, entry):
    source = write_tar(tmp_path / "x.tar.gz", [("folder/b", b"22"), entry])
    assert read(source) == {"b": b"22"}
    assert list(tmp_path.iterdir()) == [source]


def test_a_name_that_is_there_twice_is_refused(tmp_path):
    source = write_tar(tmp_path / "x.tar.gz", [("folder/b", b"22"), ("b", b"again")])
    with pytest.raises(DamagedFileError, match="has b twice"):
        read(source)


def test_absurd_sizes_are_refused_before_reading(tmp_path, monkeypatch):
    header = tarfile.TarInfo("folder/unasked")
    header.size = 1 << 40
    source = tmp_path / "x.tar"
    source.write_bytes(header.tobuf() + bytes(1024))
    with pytest.raises(DamagedFileError, match="one of over 268435456 bytes: no official archive"):
        read(source)
    monkeypatch.setattr(archives, "MAX_BYTES", 3)
    with pytest.raises(DamagedFileError, match="continues after its last entry"):
        read(write_tar(tmp_path / "padded.tar", [("a", b"1")]))
    monkeypatch.setattr(archives, "MAX_ENTRIES", 2)
    many = write_tar(tmp_path / "many.tar", [(f"{number}", b"") for number in range(3)])
    with pytest.raises(DamagedFileError, match="over 2 entries"):
        read(many)


def test_what_is_no_complete_archive(tmp_path):
    source = write_tar(tmp_path / "x.tar.gz", [("folder/a", bytes(range(256)) * 999)])
    whole = source.read_bytes()
    damaged = bytearray(whole)
    damaged[len(whole) // 2] ^= 255
    for content in (b"", b"<html>", whole[: len(whole) // 2], whole[:20], bytes(damaged)):
        source.write_bytes(content)
        with pytest.raises(DamagedFileError, match="get it again") as caught:
            read(source)
        assert "\n" not in str(caught.value)
    with pytest.raises(MissingDataError, match="absent does not exist: name a folder or"):
        read(tmp_path / "absent")
