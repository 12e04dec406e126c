"""Run commands as the installed program does, in this process."""

import contextlib
import io
import sys

import pytest

from untrained import cli

SPLITS = ("train", "test")


def command(*arguments):
    """Run `untrained` in the working directory; (exit code, standard output, standard error)."""
    out, err = io.StringIO(), io.StringIO()
    with (
        pytest.MonkeyPatch.context() as patched,
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        patched.setattr(sys, "argv", ["untrained", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
    return stopped.value.code, out.getvalue(), err.getvalue()


@pytest.fixture
def untrained(monkeypatch, tmp_path):
    """Run the command in an empty folder; (exit code, standard output, standard error)."""
    monkeypatch.chdir(tmp_path)
    return command


@pytest.fixture
def refused(untrained, tmp_path):
    """Run a command that must fail on one line, say `said` and leave the folder as it was.

    `after` lines of progress come before.
    """

    def run(arguments, said, *, after=0):
        before = contents(tmp_path)
        code, out, err = untrained(*arguments)
        assert code == 2, err
        assert out == ""
        assert said in err
        assert err.splitlines()[-1].startswith("untrained: ")
        assert len(err.splitlines()) == 1 + after
        assert contents(tmp_path) == before
        return err

    return run


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def test_images(untrained, monkeypatch, tmp_path):
    """A small imitation of CIFAR-10 has been fetched, of whose test set six images are read."""
    from dataclasses import replace

    import numpy as np

    from untrained.proxies.ntk import LabelGradientAlignment

    kernels = LabelGradientAlignment.kernels
    fewer = replace(kernels["released"].setting, images=6)
    monkeypatch.setitem(kernels, "released", replace(kernels["released"], setting=fewer))
    rng = np.random.default_rng(0)
    (tmp_path / "data/images").mkdir(parents=True)
    np.savez(
        tmp_path / "data/images/cifar10.npz",
        **{f"{split}_x": rng.integers(0, 256, (16, 32, 32, 3), np.uint8) for split in SPLITS},
        **{f"{split}_y": rng.permutation(16) % 10 for split in SPLITS},
    )


@pytest.fixture
def quick_numbers(monkeypatch):
    """The numbers of a pruning search follow from the mask alone."""
    from untrained.search.measurements import Draw, Numbers

    monkeypatch.setattr(Draw, "numbers", lambda _self, mask, **_: Numbers(9.0, float(mask.sum())))


def train_on_few(patched):
    """Short trainings are on 32 images."""
    from dataclasses import replace

    from untrained.scoring.images import MinibatchSettings

    original = MinibatchSettings.training_images

    def few(self, *given, **named):
        whole = original(self, *given, **named)
        return replace(whole, images=whole.images[:32], labels=whole.labels[:32])

    patched.setattr(MinibatchSettings, "training_images", few)


@pytest.fixture
def few_steps(monkeypatch):
    train_on_few(monkeypatch)
