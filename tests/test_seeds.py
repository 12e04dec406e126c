import itertools
import random
from contextlib import contextmanager, nullcontext

import numpy as np
import pytest
import torch

from untrained.errors import ParameterError
from untrained.seeds import numpy_generator, seed_sequence, torch_seeded

STREAMS = [
    *[(0, "weights"), (1, "weights"), (0, "proxy")],
    # a key of 0 is a key
    *[(0, "weights", 0), (0, "weights", 1), (0, "weights", 1, 0), (0, "weights", 0, 1)],
]


def test_streams_of_different_seeds_purposes_and_keys_differ():
    firsts = [numpy_generator(*stream).random() for stream in STREAMS]
    assert len(set(firsts)) == len(STREAMS)


def test_a_stream_is_the_same_whatever_was_drawn_before():
    before = numpy_generator(3, "weights", 5).random(4)
    numpy_generator(3, "weights", 6).random(100)
    np.random.seed(1)  # noqa: NPY002 - the global state must not matter
    assert np.array_equal(numpy_generator(3, "weights", 5).random(4), before)


def test_a_stream_does_not_change_between_versions():
    # scores are only comparable to stored ones as long as this holds
    assert seed_sequence(3, "weights", 5).generate_state(2).tolist() == [1075889239, 1929928892]


def test_streams_are_not_correlated():
    draws = np.array([numpy_generator(0, "weights", key).random(2000) for key in range(12)])
    correlations = np.corrcoef(draws)
    pairs = [correlations[i, j] for i, j in itertools.combinations(range(12), 2)]
    assert np.abs(pairs).max() < 4.5 / np.sqrt(2000)


def test_a_negative_seed_is_refused():
    with pytest.raises(ParameterError, match=r"^seed -2 is negative: seeds are 0 or larger$"):
        seed_sequence(-2, "weights")


def test_a_seed_that_no_table_can_hold_is_refused():
    seed_sequence(2**63 - 1, "weights")
    with pytest.raises(ParameterError, match=r"^seed 9223372036854775808 is too large: .* 2\^63$"):
        seed_sequence(2**63, "weights")


def test_pytorch_draws_from_the_stream_inside_the_block_only():
    torch.manual_seed(11)
    expected = torch.rand(4)
    torch.manual_seed(11)
    with torch_seeded(0, "weights", 1):
        inside = torch.rand(4)
    assert torch.equal(torch.rand(4), expected)
    with torch_seeded(0, "weights", 1):
        assert torch.equal(torch.rand(4), inside)
    with torch_seeded(0, "weights", 2):
        assert not torch.equal(torch.rand(4), inside)


def test_the_global_generator_is_restored_after_an_exception():
    state = torch.get_rng_state()

    def fails():
        with torch_seeded(0, "weights"):
            torch.rand(4)
            raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011 - our own, without a message
        fails()
    assert torch.equal(torch.get_rng_state(), state)


def draws():
    """Return what NumPy's and Python's global generators give next."""
    return np.random.rand(), random.random()  # noqa: NPY002 - as code of others draws


def test_other_global_generators_follow_the_seed_and_are_restored():
    np.random.seed(1)  # noqa: NPY002
    random.seed(1)
    expected = draws()
    np.random.seed(1)  # noqa: NPY002
    random.seed(1)
    inside = []
    for seed in (0, 1, 0):
        with torch_seeded(seed, "weights", 1):
            inside.append(draws())
    assert draws() == expected
    assert inside[0] == inside[2]
    assert not set(inside[0]) & set(inside[1])


def test_the_generator_of_the_gpu_that_is_named_is_seeded(monkeypatch):
    """Of two GPUs, whose generators and current device are imitated."""
    current, seeded = [0], []

    @contextmanager
    def device(chosen):
        current.append(chosen.index)
        yield
        current.pop()

    monkeypatch.setattr(torch.cuda, "device", device)
    monkeypatch.setattr(torch.cuda, "manual_seed", lambda _seed: seeded.append(current[-1]))
    monkeypatch.setattr(torch.random, "fork_rng", nullcontext)
    with torch_seeded(0, "dropped", device=torch.device("cuda:1")):
        assert seeded == [1]
    with torch_seeded(0, "dropped", device=torch.device("cpu")):
        assert seeded == [1]
