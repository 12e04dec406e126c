"""Make the bundled image samples and the halves of CIFAR-10.

Usage: python data/bundled/build_images.py SOURCE_FOLDER

SOURCE_FOLDER holds `cifar10_train2048.npz` and `cifar100_train2048.npz` (x: uint8 images,
y: labels, index: positions in the official training set, classes: names) and `cifar-split.txt`
(the halves of CIFAR-10's training set that NAS-Bench-201 uses, from D-X-Y/AutoDL-Projects).
The same source gives the same pixels and labels; the bytes of the sheets may differ between
versions of libwebp.
"""

import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from untrained.files import atomic
from untrained.images.splits import CIFAR10_TRAINING_IMAGES, SHEET_COLUMNS

COUNTS = {"cifar10": 2048, "cifar100": 1024}


def build_sample(source: Path, target: Path, dataset: str, count: int) -> None:
    """Write the first `count` images as one lossless contact sheet, and the rest as JSON."""
    with np.load(source / f"{dataset}_train2048.npz", allow_pickle=False) as file:
        images, labels, positions = (file[key][:count] for key in ("x", "y", "index"))
        classes = file["classes"].tolist()
    _, height, width, channels = images.shape
    tiles = images.reshape(-1, SHEET_COLUMNS, height, width, channels).swapaxes(1, 2)
    sheet = Image.fromarray(tiles.reshape(-1, SHEET_COLUMNS * width, channels))
    with atomic(target / f"{dataset}.webp") as part:
        sheet.save(part, "WEBP", lossless=True, quality=100, method=6)
    notes = {"classes": classes, "labels": labels.tolist(), "positions": positions.tolist()}
    lines = ",\n".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in notes.items())
    with atomic(target / f"{dataset}.json") as part:
        part.write_text(f"{{\n{lines}\n}}\n", encoding="utf-8")


def build_halves(source: Path, target: Path) -> None:
    """Write one bit per training image of CIFAR-10: 1 for the training half."""
    text = json.loads((source / "cifar-split.txt").read_text(encoding="utf-8"))
    train, valid = (np.array(text[half][1], np.int64) for half in ("train", "valid"))
    both = np.sort(np.concatenate([train, valid]))
    if not np.array_equal(both, np.arange(CIFAR10_TRAINING_IMAGES)):
        raise SystemExit("cifar-split.txt does not name each training image once")
    bits = np.zeros(CIFAR10_TRAINING_IMAGES, np.uint8)
    bits[train] = 1
    with atomic(target / "cifar10_halves.npy") as part, part.open("wb") as file:
        np.save(file, np.packbits(bits), allow_pickle=False)


def main(source: Path, target: Path) -> None:
    """Make all of it."""
    for dataset, count in COUNTS.items():
        build_sample(source, target, dataset, count)
    build_halves(source, target)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    main(Path(sys.argv[1]), Path(__file__).parent)
