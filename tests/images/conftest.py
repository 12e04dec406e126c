"""Small files in the official layouts, and the real ones where this machine has them."""

import hashlib
import io
import os
import pickle
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from untrained.images.official import LAYOUTS
from untrained.images.sets import image_set


class Official:
    """A small imitation of a data set's official files.

    Attributes:
        files: name to content.
        images, labels: split to what a reader should find, all classes included.
    """

    def __init__(self, dataset, per_file=20, classes=None):
        self.dataset, self.layout = dataset, LAYOUTS[dataset]
        known = image_set(dataset)
        rng = np.random.default_rng(7)
        self.files, self.images, self.labels = {}, {}, {}
        for split, names in self.layout.parts.items():
            images, labels = [], []
            for name in names:
                channels, height, width = known.shape
                pixels = rng.integers(0, 256, (per_file, channels, height, width), np.uint8)
                drawn = rng.integers(0, classes or known.num_classes, per_file)
                content = {
                    "data": pixels.reshape(per_file, -1),
                    self.layout.labels: [int(label) + self.layout.first_label for label in drawn],
                    "batch_label": name,
                }
                self.files[name] = pickle.dumps(content, protocol=2)
                images.append(pixels.transpose(0, 2, 3, 1))
                labels.append(drawn)
            self.images[split], self.labels[split] = np.concatenate(images), np.concatenate(labels)
        kept = {split: labels < known.num_classes for split, labels in self.labels.items()}
        self.images = {split: images[kept[split]] for split, images in self.images.items()}
        self.labels = {split: labels[kept[split]] for split, labels in self.labels.items()}

    @property
    def counts(self):
        return {split: len(labels) for split, labels in self.labels.items()}

    def pass_for_official(self, monkeypatch, counts=None):
        """Let the imitation be taken for the official files, whatever it is changed to later."""
        sums = {name: hashlib.md5(data).hexdigest() for name, data in self.files.items()}
        monkeypatch.setattr("untrained.images.official.member_md5s", lambda dataset: sums)
        layout = replace(self.layout, counts=counts or self.counts)
        monkeypatch.setitem(LAYOUTS, self.dataset, layout)
        return self

    def write_folder(self, folder, without=()):
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in self.files.items():
            if name not in without:
                (folder / name).write_bytes(data)
        return folder

    def write_archive(self, path, extra=()):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tarfile.open(path, "w:gz", compresslevel=1) as archive:
            folder = tarfile.TarInfo(self.layout.folder)
            folder.type = tarfile.DIRTYPE
            archive.addfile(folder)
            for name, data in self.files.items():
                entry = tarfile.TarInfo(f"{self.layout.folder}/{name}")
                entry.size = len(data)
                archive.addfile(entry, io.BytesIO(data))
            for entry in extra:
                archive.addfile(entry, io.BytesIO(bytes(min(entry.size, 1000))))
        return path


@pytest.fixture
def official(monkeypatch):
    """Makes imitations that pass for official files."""

    def make(dataset, **settings):
        return Official(dataset, **settings).pass_for_official(monkeypatch)

    return make


@pytest.fixture(scope="session")
def real_images():
    """The folder of real image files; skips where there is none."""
    beside = Path(__file__).parents[3] / "shared" / "data"
    folder = Path(os.environ.get("UNTRAINED_SHARED_DATA", beside)) / "images"
    if not folder.is_dir():
        pytest.skip("needs the real image files: set UNTRAINED_SHARED_DATA")
    return folder
