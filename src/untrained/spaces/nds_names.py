"""The names of the sweeps of NDS: design space, what is special, `_in` for ImageNet.

They are apart, since the registry of spaces needs no more, and is part of every result's code.
"""

#: Of networks of cells.
CELLS = (
    *("Amoeba", "Amoeba_in"),
    *("DARTS", "DARTS_fix-w-d", "DARTS_in", "DARTS_lr-wd", "DARTS_lr-wd_in"),
    *("ENAS", "ENAS_fix-w-d", "ENAS_in"),
    *("NASNet", "NASNet_in"),
    *("PNAS", "PNAS_fix-w-d", "PNAS_in"),
)
#: Of networks of stages.
STAGES = (
    *("ResNet", "ResNet-B", "ResNet_lr-wd", "ResNet_lr-wd_in", "ResNet_reruns"),
    *("ResNet_rng1", "ResNet_rng2", "ResNet_rng3"),
    *("ResNeXt-A", "ResNeXt-A_in", "ResNeXt-B", "ResNeXt-B_in"),
    *("Vanilla", "Vanilla_lr-wd", "Vanilla_lr-wd_in", "Vanilla_reruns"),
    *("Vanilla_rng1", "Vanilla_rng2", "Vanilla_rng3"),
)


def space_of(sweep: str) -> str:
    """Return the name of the space of a sweep."""
    return f"nds_{sweep.lower().replace('-', '_')}"
