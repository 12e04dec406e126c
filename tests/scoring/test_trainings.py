"""Scores after trainings of many architectures at once, against those of each trained alone."""

from dataclasses import replace

import pytest
import torch
from tests.asking import reading_of, request
from tests.imitation import imitated_gpu, in_guarded_process
from tests.short import shorten

from untrained.scoring import engine, trainings
from untrained.scoring.engine import score_work
from untrained.scoring.execution import Execution
from untrained.scoring.images import MinibatchSettings
from untrained.spaces import get_space
from untrained.spaces.base import GraphSpace, NotApplicable
from untrained.spaces.nasbench201 import NasBench201
from untrained.training.recipe import ShortRecipe

pytestmark = pytest.mark.usefixtures("short_networks")

CPU = torch.device("cpu")
SPACE = get_space("nasbench201")
RECIPE = ShortRecipe(batch_size=8)
SETTINGS = MinibatchSettings(batch_size=8)
NONE = SPACE.parse("|none~0|+|none~0|none~1|+|none~0|none~1|none~2|").index
READ = ["naswot@0.005", "ntk_trace-all_eval@0.01", "validation_accuracy@0.005", "naswot"]


def scored(work, how="batched", device="cpu", seed=0):
    """Return scores of (index, proxies) in order."""
    execution = Execution(torch.device(device), how, precision="float32")
    asked = replace(request(SPACE, [], SETTINGS, seed, execution), training=RECIPE)
    return list(score_work(asked, [(index, seed, list(map(reading_of, p))) for index, p in work]))


def same(found, expected):
    for ours, theirs in zip(found, expected, strict=True):
        for one, other in zip(ours, theirs, strict=True):
            assert (one.status, one.reason) == (other.status, other.reason)
            # rounding moves units across zero
            assert other.score is None or one.score == pytest.approx(other.score, rel=1e-2)


@pytest.fixture
def trained(monkeypatch):
    """The number of networks of every training together."""
    seen, together = [], trainings.Together
    monkeypatch.setattr(
        trainings, "Together", lambda own, *given: seen.append(len(own)) or together(own, *given)
    )
    monkeypatch.setattr(trainings, "SIZE", 3)
    return seen


def test_scores_and_statuses_are_those_of_networks_trained_alone(trained):
    work = [(index, READ) for index in (1462, 45, NONE, 15000, 10525)]
    work.insert(1, (1462, ["naswot@0.01"]))  # another stop is another training
    expected = scored(work, "plain")
    assert not trained
    found = scored(work)
    assert trained == [3, 2]
    same(found, expected)
    statuses = [one.status for one in found[3]]
    assert statuses == ["disconnected", "ok", "ok", "disconnected"]
    assert all(one.seconds > 0 for scores in found for one in scores)
    same(scored(work, "auto"), expected)
    assert trained == [3, 2], "a CPU trains one after the other"


def test_what_memory_or_the_space_refuses(trained, monkeypatch):
    graph, tried, together = NasBench201.graph, [], trainings.Together

    def refuses(space, architecture, *given):
        if architecture.index == 7:
            raise NotApplicable("no network of seven")
        return graph(space, architecture, *given)

    def fails(own, *given):
        tried.append(len(own))
        if len(own) > 2:
            raise RuntimeError("CUDA error: out of memory")
        return together(own, *given)

    monkeypatch.setattr(NasBench201, "graph", refuses)
    work = [(index, ["validation_loss@0.005"]) for index in (1462, 45, 0, 7, 15000)]
    expected = scored(work, "plain")
    monkeypatch.setattr(trainings, "Together", fails)
    # 0 is alone, since the next cannot be drawn
    same(scored(work), expected)
    assert tried == [3]
    assert trained == []


def test_what_fails_together_is_trained_alone_unless_it_is_asked_for(trained, monkeypatch):
    work = [(index, ["validation_loss@0.005"]) for index in (1462, 45)]
    expected = scored(work, "plain")

    def fails(*_given):
        raise RuntimeError("an operation that no device has")

    monkeypatch.setattr(trainings, "Together", fails)
    with pytest.raises(RuntimeError, match="an operation"):
        scored(work)
    monkeypatch.setattr(engine, "runs_many", lambda _request: True)  # as on a GPU
    with pytest.warns(UserWarning, match="training architectures one at a time, .* no device has"):
        same(scored(work, "auto"), expected)


def test_networks_that_are_no_modules_of_graphs_are_not_trained_together():
    asked = request(SPACE, [], SETTINGS, 0, Execution(torch.device("cuda:0")))
    assert engine.runs_many(asked)
    assert not engine.runs_many(replace(asked, execution=Execution(CPU)))
    own = type("Own", (NasBench201,), {"network": lambda *given: GraphSpace.network(*given)})()
    assert not engine.runs_many(replace(asked, target=own))


def on_a_gpu():
    """Train two cells together on an imitated GPU, and say what that did."""
    shorten()
    work = [(index, ["naswot@0.005", "validation_loss@0.01"]) for index in (1462, 45)]
    expected = scored(work, "plain")
    sizes, together = [], trainings.Together
    trainings.Together = lambda own, *given: sizes.append(len(own)) or together(own, *given)
    with imitated_gpu(pytest.MonkeyPatch()) as gpu:
        found = scored(work, "auto", "cuda:0")
    return {
        "sizes": sizes,
        "rounded": gpu.rounded,
        "found": [[one.score for one in scores] for scores in found],
        "expected": [[one.score for one in scores] for scores in expected],
    }


def test_a_gpu_trains_many_at_once(guard):
    said = in_guarded_process(guard, "tests.scoring.test_trainings", "on_a_gpu")
    assert said["sizes"] == [2]
    assert said["rounded"] == 0
    for own, expected in zip(said["found"], said["expected"], strict=True):
        assert own == pytest.approx(expected, rel=1e-2)
