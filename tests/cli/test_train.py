"""`untrained train` on a few images and small networks."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from tests.networks.slow import benchmark_flops

from untrained.images.minibatches import crop_flip, normalise
from untrained.images.sets import image_set
from untrained.networks.costs import count_parameters
from untrained.networks.darts import Skeleton, network_graph
from untrained.networks.network import GraphNetwork
from untrained.spaces import get_space
from untrained.spaces.genotypes import parse_genotype
from untrained.training.cutout import cut_out

from .conftest import contents

SMALL = (*("--cells", 3), *("--channels", 2), *("--batch-size", 8), *("--epochs", 2))
FILE = "one.pt"
SAVED = ("--checkpoint", FILE)


@pytest.fixture
def few(monkeypatch):
    """Each split of a data set has twelve images."""

    def read(dataset, split, root):
        rng = np.random.default_rng(len(split))
        side = image_set(dataset).shape[1]
        classes = image_set(dataset).num_classes
        return (
            rng.integers(0, 256, (12, side, side, 3), np.uint8),
            rng.integers(0, classes, 12),
        )

    monkeypatch.setattr("untrained.search.training.training_set", read)


def rows(out):
    return [json.loads(line) for line in out.splitlines()]


def without_times(row):
    return {name: value for name, value in row.items() if name not in ("seconds", "checkpoint")}


@pytest.mark.usefixtures("few")
def test_each_epoch_is_a_line_and_so_is_the_end(untrained):
    code, out, err = untrained("train", "DARTS_V2", *SMALL, *SAVED, "--json", "--seed", 4)
    assert code == 0, err
    first, second, summary = rows(out)
    assert (first["epoch"], second["epoch"]) == (1, 2)
    assert first["accuracy"] is None
    assert summary["accuracy"] == second["accuracy"] is not None
    assert summary["evaluated_on"] == "cifar10/test"
    assert summary["evaluated_images"] == summary["images"] == 12
    assert (summary["seed"], summary["epochs"], summary["split"]) == (4, 2, "train")
    assert summary["genotype"] == get_space("darts").parse("DARTS_V2").spelling
    assert summary["device"] in ("cpu", "cuda:0")
    lines = err.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith(f"epoch 1/2: loss {first['loss']:.4f}, training ")
    assert f", test {second['accuracy']:.2f} %, " in lines[1]


@pytest.mark.usefixtures("few")
def test_what_people_read(untrained):
    code, out, _ = untrained("train", "DARTS_V2", *SMALL)
    index = get_space("darts").parse("DARTS_V2").index
    assert code == 0
    assert out.startswith("Genotype(normal=[('sep_conv_3x3', 0)")
    network = GraphNetwork(network_graph(parse_genotype("DARTS_V2"), 10, Skeleton(3, 2)))
    costs = count_parameters(network), benchmark_flops(network, (3, 32, 32))
    assert f"  parameters  {costs[0]:,} (3 cells, 2 channels, without auxiliary head)\n" in out
    assert f"  FLOPs       {costs[1]:,} multiply-adds\n" in out
    assert "  trained     2 epochs on 12 images of cifar10/train, seed 0, " in out
    assert " %  12 images of cifar10/test\n" in out
    assert out.endswith(f"  checkpoint  results/trainings/darts-{index}-seed0.pt\n")
    assert Path(f"results/trainings/darts-{index}-seed0.pt").is_file()


@pytest.mark.usefixtures("few")
def test_an_interrupted_training_ends_as_an_uninterrupted_one(untrained, monkeypatch):
    from untrained.cli import train

    _, whole, _ = untrained("train", "PC_DARTS_cifar", *SMALL, "--checkpoint", "a.pt", "--json")

    def interrupted(*_arguments, **_options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(train, "_report", interrupted)
        code, *_ = untrained("train", "PC_DARTS_cifar", *SMALL, "--checkpoint", "b.pt", "--json")
        assert code != 0
    _, rest, err = untrained("train", "PC_DARTS_cifar", *SMALL, "--checkpoint", "b.pt", "--json")
    assert err.startswith("continuing b.pt after epoch 1 of 2\n")
    expected, found = rows(whole), rows(rest)
    assert len(found) == 2
    assert [without_times(row) for row in found] == [without_times(row) for row in expected[1:]]
    before = contents(Path())
    _, again, err = untrained("train", "PC_DARTS_cifar", *SMALL, "--checkpoint", "b.pt", "--json")
    assert err == "continuing b.pt after epoch 2 of 2\n"
    assert rows(again) == found[1:]
    assert contents(Path()) == before


@pytest.fixture
def handed_over(untrained, few, monkeypatch):
    """What the command with more options would train on, and what it would evaluate on."""
    del few

    def run(*options):
        handed = []

        def training(_network, examples, _recipe, _seed, _device, held_out, *_options):
            handed.extend([examples, held_out])
            raise KeyboardInterrupt

        monkeypatch.setattr("untrained.training.loop.train", training)
        untrained("train", "DARTS_V2", *SMALL, *options)
        examples, held_out = handed
        return examples, held_out

    return run


@pytest.mark.parametrize("cutout", [16, 4, 0])
@pytest.mark.parametrize("shifted", [True, False])
def test_images_are_changed_as_the_options_say(handed_over, shifted, cutout):
    """Shifted and flipped first, then normalised, then cut: so the square is 0."""
    known = image_set("cifar10")
    flag = "--crop-flip" if shifted else "--no-crop-flip"
    for examples in handed_over(flag, "--cutout", cutout):
        plain = (examples.images / 1.0 - known.mean) / known.std
        expected = plain.transpose(0, 3, 1, 2)
        shown = examples.prepare(examples.images, None)
        np.testing.assert_allclose(shown, expected, rtol=1e-4, atol=1e-5)
        rng = np.random.default_rng(5)
        if shifted:
            expected = normalise(crop_flip(examples.images, 4, rng), known)
        if cutout:
            expected = cut_out(expected, cutout, rng)
        shown = examples.prepare(examples.images, np.random.default_rng(5))
        np.testing.assert_allclose(shown, expected, rtol=1e-4, atol=1e-5)


def test_images_are_shifted_flipped_and_cut_unless_told_otherwise(handed_over):
    examples, _ = handed_over()
    rng = np.random.default_rng(5)
    moved = normalise(crop_flip(examples.images, 4, rng), image_set("cifar10"))
    shown = examples.prepare(examples.images, np.random.default_rng(5))
    np.testing.assert_array_equal(shown, cut_out(moved, 16, rng))
    assert not np.array_equal(shown, moved)
    assert not np.array_equal(moved, examples.prepare(examples.images, None))


def test_a_training_on_the_bundled_sample_has_no_accuracy(untrained):
    options = (*("--cells", 3), *("--channels", 2), *("--batch-size", 512), *("--epochs", 1))
    code, out, _ = untrained("train", "DARTS_V1", *options, "--split", "sample")
    assert code == 0
    assert "trained     1 epochs on 2,048 images of cifar10/sample" in out
    assert "  accuracy    unknown: no images were held out to evaluate on\n" in out
    code, out, _ = untrained("train", "DARTS_V1", *options, "--split", "sample", "--json")
    assert code == 0
    (summary,) = rows(out)
    assert summary["accuracy"] is summary["evaluated_on"] is None
    assert summary["evaluated_images"] == 0


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["DARTS_V3"], "unknown genotype 'DARTS_V3': did you mean 'DARTS_V2'?"),
        (["Genotype(normal=[])"], "no genotype (missing a required argument: 'normal_concat')"),
        (["DARTS_V2", "--dataset", "cifar"], "unknown data set 'cifar': did you mean"),
        (["DARTS_V2", "--dataset", "noise"], "'noise' is drawn for each minibatch"),
        (["DARTS_V2", "--split", "half"], "unknown split of cifar10 'half'"),
        (["DARTS_V2", "--held-out", "half"], "unknown split of cifar10 'half'"),
        (
            ["DARTS_V2", "--held-out", "train"],
            "held-out split 'train' of cifar10 shares images with",
        ),
        (["DARTS_V2", "--epochs", 0], "epochs is 0: 1 or more"),
        (["DARTS_V2", "--drop-path", 1], "drop_path is 1.0: 0 or more and below 1"),
        (["DARTS_V2", "--evaluate-every", -1], "evaluate_every is -1: 0 or more"),
        (["DARTS_V2", "--cells", 2], "2 cells: 3 or more"),
        (["DARTS_V2", "--channels", 3], "3 channels: an even number"),
        (["DARTS_V2", "--seed", -1], "seed -1 is negative"),
        (["DARTS_V2", "--device", "cuda:77"], "device 'cuda:77' is not here"),
        (
            ["DARTS_V2", "--dataset", "ImageNet16-120"],
            "does not take images of 16x16: train without",
        ),
    ],
)
def test_mistakes_take_one_line(refused, arguments, said):
    refused(["train", *SMALL, *arguments], said)


def test_images_that_are_not_there_are_said_with_their_command(refused):
    refused(["train", "DARTS_V2"], "does not exist: run `untrained fetch cifar10`")


@pytest.mark.usefixtures("few")
def test_images_of_16_pixels_train_without_the_auxiliary_head(untrained):
    options = ("--dataset", "ImageNet16-120", "--auxiliary-weight", 0, "--json", *SAVED)
    code, out, err = untrained("train", "DARTS_V2", *SMALL, *options)
    assert code == 0, err
    assert rows(out)[-1]["evaluated_on"] == "ImageNet16-120/valid"


@pytest.fixture
def saved(untrained, few):
    """A checkpoint of DARTS_V2 after both epochs."""
    assert untrained("train", "DARTS_V2", *SMALL, *SAVED)[0] == 0


@pytest.mark.usefixtures("saved")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["DARTS_V1"], "one.pt is of a training with genotype Genotype("),
        (["DARTS_V2", "--cutout", 8], "one.pt is of a training with cutout 16, not 8: delete it"),
        (["DARTS_V2", "--epochs", 3], "one.pt is of a training with epochs 2, not 3"),
        (["DARTS_V2", "--seed", 1], "one.pt is of a training with seed 0, not 1"),
        (["DARTS_V2", "--channels", 4], "one.pt is of a training with channels 2, not 4"),
        (["DARTS_V2", "--split", "sample"], "with split train, not sample"),
        (["DARTS_V2", "--held-out", "none"], "with held_out test, not : delete it"),
    ],
)
def test_a_checkpoint_of_another_training_is_refused(refused, arguments, said):
    refused(["train", *SMALL, *SAVED, *arguments], said)


@pytest.mark.usefixtures("saved")
def test_a_damaged_checkpoint_is_refused(refused):
    path = Path(FILE)
    path.write_bytes(path.read_bytes()[:-100])
    refused(["train", "DARTS_V2", *SMALL, *SAVED], "one.pt is no checkpoint of a training or is")


@pytest.mark.usefixtures("saved")
def test_the_weights_of_another_network_are_refused(refused):
    import torch

    content = torch.load(FILE, weights_only=True)
    content["epochs"] = content["epochs"][:1]
    content["network"].pop("classifier.bias")
    torch.save(content, "other.pt")
    shutil.move("other.pt", FILE)
    refused(["train", "DARTS_V2", *SMALL, *SAVED], "one.pt is no checkpoint", after=1)


@pytest.mark.usefixtures("few")
def test_a_folder_is_no_checkpoint(refused, tmp_path):
    (tmp_path / "folder").mkdir()
    said = "file 'folder' is a directory"
    refused(["train", "DARTS_V2", *SMALL, "--checkpoint", "folder"], said)
