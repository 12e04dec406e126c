"""Training curves equal a training, a kernel and a formula by hand."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.cli.conftest import train_on_few

from untrained.errors import ParameterError
from untrained.proxies import Setting
from untrained.proxies.ntk import LabelGradientAlignment
from untrained.proxies.selections import ParameterSelection
from untrained.proxies.tangent_kernels import tangent_kernel
from untrained.scoring.engine import score_work
from untrained.scoring.execution import Execution
from untrained.scoring.images import MinibatchSettings
from untrained.scoring.ledger import Ledger
from untrained.scoring.request import ScoreRequest, parse_reading
from untrained.scoring.training_curves import QUANTITIES, CurveSettings, curve_table
from untrained.seeds import torch_seeded
from untrained.training.recipe import ShortRecipe

pytestmark = pytest.mark.usefixtures("short_networks")

EXACT = Execution(precision="float32")
IMAGES = MinibatchSettings("cifar10", batch_size=8)
CELL = 45
EPOCHS = (0.0, 0.5, 2.0)
NAMES = ("naswot", "lga", "ntk_mean-weights_eval", "ntk_trace-weights_without_classifier_train")


@pytest.fixture(autouse=True)
def few_images(monkeypatch):
    train_on_few(monkeypatch)


def asked(epochs=EPOCHS, names=NAMES, **changes):
    return CurveSettings(epochs, tuple(map(parse_reading, names)), **changes)


def read(space, settings, cells=(CELL,), seed=0, images=IMAGES, **more):
    request = ScoreRequest(space, (), images, (seed,), EXACT, **more)
    table = curve_table(request, cells, settings, Ledger())
    table["value"] = table["value"].astype(object).where(table["status"] == "ok", None)
    return [list(table[table["arch"] == cell].itertuples(index=False)) for cell in cells]


@pytest.fixture(scope="module")
def followed(space, short_networks):
    with pytest.MonkeyPatch.context() as patched:
        train_on_few(patched)
        (readings,) = read(space, asked())
    return readings


def values(readings, quantity):
    return {one.epochs: one.value for one in readings if one.quantity == quantity}


def slow(space, mode="train"):
    """Per stop the kernel, the accuracy and the last loss, from a training by hand."""
    training = IMAGES.training_images(0)
    batch = IMAGES.draw_for(Setting(), 0, torch.device("cpu"))
    held_out = replace(IMAGES, batch_size=2048 // 8).draw_for(Setting(), 0, torch.device("cpu"))
    with torch_seeded(0, "weights", CELL):
        network = space.network(space[CELL], 10)
    network = network.to(memory_format=torch.channels_last).train()
    for stop in training.train(network, EPOCHS, 0, EXACT):
        before = {name: value.clone() for name, value in network.state_dict().items()}
        network.train(mode == "train")
        selection = ParameterSelection("weights_without_classifier")
        kernel = tangent_kernel(network, batch.images, selection).numpy()
        with torch.no_grad():
            right = sum(
                int(logits.argmax()) == int(label)
                for logits, label in zip(network(held_out.images), held_out.labels, strict=True)
            )
        network.load_state_dict(before)
        yield stop.epochs, kernel, 100 * right / 256, stop.losses[-1:]


@pytest.mark.parametrize("mode", ["train", "eval"])
def test_readings_equal_those_by_hand(space, mode):
    (found,) = read(space, asked(names=(), kernel=f"weights_without_classifier_{mode}"))
    initial = None
    for epochs, kernel, accuracy, loss in slow(space, mode):
        initial = kernel if initial is None else initial
        change = np.sqrt(((kernel - initial) ** 2).sum() / (initial**2).sum())
        correlation = np.corrcoef(kernel.ravel(), initial.ravel())[0, 1]
        assert values(found, "change")[epochs] == pytest.approx(change, rel=1e-9)
        assert values(found, "correlation")[epochs] == pytest.approx(correlation, rel=1e-9)
        if epochs:
            assert values(found, "accuracy")[epochs] == accuracy
            assert [values(found, "loss")[epochs]] == list(loss)
    assert values(found, "change")[0] == 0
    assert values(found, "change")[2.0] > 1e-3
    assert values(found, "correlation")[2.0] < 1 - 1e-6


def test_scores_are_those_of_the_proxies_after_as_many_epochs(space, followed):
    names = [f"{name}@{epochs:g}" for epochs in EPOCHS for name in NAMES]
    request = ScoreRequest(space, (), IMAGES, (0,), EXACT)
    (expected,) = score_work(request, [(CELL, 0, list(map(parse_reading, names)))])
    scores = [one for one in followed if one.quantity in NAMES]
    assert [one.value for one in scores] == [one.score for one in expected]
    assert {one.status for one in scores} == {"ok"}


def test_the_order_of_the_readings(followed):
    expected = [
        (epochs, quantity)
        for epochs in EPOCHS
        for quantity in (*QUANTITIES, *NAMES)
        if epochs or quantity not in ("accuracy", "loss")
    ]
    assert [(one.epochs, one.quantity) for one in followed] == expected


def test_architecture_by_architecture_and_seed_by_seed(space):
    request = ScoreRequest(space, (), IMAGES, (1, 0), EXACT)
    table = curve_table(request, (CELL, 7), asked((0.0,), ("naswot",)), Ledger())
    pairs = table[["arch", "seed"]].drop_duplicates().itertuples(index=False, name=None)
    assert list(pairs) == [(7, 0), (7, 1), (CELL, 0), (CELL, 1)]
    assert table["quantity"].tolist() == 4 * ["change", "correlation", "naswot"]


def test_other_stops_and_other_cells_change_nothing(space, followed):
    (fewer,) = read(space, asked((0.0, 2.0), ("lga",)))
    assert fewer == [one for one in followed if one in fewer]
    both = read(space, asked((0.0, 0.5), ("lga",)), cells=(46, CELL))
    assert all(one in followed for one in both[1])
    assert not any(one in followed for one in both[0] if one.quantity in ("lga", "loss"))
    (other,) = read(space, asked((0.0, 0.5), ("lga",)), seed=1)
    assert values(other, "lga")[0] != values(followed, "lga")[0]


def test_one_training_and_one_kernel_per_stop(space, monkeypatch):
    counts = Counter()

    def counted(name, module):
        original = getattr(module, name)

        def call(*given, **options):
            counts[name] += 1
            return original(*given, **options)

        monkeypatch.setattr(module, name, call)

    counted("tangent_kernel", __import__("untrained.proxies.tangent_kernels", fromlist=["ntk"]))
    counted("train_shortly", __import__("untrained.scoring.images", fromlist=["images"]))
    names = ("lga", "kernel_target_alignment", "ntk_mean-weights_without_classifier_train")
    read(space, asked(names=names))
    assert counts == {"tangent_kernel": 3, "train_shortly": 1}


def test_after_a_training_that_diverged_earlier_readings_stay(space):
    steep = ShortRecipe(learning_rate=1e20, weight_decay=1e20)
    (found,) = read(space, asked((0.0, 1.0, 2.0), ("naswot", "lga")), training=steep)
    assert {one.status for one in found if not one.epochs} == {"ok"}
    late = [one for one in found if one.epochs]
    assert len(late) == 2 * 6
    assert {(one.value, one.status) for one in late} == {(None, "diverged")}
    assert {one.reason for one in late} <= {
        f"the loss became {loss} in epoch 1" for loss in ("nan", "inf")
    } | {"a weight is not finite after epoch 1"}


def test_a_cell_that_nothing_flows_through_has_no_kernel_to_compare(space):
    none = space.parse("|none~0|+|none~0|none~1|+|none~0|none~1|none~2|").index
    (found,) = read(space, asked((0.0, 1.0), ("lga",)), cells=(none,))
    kernel = [one for one in found if one.quantity in ("change", "correlation", "lga")]
    assert {one.status for one in kernel if one.quantity != "change"} == {"constant_kernel"}
    assert {one.status for one in found if one.quantity in ("loss", "accuracy")} == {"ok"}


def test_an_initial_kernel_that_is_not_finite_is_not_replaced_by_a_later_one(space, monkeypatch):
    calls = []

    def kernel(network, images, selection):
        calls.append(1)
        return torch.eye(8, dtype=torch.float64) * (torch.nan if len(calls) == 1 else len(calls))

    monkeypatch.setattr("untrained.proxies.tangent_kernels.tangent_kernel", kernel)
    (found,) = read(space, asked((0.0, 0.5, 1.0), ()))
    moved = [one for one in found if one.quantity in ("change", "correlation")]
    assert {one.status for one in moved} == {"non_finite"}
    assert moved[-1].reason == "the kernel before training is not finite"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"epochs": ()}, "^epochs are empty: start with 0, which"),
        ({"epochs": (0.5, 1.0)}, "^epochs are 0.5, 1: start with 0"),
        ({"epochs": (0.0, 2.0, 1.0)}, "^epochs are 0, 2, 1: .* ascend"),
        ({"epochs": (0.0, 1.0, 1.0)}, "^epochs are 0, 1, 1: .* ascend"),
        ({"epochs": (0.0, -1.0)}, r"^-1 epochs of training: 0 to 1000"),
        ({"epochs": (0.0, float("nan"))}, "^nan epochs of training"),
        ({"names": ("lga@1",)}, "^'lga@1' has its own epochs: drop @"),
        ({"names": ("ntk_mean",)}, "^'ntk_mean' is read off 3 channel.* variant of the bench"),
        ({"names": ("linear_regions",)}, "^'linear_regions' is read off 1 channel"),
        ({"names": ("lga", "lga")}, "^'lga' is named twice"),
        ({"kernel": "tenas"}, "^'tenas' is no kernel to follow: take weights_train, "),
        ({"kernel": "weight"}, "^'weight' is no kernel to follow"),
    ],
)
def test_what_can_not_be_followed(changes, said):
    with pytest.raises(ParameterError, match=said):
        asked(**changes)


def test_images_that_leave_none_to_train_on_are_refused_before_a_kernel(space, monkeypatch):
    monkeypatch.setattr(LabelGradientAlignment, "measure", None)
    images = replace(IMAGES, batch_size=2048)
    with pytest.raises(ParameterError, match=r"^minibatch size 2048 leaves 0 images of cifar10 "):
        read(space, asked(), images=images)


def test_test_images_are_not_trained_on(space):
    with pytest.raises(ParameterError, match=r"^cifar10 test is not for training"):
        read(space, asked(), images=replace(IMAGES, split="test"))
