"""Score NAS-Bench-201 by many proxies in many processes, for build_nasbench201_scores.py.

Usage: python score_nasbench201.py FOLDER [--gpu 6] [--cpu 9] [--seconds 200] [--mps]

FOLDER/scores.parquet is a table of scores when the seconds are over, or everything is scored. The
same command goes on where the last one ended: finished pieces lie in FOLDER/pieces.
Pieces are done in the order of `TASKS`, those of one task in random order of the cells, so that
what is there is a random sample of them at any time. Every process has one core and one thread.
"""

import argparse
import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from untrained.files import read_parquet, write_parquet
from untrained.scoring.shards import score_space
from untrained.spaces.nasbench201 import NasBench201

#: Distinct cells that are drawn at random, for proxies that are too slow for all cells.
SAMPLE = 2_000

SPACE = NasBench201()


class Task(NamedTuple):
    """Proxies that are read off one network and its images.

    Attributes:
        cells: "all", "sample", or the "rest": all that the sample's tasks do not score.
        proxies: their spellings.
        size: the number of cells in a piece.
        images: the number of images in the minibatch.
        dataset: their data set.
        gpu: whether only a process on a GPU does it.
    """

    cells: str
    proxies: tuple[str, ...]
    size: int = 16
    images: int = 64
    dataset: str = "cifar10"
    gpu: bool = False


NASWOT = ("naswot", "naswot-released")
LOSS = ("snip", "plain", "grad_norm", "grad_norm-naswot", "fisher", "fisher-released")
SYNFLOW = ("synflow", "synflow-logsynflow")
AZ_NAS = ("az_expressivity", "az_progressivity", "az_trainability")
TENAS = ("linear_regions", "ntk_condition_number")
ZEN = ("zen", "zen-released")
SWAP = ("swap", "swap-regularised")
TASKS = [
    Task("all", NASWOT, 256, 128, gpu=True),
    Task("all", NASWOT, 256, 128, "cifar100", gpu=True),
    *(Task("sample", one) for one in (LOSS, SYNFLOW, ("epe_nas",), ("zico",), AZ_NAS, ZEN)),
    Task("sample", ("meco-released",)),
    *(Task("rest", one) for one in (LOSS, SYNFLOW)),
    *(Task("sample", one, 8) for one in (("grasp",), SWAP)),
    Task("all", TENAS, 32, 32),
    *(Task("rest", one) for one in (AZ_NAS, ("epe_nas",), ("zico",), ZEN, ("meco-released",))),
]


def sampled() -> list[int]:
    """Return the sample of distinct cells in random order."""
    distinct = np.unique(SPACE.live_representatives)
    drawn = np.random.default_rng(0).choice(distinct, SAMPLE, replace=False)
    return [int(cell) for cell in drawn]


def pieces() -> Iterator[tuple[str, Task, list[int]]]:
    """Yield all pieces in order: name, task and cells. Cells that share scores are in one piece."""
    owners = SPACE.executed_representatives
    members = pd.Series(range(len(SPACE))).groupby(owners).agg(list)
    first = list(dict.fromkeys(int(owners[cell]) for cell in sampled()))
    others = np.random.default_rng(1).permutation(np.setdiff1d(owners, first)).tolist()
    orders = {"sample": first, "rest": others, "all": first + others}
    for task in TASKS:
        classes = orders[task.cells]
        for start in range(0, len(classes), task.size):
            cells = [cell for one in classes[start : start + task.size] for cell in members[one]]
            yield f"{task.proxies[0]}-{task.dataset}-{task.cells}-{start:05}", task, cells


def work(folder: Path, device: str, end: float) -> None:
    """Score pieces that nobody has, until time is over."""
    from untrained.scoring.execution import prepare_worker

    prepare_worker()
    longest: dict[Task, float] = {}
    for name, task, cells in pieces():
        file, claim = folder / f"{name}.parquet", folder / f"{name}.claim"
        begun = time.time()
        if task.gpu > device.startswith("cuda") or begun + longest.get(task, 0) > end:
            continue
        if file.exists() or not claimed(claim):
            continue
        scores = score_space(
            SPACE,
            task.proxies,
            architectures=cells,
            share=True,
            batch_size=task.images,
            dataset=task.dataset,
            precision="float32",
            device=device,
        )
        write_parquet(scores.assign(device=device, batch_size=task.images), file)
        longest[task] = max(longest.get(task, 0), time.time() - begun)


