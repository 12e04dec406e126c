"""The kernels of a GPU against PyTorch's operations in double precision.

Without a GPU Triton interprets them, in float32 (its interpreter multiplies bfloat16 wrongly).
"""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from untrained.networks import batched
from untrained.networks.graph import Convolution, Pooling
from untrained.networks.plans import draw
from untrained.spaces import get_space
from untrained.spaces.base import Skeleton

CUDA = torch.cuda.is_available()
OPERATIONS = (
    Convolution(3, 16, (3, 3)),
    Convolution(16, 32, (3, 3), (2, 2)),
    Convolution(20, 70, (1, 1)),
    Convolution(8, 8, (1, 7)),
    Convolution(100, 24, (1, 1), (2, 2)),
    Convolution(16, 16, (3, 3), dilation=2),
    Pooling("avg", 3),
    Pooling("max", 3),
    Pooling("avg", 3, 2),
    Pooling("max", 3, 2, padded=False),
)
#: Relative differences that rounding explains.
WITHIN = {torch.float32: 1e-6, torch.bfloat16: 5e-3}


def apart(found, expected):
    return float((found.double().cpu() - expected).norm() / expected.norm())


def operations(device, dtype):
    """Return of each operation, on even and odd sides, how far it and its moments are apart."""
    from untrained.networks import gpu_kernels

    said = []
    generator = torch.Generator().manual_seed(0)
    rows, owners = torch.tensor([2, 0, 0, 1]), torch.tensor([0, 1, 1, 0])
    for operation in OPERATIONS:
        convolves = isinstance(operation, Convolution)
        channels = operation.inputs if convolves else 24
        for side in (8, 9):
            x = torch.randn(3, 5, side, side, channels, generator=generator).to(dtype)
            kernels = []
            if convolves:
                shape = (4, operation.outputs, channels, *operation.kernel)
                kernels = [torch.randn(shape, generator=generator).to(dtype)]
            made, moments = gpu_kernels.applied(
                operation, x.to(device), rows.to(device), [one.to(device) for one in kernels]
            )
            expected = batched._applied(operation, x[rows].double(), [k.double() for k in kernels])
            said.append(apart(made, expected))
            if not convolves:
                assert moments is None
                continue
            scale, shift = torch.randn(2, 4, operation.outputs, generator=generator)
            infinite = torch.zeros(2, dtype=torch.int32, device=device)
            affine = gpu_kernels.affine(
                moments, scale.to(device), shift.to(device), owners.to(device), infinite
            )
            assert not infinite.any()
            stored = made.double().cpu()
            variance, mean = torch.var_mean(stored, (1, 2, 3), correction=0)
            factor = scale.double() / (variance + 1e-5).sqrt()
            said.append(apart(affine[0], factor) / 10)
            said.append(apart(affine[1], shift.double() - mean * factor) / 10)
    return said


def sums(device, dtype):
    """Return how far a sum of normalised and other terms is apart, and whether codes are right."""
    from untrained.networks import gpu_kernels

    said = []
    for shape in ((3, 2, 4, 4, 16), (2, 3, 3, 3, 5)):  # slots of whole words, and others
        one, other = torch.randn(2, *shape).to(dtype)
        affine = torch.randn(2, shape[0], shape[4])
        there = one.to(device), other.to(device), affine.to(device)
        terms = [
            [(there[0], there[2], 1)],
            [(there[1], None, 0), (there[0], there[2], 0), (there[1], None, 1)],
        ]
        value, rectified, codes = gpu_kernels.summed(terms, True, True, True)
        normal = one.double() * affine[0, :, None, None, None] + affine[1, :, None, None, None]
        expected = torch.stack([normal[1], other[0].double() + normal[0] + other[1].double()])
        said += [apart(value, expected), apart(rectified, expected.clamp_min(0))]
        assert torch.equal(codes.cpu().bool(), expected > 0)
        assert gpu_kernels.summed(terms, False, False, True)[:2] == (None, None)
    broken = torch.tensor([float("nan"), float("inf"), -1.0, 2.0], dtype=dtype)
    term = broken.view(1, 1, 1, 1, 4).to(device)
    _, rectified, codes = gpu_kernels.summed([[(term, None, 0)]], False, True, True)
    assert rectified.isnan().flatten().tolist() == [True, False, False, False]
    assert codes.flatten().tolist() == [0, 1, 0, 1]
    return said


def batches(device, dtype):
    """Return how far the kernels of a batch are apart from those of PyTorch's operations."""
    from untrained.networks import gpu_kernels

    space = get_space("nasbench201")
    pooled = "|avg_pool_3x3~0|+|nor_conv_3x3~0|skip_connect~1|+|none~0|nor_conv_1x1~1|none~2|"
    small = Skeleton(channels=16, cells=1, stages=2)
    networks = [draw(space.graph(space.parse(one), 10, small)) for one in (pooled, 45)]
    images = torch.randn(3, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    broken = draw(space.graph(space.parse(pooled), 10, small))
    next(one for one in broken.weights if one.kernels).kernels[0].fill_(torch.inf)
    batch = batched.prepared([*networks, broken], (3, 8, 8), [False] * 3)
    there = images.to(device, dtype)
    if not there.is_cuda:
        batched.kernels_for = lambda _images: gpu_kernels
    assert batched.kernels_for(there) is gpu_kernels
    found = batched.run(batch, there)
    assert found.rectifiers.finite.tolist() == [True, True, False]
    batched.kernels_for = lambda _images: None
    expected = batched.run(batch, images.to(torch.float64))
    each = zip(found.rectifiers.kernels[:2], expected.rectifiers.kernels[:2], strict=True)
    return [apart(one, other) / (10 if dtype == torch.bfloat16 else 1000) for one, other in each]


def everything():
    """Compare everything, on the GPU if there is one, and print differences as JSON."""
    device = torch.device("cuda" if CUDA else "cpu")
    types = (torch.float32, torch.bfloat16) if CUDA else (torch.float32,)
    found = {
        f"{check.__name__} {dtype}": (max(check(device, dtype)), WITHIN[dtype])
        for check in (operations, sums, batches)
        for dtype in types
    }
    sys.stdout.write(json.dumps(found))


@pytest.mark.skipif(find_spec("triton") is None, reason="needs Triton")
def test_kernels_compute_what_pytorch_does():
    root = Path(__file__).parents[2]
    paths = [str(root), *sys.path]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    if not CUDA:
        environment["TRITON_INTERPRET"] = "1"
    run = "from tests.networks.test_gpu_kernels import everything; everything()"
    ended = subprocess.run(
        [sys.executable, "-c", run], env=environment, capture_output=True, text=True, check=False
    )
    assert not ended.returncode, ended.stderr[-2000:]
    for name, (found, within) in json.loads(ended.stdout.splitlines()[-1]).items():
        assert found < within, name


def test_without_triton_everything_is_pytorch_s(monkeypatch):
    monkeypatch.setitem(sys.modules, "untrained.networks.gpu_kernels", None)
    assert batched.kernels_for(torch.zeros(1, 1, 1, 1)) is None
    assert batched.kernels_for(torch.zeros(1, 1, 1, 1, device="meta")) is None
