"""Kills, full disks, locks and rivals: afterwards a small run of every phase makes the same bytes.

`make test-faults` runs these, three tests at a time. So they run on one core each, and the run
that all are compared with, on two.
"""

import hashlib
import os
import random
import shutil
import signal
import subprocess
import time

import pytest
from filelock import FileLock

from faults.test_damaged_files import flipped, foreign, truncated
from test_workflow import (
    PRUNING,
    SHARDS,
    artifacts,
    copied,
    environment,
    git,
    new_checkout,
    recorded,
    run,
    set_parameters,
    snakemake,
    with_remote,
)

KILLS = int(os.environ.get("UNTRAINED_KILLS", "30"))
SIZES = 8
RUN = "snakemake", "--cores", "1"


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory, worker_id):
    """A whole run from nothing on two cores; the first process of pytest makes it for all."""
    top = tmp_path_factory.getbasetemp()
    folder = (top if worker_id == "master" else top.parent) / "undisturbed"
    made = folder.with_suffix(".made")
    with FileLock(folder.with_suffix(".lock")):
        if not made.exists():
            run(new_checkout(folder), "snakemake", "--cores", "2")
            made.touch()
    return folder


def begin(folder, *command):
    """Start a program with a process group of its own."""
    log = (folder / "said.log").open("ab")
    return subprocess.Popen(
        command or RUN,
        cwd=folder,
        env=environment(),
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def killed(folder, seconds):
    """Begin a run and kill its process group after some seconds; whether it had not ended."""
    shutil.rmtree(folder / ".snakemake/locks", ignore_errors=True)  # as --unlock does
    running = begin(folder)
    try:
        code = running.wait(seconds)
    except subprocess.TimeoutExpired:
        os.killpg(running.pid, signal.SIGKILL)
        running.wait()
        return True
    assert code == 0, (folder / "said.log").read_text()[-3000:]
    return False


def test_killed_at_random_points_a_run_ends_with_the_same_bytes(undisturbed, tmp_path):
    draw, kills, runs = random.Random(0), 0, 0
    while kills < KILLS:
        folder = new_checkout(tmp_path / str(runs))
        while kills < KILLS and killed(folder, draw.uniform(2, 13)):
            kills += 1
        run(folder, "snakemake", "--unlock")
        run(folder, *RUN)
        assert artifacts(folder) == artifacts(undisturbed)
        shutil.rmtree(folder)
        runs += 1
        assert runs <= 1 + kills, "runs end before they are killed"


def without_pruning(source, target):
    """A copy of a run in which the pruning search has to be made again."""
    folder = copied(source, target)
    trace = folder / PRUNING
    trace.resolve().unlink()
    trace.unlink()
    return folder


def test_a_second_workflow_in_a_folder_is_refused(undisturbed, tmp_path):
    folder = without_pruning(undisturbed, tmp_path / "run")
    first = begin(folder)
    deadline = time.monotonic() + 60
    while not list((folder / ".snakemake/locks").glob("*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    said = snakemake(folder, "--cores", "1", succeeds=False)
    assert "LockException" in said
    assert first.wait() == 0
    assert artifacts(folder) == artifacts(undisturbed)


def test_stale_locks_are_named_and_removed(undisturbed, tmp_path):
    folder = without_pruning(undisturbed, tmp_path / "run")
    running = begin(folder)
    while not list((folder / ".snakemake/locks").glob("*")):
        time.sleep(0.05)
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    assert "--unlock" in snakemake(folder, "--cores", "1", succeeds=False)
    snakemake(folder, "--unlock")
    # those of DVC, whose process is gone
    (folder / ".dvc/tmp").mkdir(parents=True, exist_ok=True)
    (folder / ".dvc/tmp/lock").touch()
    gone = begin(folder, "true")
    gone.wait()
    (folder / ".dvc/tmp/rwlock").write_text(
        f'{{"write": {{"{folder}/results/prunings": {{"pid": {gone.pid}, "cmd": "dvc repro"}}}}}}'
    )
    (folder / ".dvc/config.local").write_text("[core]\n    no_scm = true\n")
    run(folder, "dvc", "repro", "prunings")
    run(folder, *RUN)
    assert artifacts(folder) == artifacts(undisturbed)


def test_two_writers_of_one_ledger_end_with_the_same_bytes(tmp_path):
    command = [
        "untrained",
        "shard",
        "nasbench201",
        "--proxy",
        "naswot",
        "--dataset",
        "cifar10",
        "--batch-size",
        "4",
    ]
    command += ["--seed", "0", "--architectures", "40", "--quiet"]
    run(tmp_path, *command, "--out", "alone.parquet")
    asked = [*command, "--ledger", "ledger.sqlite"]
    rivals = [begin(tmp_path, *asked, "--out", f"{number}.parquet") for number in range(2)]
    time.sleep(3)
    os.killpg(rivals[0].pid, signal.SIGKILL)
    assert rivals[1].wait() == 0
    run(tmp_path, *asked, "--out", "0.parquet")
    alone = (tmp_path / "alone.parquet").read_bytes()
    assert (tmp_path / "0.parquet").read_bytes() == alone
    assert (tmp_path / "1.parquet").read_bytes() == alone


def test_dvc_and_three_shards_make_the_same_bytes(undisturbed, tmp_path):
    folder = new_checkout(tmp_path / "run")
    set_parameters(folder, **{"scores.shards": 3, "searches.shards": 3})
    (folder / ".dvc/config.local").write_text("[core]\n    no_scm = true\n")
    run(folder, "dvc", "repro", "--force")
    made, right = artifacts(folder), artifacts(undisturbed)
    parts = {name for name in made if name.endswith("of3.parquet")}
    assert len(parts) == 3 * 2 + 3 * 2  # scores of two seeds, and two searches
    whole = {name for name in right if name.endswith("of1.parquet") and "curves" not in name}
    assert {name: made[name] for name in made.keys() - parts} == {
        name: right[name] for name in right.keys() - whole
    }


EXPENSIVE = "scores", "searches", "ablations", "prunings", "devices", "training_curves"


def damaged_at_random(paths, damage):
    """Damage files, each at a place of its own."""
    draw = random.Random(damage.__name__)
    for path in paths:
        content = path.read_bytes()
        path.chmod(0o644)
        path.write_bytes(damage(content, draw.random()))


@pytest.mark.parametrize("damage", [flipped, truncated, foreign])
def test_damage_in_the_output_cache_is_named_or_harmless(undisturbed, tmp_path, damage):
    right = artifacts(undisturbed)
    folder = copied(undisturbed, tmp_path / "run")
    cached = [
        (folder / name).resolve()
        for name in sorted(right)
        if (folder / name).is_symlink() and name.startswith("results/")
    ]
    assert {path.relative_to(folder).parts[1] for path in cached} == {"outputs"}
    assert len(cached) == 8  # two shards, two searches, and one of each other phase
    damaged_at_random(cached, damage)
    for phase in EXPENSIVE:  # as DVC does before a stage
        shutil.rmtree(folder / "results" / phase)
    said = snakemake(folder, "--cores", "1", "--keep-going", succeeds=False)
    # a flip may fall on what nothing reads, and what is behind a file that is damaged is not read
    assert "is damaged" in said
    assert "Traceback (most recent call last)" not in said
    made = artifacts(folder)
    links = {name for name in made if (folder / name).is_symlink()}
    assert {name for name in made if made[name] != right[name]} <= links


def test_damage_in_a_remote_of_dvc_is_named(undisturbed, tmp_path):
    """Such files would be taken for what was recorded: DVC compares no digest."""
    project = recorded(copied(undisturbed, tmp_path / "project"))
    names = [
        f"{SHARDS}/seed0/0of1.parquet",
        "results/tables/nasbench201/correlations.csv",
        "results/figures/nasbench201/scores.png",
    ]
    digests = [hashlib.md5((project / name).read_bytes()).hexdigest() for name in names]
    stored = [tmp_path / "store/files/md5" / one[:2] / one[2:] for one in digests]
    for damage in (flipped, truncated, foreign):
        shutil.copytree(tmp_path / "store", tmp_path / "kept")
        damaged_at_random(stored, damage)
        git(tmp_path, "clone", "--quiet", "project", damage.__name__)
        clone = tmp_path / damage.__name__
        with_remote(clone)
        run(clone, "dvc", "pull", "--quiet")
        said = run(clone, "python", "workflow/adopt.py", succeeds=False)
        assert f"{sorted(names)[0]} is not what dvc.lock says (3 of such files)" in said
        assert "make sync" in snakemake(clone, "-n", succeeds=False)  # it stays refused
        shutil.rmtree(tmp_path / "store")
        (tmp_path / "kept").rename(tmp_path / "store")


@pytest.fixture
def disk(tmp_path):
    """A small disk in the memory, and what changes its size in KiB."""
    if os.geteuid() or not shutil.which("mount"):
        pytest.skip("only root can mount a small disk")
    point = tmp_path / "disk"
    point.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", point], capture_output=True, check=False
    )
    if made.returncode:
        pytest.skip(f"no small disk can be mounted: {made.stderr.decode().strip()}")

    def resize(size):
        subprocess.run(["mount", "-o", f"remount,size={size}k", point], check=True)

    yield point, resize
    subprocess.run(["umount", "--lazy", point], check=True)


def size_of(folder):
    return int(subprocess.check_output(["du", "-sk", folder]).split()[0])


def test_a_full_disk_is_said_and_room_ends_with_the_same_bytes(undisturbed, disk):
    point, resize = disk
    resize(64 << 10)
    folder = new_checkout(point / "project")
    begins, needed = size_of(folder), size_of(undisturbed)
    failures = 0
    for part in range(SIZES):
        resize(begins + 40 + (needed - begins) * part // SIZES)
        ended = begin(folder)
        failures += ended.wait() != 0
        shutil.rmtree(folder / ".snakemake/locks", ignore_errors=True)
    said = (folder / "said.log").read_text()
    assert failures >= SIZES // 2
    assert said.count("untrained: cannot write") >= 1, said[-3000:]
    resize(4 * needed)
    run(folder, *RUN)
    assert artifacts(folder) == artifacts(undisturbed)