def claimed(path: Path) -> bool:
    """Take a piece, unless another process has."""
    try:
        path.touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def with_server(environment: dict[str, str]) -> bool:
    """Start CUDA's server for several processes on a card, and say whether it serves them.

    Without it the card runs kernels of one process at a time.
    """
    program = shutil.which("nvidia-cuda-mps-control")
    if program is None:
        return False
    own = environment | {
        f"CUDA_MPS_{name}_DIRECTORY": f"/tmp/mps-{os.getpid()}-{name.lower()}"  # noqa: S108
        for name in ("PIPE", "LOG")
    }
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        for name in ("PIPE", "LOG"):
            Path(own[f"CUDA_MPS_{name}_DIRECTORY"]).mkdir()
        subprocess.run([program, "-d"], env=own, check=True, timeout=10)
        tried = "import torch; torch.ones(9).cuda().sum().item()"
        subprocess.run([sys.executable, "-c", tried], env=own, check=True, timeout=40)
        environment |= own
        return True
    subprocess.run([program], input="quit\n", text=True, env=own, check=False, timeout=10)
    return False


def main() -> None:
    """Start the processes, wait for them until time is over, and join what they have made."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--gpu", type=int, default=0, help="processes on the GPU")
    parser.add_argument("--cpu", type=int, default=0, help="processes on the CPU")
    parser.add_argument("--seconds", type=float, default=1e9, help="time after which all end")
    parser.add_argument(
        "--mps",
        action="store_true",
        help="try CUDA's server for processes; where it works, all processes are on the GPU",
    )
    parser.add_argument("--as-one", nargs=2, help=argparse.SUPPRESS)  # device, end
    given = parser.parse_args()
    made = given.folder / "pieces"
    if given.as_one:
        work(made, given.as_one[0], float(given.as_one[1]))
        return
    end = time.time() + given.seconds
    made.mkdir(parents=True, exist_ok=True)
    for claim in made.glob("*.claim"):
        claim.unlink()
    environment = dict(os.environ, OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")
    served = given.mps and with_server(environment)
    print("with" if served else "without", "CUDA's server for processes", flush=True)
    cores = sorted(os.sched_getaffinity(0))
    command = [sys.executable, __file__, str(given.folder), "--as-one"]
    started = []
    on_gpu = given.gpu + (given.cpu if served else 0)
    devices = ["cuda:0"] * on_gpu + ["cpu"] * (given.gpu + given.cpu - on_gpu)
    for place, device in enumerate(devices):
        core = cores[place % len(cores)]
        started.append(
            subprocess.Popen(
                [*command, device, str(end)],
                env=environment,
                stderr=(given.folder / f"{place}-{device.partition(':')[0]}.log").open("w"),
                preexec_fn=lambda core=core: os.sched_setaffinity(0, {core}),
            )
        )
    try:
        for process in started:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.1, end - time.time()))
    finally:
        for process in started:
            process.kill()
        if served:
            program = ["nvidia-cuda-mps-control"]
            subprocess.run(program, input="quit\n", text=True, env=environment, check=False)
    join(given.folder)


def join(folder: Path) -> None:
    """Join all finished pieces, and say what there is."""
    done = sorted((folder / "pieces").glob("*.parquet"))
    if not done:
        raise SystemExit("no piece was finished: see the logs")
    table = pd.concat([read_parquet(file) for file in done], ignore_index=True)
    table = table.sort_values(["proxy", "dataset", "seed", "arch"], ignore_index=True)
    write_parquet(table, folder / "scores.parquet")
    summary = table.groupby(["proxy", "dataset", "device"]).agg(
        cells=("arch", "size"),
        undefined=("status", lambda own: (own != "ok").sum()),
        seconds=("seconds", "mean"),
    )
    print(summary.to_string())
    print(f"{folder / 'scores.parquet'}: {(folder / 'scores.parquet').stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
