"""Convert Imagenette's photographs to the .npz file that the project reads.

Imagenette has ten classes of ImageNet (J. Howard, github.com/fastai/imagenette); its second version
splits them into training and validation images in its own way. Networks for ImageNet are scored on
these photographs, as in the NASWOT paper.
"""

import io
import re
import zipfile
from collections.abc import Mapping
from itertools import groupby
from pathlib import Path
from typing import IO

import numpy as np

from untrained.errors import DamagedFileError, MissingDataError
from untrained.files import atomic, digest, reading
from untrained.images.archives import Progress, read_matching
from untrained.images.splits import Pixels

ARCHIVE = "imagenette2-320.tgz"
URL = f"https://s3.amazonaws.com/fast-ai-imageclas/{ARCHIVE}"

#: The classes by label, as ImageNet names their folders: tench, springer spaniel, cassette player,
#: chain saw, church, French horn, garbage truck, gas pump, golf ball, parachute.
CLASSES = (
    *("n01440764", "n02102040", "n02979186", "n03000684", "n03028079"),
    *("n03394916", "n03417042", "n03425413", "n03445777", "n03888257"),
)

#: Each split's folder and number of photographs.
FOLDERS: Mapping[str, str] = {"train": "train", "valid": "val"}
COUNTS: Mapping[str, int] = {"train": 9_469, "valid": 3_925}

#: The shorter side of a scaled photograph, and the side of the square that is cut out of it.
SCALED, SIDE = 256, 224
#: The most pixels of the longer side after scaling, far more than photographs of Imagenette have.
LONGEST = 20 * SCALED

_PHOTOGRAPH = re.compile(rf"(?:^|(?<=/))(?:train|val)/(?:{'|'.join(CLASSES)})/[^/]+\.JPEG$")


def convert_photographs(
    source: Path,
    target: Path,
    progress: Progress | None = None,
    *,
    allow_missing: bool = False,
    md5: str | None = None,
) -> dict[str, int]:
    """Convert photographs to an .npz of uint8 images (NHWC) of 224x224 pixels and labels per split.

    A photograph is scaled to 256 pixels on its shorter side (bilinear, with antialiasing) and
    cropped to its centre. Images are in the order of their classes and names.

    Args:
        source: the archive, or the folder that was in it. The larger original (`imagenette2`) is
            accepted as a folder, too, but then pixels differ slightly.
        target: the file to write; nothing is written after an error.
        progress: called with the name of each folder of a class that has been converted.
        allow_missing: whether to convert an incomplete source that has at least one photograph.
        md5: the checksum of the archive; None if it is not known.

    Returns:
        Split to the number of images written.

    Raises:
        MissingDataError: photographs are missing.
        DamagedFileError: the archive is not the official one, or a file is not a photograph.
    """
    if source.is_file() and md5 is not None and (found := digest(source, "md5")) != md5:
        raise DamagedFileError(
            f"{source} has the MD5 {found}, the official {ARCHIVE} has {md5}: get it again, or "
            "name a folder that has train/ and val/"
        )
    # compressed photographs take a seventh of the memory
    photographs = dict(sorted(read_matching(source, _PHOTOGRAPH)))
    names = {
        split: [name for name in photographs if name.startswith(f"{folder}/")]
        for split, folder in FOLDERS.items()
    }
    for split, mine in names.items():
        missing = len(mine) < COUNTS[split]
        if len(mine) > COUNTS[split] or (missing and not (photographs and allow_missing)):
            error = MissingDataError if missing else DamagedFileError
            raise error(
                f"{source} has {len(mine)} photographs in {FOLDERS[split]}/, Imagenette has "
                f"{COUNTS[split]}: name the complete {ARCHIVE}, or the folder that was in it"
            )
    there = {split: mine for split, mine in names.items() if mine}
    with atomic(target) as part, zipfile.ZipFile(part, "w") as archive:
        for split, mine in there.items():
            labels = np.array([CLASSES.index(name.split("/")[1]) for name in mine], np.int64)
            with archive.open(f"{split}_y.npy", "w") as file:
                np.save(file, labels)
            with archive.open(f"{split}_x.npy", "w", force_zip64=True) as file:
                _write_images(file, source, {name: photographs[name] for name in mine}, progress)
    return {split: len(mine) for split, mine in there.items()}


def _write_images(
    file: IO[bytes], source: Path, photographs: Mapping[str, bytes], progress: Progress | None
) -> None:
    """Write an array file (photographs, 224, 224, 3), one photograph at a time."""
    shape = (len(photographs), SIDE, SIDE, 3)
    np.lib.format.write_array_header_1_0(
        file, {"descr": "|u1", "fortran_order": False, "shape": shape}
    )
    for folder, names in groupby(photographs, key=lambda name: name.rpartition("/")[0]):
        for name in names:
            file.write(_decode(f"{source}: {name}", photographs[name]).tobytes())
        if progress is not None:
            progress(folder)


def _decode(name: str, content: bytes) -> Pixels:
    """Return the centre (224, 224, 3) of a photograph."""
    from PIL import Image

    with (
        reading(f"{name} is not a photograph"),
        Image.open(io.BytesIO(content), formats=["JPEG", "PNG"]) as photograph,
    ):
        width, height = photograph.size
        scale = SCALED / min(width, height)
        size = max(SCALED, round(width * scale)), max(SCALED, round(height * scale))
        if max(size) > LONGEST:
            raise ValueError(f"it has {width}x{height} pixels")
        scaled = photograph.convert("RGB").resize(size, Image.Resampling.BILINEAR)
    left, top = ((side - SIDE) // 2 for side in size)
    return np.asarray(scaled.crop((left, top, left + SIDE, top + SIDE)))
