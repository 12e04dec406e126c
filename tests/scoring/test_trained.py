"""Proxies that are read after training: what is trained, on what, when, and at what cost."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.asking import score_by_all, score_work
from torch import nn

from untrained import score
from untrained.errors import ParameterError
from untrained.images.minibatches import held_out_count, minibatch, prepare_images, rest_of
from untrained.images.sets import image_set
from untrained.networks.network import GraphNetwork
from untrained.proxies import Setting, get_proxy
from untrained.proxies.ntk import NtkMean
from untrained.scoring.execution import Execution, has_bfloat16_products
from untrained.scoring.images import MinibatchSettings, TrainingImages
from untrained.scoring.request import parse_reading
from untrained.seeds import torch_seeded
from untrained.training.loop import Examples
from untrained.training.recipe import ShortRecipe
from untrained.training.short import train_shortly

pytestmark = pytest.mark.usefixtures("short_networks")

EXACT = Execution(precision="float32")
CPU = torch.device("cpu")
CELL = 45


class Small(nn.Module):
    """Takes images of any size; counts its trainings by the passes with gradients."""

    def __init__(self, scale=1.0):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 4, 3, 2), nn.BatchNorm2d(4), nn.ReLU())
        self.classifier = nn.Linear(4, 10)
        self.passes = 0
        with torch.no_grad():
            self.classifier.weight.mul_(scale)

    def forward(self, x):
        self.passes += 1
        return self.classifier(self.layers(x).mean((2, 3)))


def small(_classes=10):
    return Small()


def lesson(count=40, **changes):
    """A few images to train on."""
    images, labels = rest_of("cifar10", "sample", 0, 8)
    recipe = ShortRecipe(**({"batch_size": 8} | changes))
    return TrainingImages(images[:count], labels[:count], image_set("cifar10"), recipe)


BATCH = minibatch("cifar10", "sample", 0, 8)


def scored(names, execution=EXACT, build=small, training=None, seed=0):
    return score_by_all(build, names, BATCH, execution, seed, 3, training=training or lesson())


def slow_score(name, epochs, seed=0):
    """Build, train and read, each by hand."""
    with torch_seeded(seed, "weights", 3):
        network = Small()
    training = lesson()

    def prepare(images, generator):
        return prepare_images(images, training.known, generator)

    examples = Examples(training.images, training.labels, prepare)
    list(train_shortly(network, examples, [epochs], seed, CPU, training.recipe))
    return get_proxy(name)(network, BATCH, torch.Generator())


@pytest.mark.parametrize("name", ["lga", "naswot", "ntk_trace-weights_eval"])
def test_a_score_is_that_of_the_trained_network(name):
    names = [f"{name}@2", f"{name}@0.4", f"{name}@1"]
    found = scored(names)
    assert [one.status for one in found] == ["ok"] * 3
    expected = [slow_score(name, epochs) for epochs in (2, 0.4, 1)]
    assert [one.score for one in found] == pytest.approx(expected, rel=1e-9)
    assert len({one.score for one in found}) == 3


def test_one_training_serves_all_proxies_of_a_call():
    networks = []

    def build(_classes):
        networks.append(Small())
        return networks[-1]

    together = scored(["naswot@1", "lga@0.4", "lga@1", "ntk_mean-weights_eval@2"], build=build)
    (one,) = networks
    steps = 2 * 5
    alone = [scored([name])[0] for name in ("naswot@1", "lga@0.4", "lga@1")]
    assert [t.score for t in together[:3]] == [a.score for a in alone]
    assert one.passes < 2 * steps
    assert scored(["lga@1"], seed=1)[0].score != alone[2].score


def test_the_seconds_have_the_training_in_them(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("time.perf_counter", lambda: clock[0])

    class Slow(Small):
        def forward(self, x):
            clock[0] += 1.0
            return super().forward(x)

    def build(_classes):
        clock[0] += 100.0
        return Slow()

    found = scored(["naswot@2", "naswot@1", "naswot-released@1"], build=build)
    # 5 steps per epoch; naswot takes two passes and its variant one
    assert [one.seconds for one in found] == [100 + 10 + 2, 100 + 5 + 2, 100 + 5 + 1]


def test_what_is_read_before_training_is_what_it_was(space):
    settings = MinibatchSettings(batch_size=16)
    names = ["naswot", "lga", "ntk_condition_number", "linear_regions"]
    alone = [name if name == "linear_regions" else f"{name}@0" for name in names]
    (before,) = score_work(space, [(CELL, alone)], settings, 0, Execution())
    mixed = [*alone, "naswot@0.1", "ntk_condition_number@0.1"]
    (after,) = score_work(space, [(CELL, mixed)], settings, 0, Execution())
    assert [one.score for one in after[:4]] == [one.score for one in before]
    assert [one.status for one in after] == ["ok"] * 6
    assert after[4].score != after[0].score
    assert after[5].score != after[2].score


def test_an_architecture_is_trained_once_on_what_its_minibatch_has_not(space, monkeypatch):
    seen = []
    original = TrainingImages.train

    def train(self, network, stops, seed, execution):
        seen.append((self, list(stops), seed, sum(p.numel() for p in network.parameters())))
        return original(replace(self, images=self.images[:8], labels=self.labels[:8]),
                        network, stops, seed, execution)  # fmt: skip

    monkeypatch.setattr(TrainingImages, "train", train)
    names = ["lga@1", "naswot", "ntk_trace@1", "lga@0.5", "naswot@1"]
    proxies = names
    settings = MinibatchSettings("cifar10", batch_size=12, sampling="balanced")
    work = [(CELL, proxies), (46, proxies[:1])]
    results = list(score_work(space, work, settings, 4, EXACT))
    assert all(one.status == "ok" for scores in results for one in scores)
    (large, thin, other) = seen
    assert (large[1], thin[1], other[1]) == ([0.5, 1], [1], [1])
    assert thin[3] < large[3]
    assert large[2] == 4
    assert other[0] is large[0]
    for training in (large[0], thin[0]):
        images, labels = rest_of("cifar10", "sample", 4, 2048 // 8, "balanced")
        assert np.array_equal(training.images, images)
        assert np.array_equal(training.labels, labels)
        pixels = {image.tobytes() for image in prepare_images(images, training.known, None)}
        for size in (12, 32, 256):
            shown = minibatch("cifar10", "sample", 4, size, sampling="balanced").images
            assert not pixels & {image.numpy().tobytes() for image in shown}


@pytest.mark.parametrize(("size", "held_out"), [(12, 256), (256, 256), (300, 300)])
def test_what_is_held_out_depends_on_the_minibatch_alone(size, held_out):
    assert held_out_count("cifar10", "sample", size) == held_out
    settings = MinibatchSettings("cifar10", batch_size=size)
    assert len(settings.training_images(0).images) == 2048 - held_out
    shown = settings.draw_for(Setting(held_out=True, epochs=1), 0, CPU)
    assert len(shown.images) == held_out
    assert len(settings.draw_for(Setting(images=40, epochs=1), 0, CPU).images) == 40
    with pytest.raises(ParameterError, match=f"^{held_out + 1} images per minibatch: a training "):
        settings.draw_for(Setting(images=held_out + 1, epochs=1), 0, CPU)


def on_few(monkeypatch):
    """Networks are trained on 8 images; returns those that were."""
    original, trained = TrainingImages.train, []

    def train(self, network, stops, seed, execution):
        trained.append(network)
        few = replace(self, images=self.images[:8], labels=self.labels[:8])
        return original(few, network, stops, seed, execution)

    monkeypatch.setattr(TrainingImages, "train", train)
    return trained


def test_a_score_of_fewer_images_is_what_it_is_alone(space, monkeypatch):
    trained = on_few(monkeypatch)
    names = ["lga@1", "lga:5@1", "validation_loss@1", "validation_accuracy-train@1", "lga:5"]
    settings = MinibatchSettings("cifar10", batch_size=9)
    (together,) = score_work(space, [(46, names)], settings, 4, EXACT)
    assert len(trained) == 1
    for name, found in zip(names, together, strict=True):
        ((alone,),) = score_work(space, [(46, [name])], settings, 4, EXACT)
        assert found.score == alone.score
    small = replace(settings, batch_size=5)
    ((alone,),) = score_work(space, [(46, ["lga"])], small, 4, EXACT)
    assert together[4].score == alone.score
    assert len({one.score for one in together}) == 5


@pytest.mark.parametrize("engine", ["plain", "auto"])
def test_a_cell_is_trained_by_sums_unless_it_is_to_be_plain(space, engine, monkeypatch):
    used, original = [], GraphNetwork.fused_logits

    def fused_logits(self, images):
        used.append(images.dtype)
        return original(self, images)

    monkeypatch.setattr(GraphNetwork, "fused_logits", fused_logits)
    recipe = ShortRecipe(batch_size=8)
    few = replace(MinibatchSettings("cifar10").training_images(0), recipe=recipe)
    few = replace(few, images=few.images[:16], labels=few.labels[:16])
    states = []
    for which in ("plain", engine):
        with torch_seeded(0, "weights", CELL):
            network = space.network(space[CELL], 10).to(memory_format=torch.channels_last)
        list(few.train(network.train(), [1], 0, Execution(engine=which, precision="float32")))
        states.append(network.state_dict())
    assert used == ([torch.float32] * 2 if engine == "auto" else [])
    for name, right in states[0].items():
        assert torch.allclose(states[1][name], right, atol=2e-3), name


def test_the_precision_of_the_training_is_that_of_the_execution(monkeypatch):
    seen = []
    monkeypatch.setattr(
        "untrained.scoring.images.train_shortly",
        lambda *given, dtype, **options: seen.append((dtype, options["memory_format"])) or iter(()),
    )
    automatic = torch.bfloat16 if has_bfloat16_products(CPU) else torch.float32
    for precision, dtype in (
        *(("float32", torch.float32), ("bfloat16", torch.bfloat16), ("auto", automatic)),
    ):
        lesson().train(Small(), [1], 0, Execution(precision=precision))
        assert seen.pop() == (dtype, torch.contiguous_format)
    last = Small().to(memory_format=torch.channels_last)
    lesson().train(last, [1], 0, EXACT)
    assert seen == [(torch.float32, torch.channels_last)]


def test_a_training_that_diverges_loses_only_what_comes_after():
    steep = lesson(learning_rate=1e6, weight_decay=1e3)
    found = scored(["lga@5", "naswot@0.1"], training=steep)
    assert found[1].status == "ok"
    assert (found[0].score, found[0].status) == (None, "diverged")
    assert found[0].reason in ("the loss became nan in epoch 1", "the loss became inf in epoch 1")


def test_nothing_to_train_is_no_score():
    found = scored(["naswot@1"], build=lambda _: nn.Sequential(nn.Flatten(), nn.ReLU()))
    assert (found[0].status, found[0].reason) == (
        "no_parameters",
        "Sequential has nothing to train",
    )


def test_no_memory_is_a_status(monkeypatch):
    def fails(*given, **options):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        yield

    monkeypatch.setattr("untrained.scoring.images.train_shortly", fails)
    assert scored(["naswot@1"])[0].status == "out_of_memory"


def test_a_reading_without_memory_is_lost_alone(monkeypatch):
    original = NtkMean.measure

    def measure(self, network, *given):
        if type(network).__name__ == "Heavy":
            raise MemoryError
        return original(self, network, *given)

    monkeypatch.setattr(NtkMean, "measure", measure)

    class Heavy(Small):
        pass

    names = ["ntk_mean-weights_eval@0.4", "validation_loss@0.4", "naswot@1"]
    found = scored(names, build=lambda _: Heavy())
    assert [one.status for one in found] == ["out_of_memory", "ok", "ok"]
    right = scored(names, build=lambda _: Small())
    assert [one.score for one in found[1:]] == [one.score for one in right[1:]]


def test_what_is_drawn_in_a_reading_follows_the_seed():
    class Draws(Small):
        def forward(self, x):
            noise = 0 if torch.is_grad_enabled() else 1e-3 * torch.randn(())
            return super().forward(x) + noise

    (first,) = scored(["validation_loss@1"], build=lambda _: Draws())
    torch.manual_seed(7)
    (again,) = scored(["validation_loss@1"], build=lambda _: Draws())
    assert first.status == "ok"
    assert again.score == first.score


def test_the_fast_engine_does_not_read_after_training(monkeypatch):
    def never(_classes):
        raise AssertionError("nothing is built")

    with pytest.raises(ParameterError, match=r"^no fast engine for naswot after training"):
        scored(["naswot@1"], Execution(engine="fast"), build=never)


def test_a_minibatch_that_leaves_nothing_to_learn():
    with pytest.raises(
        ParameterError, match=r"^minibatch size 2047 leaves 1 images of cifar10 sam"
    ):
        MinibatchSettings("cifar10", batch_size=2047).training_images(0)


def test_other_failures_are_not_swallowed():
    with pytest.raises(ParameterError, match="training needs logits"):
        scored(["naswot@1"], build=lambda _: nn.Conv2d(3, 4, 3))


@pytest.mark.parametrize(
    ("dataset", "split", "said"),
    [
        ("cifar10", "test", r"^cifar10 test is not for training: take sample, train, train-half, "),
        ("ImageNet16-120", "valid", r"^ImageNet16-120 valid is not for training: take train$"),
        ("noise", "sample", r"^'noise' is drawn for each minibatch"),
    ],
)
def test_test_images_are_never_trained_on(space, dataset, split, said):
    settings = MinibatchSettings(dataset, split, batch_size=8)
    with pytest.raises(ParameterError, match=said):
        list(score_work(space, [(CELL, ["lga@1"])], settings, 0, EXACT))


def test_a_network_of_ones_own_is_left_as_it_was(monkeypatch):
    original = MinibatchSettings.training_images

    def few(self, *given, **options):
        whole = original(self, *given, **options)
        return replace(whole, images=whole.images[:40], labels=whole.labels[:40])

    monkeypatch.setattr(MinibatchSettings, "training_images", few)
    torch.manual_seed(0)
    network = Small()
    network.layers.eval()
    before = copy.deepcopy(network.state_dict())
    fresh = score(network, proxy="lga", batch_size=8)
    found = score(network, proxy="lga@1", batch_size=8)
    assert found.status == fresh.status == "ok"
    assert found.score != fresh.score
    assert found == replace(score(network, proxy="lga@1", batch_size=8), seconds=found.seconds)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert not network.layers.training
    assert network.training
    assert all(parameter.grad is None for parameter in network.parameters())


def test_a_setting_says_how_long():
    assert str(parse_reading("lga@0.5").setting).endswith(
        "; all images of the minibatch after 0.5 epochs on the others"
    )
    assert "epochs" not in str(parse_reading("lga").setting)
