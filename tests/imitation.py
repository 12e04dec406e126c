"""An imitated GPU: tensors say cuda:0, numbers are computed on the CPU, mixing devices is refused.

It shows on which device each tensor is made, what reads a value back and makes a GPU wait, from
which generator random numbers come, and whether TF32 was allowed. It knows no kernel of CUDA:
rounding, speed, memory and what CUDA's libraries refuse are those of the CPU.

Gradients need `imitated_guard.cpp`, which has to be loaded before PyTorch is imported.
"""

import json
import shutil
import subprocess
import sys
from collections import Counter
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

CPU, GPU = torch.device("cpu"), torch.device("cuda:0")

#: Operations that make the processor wait for the GPU.
WAITING = ("aten._local_scalar_dense", "aten.is_nonzero", "aten.nonzero", "aten.masked_select")


class OnGpu(torch.Tensor):
    """A tensor of the imitated GPU."""

    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, held):
        made = torch.Tensor._make_wrapper_subclass(
            cls, held.shape, strides=held.stride(), storage_offset=held.storage_offset(),
            dtype=held.dtype, device=GPU,
        )  # fmt: skip
        made.held = held
        return made

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        return ImitatedGpu.running.run(function, args, kwargs or {})  # in a thread of autograd


class ImitatedGpu(TorchDispatchMode):
    """Runs every operation as a GPU would, as far as devices and generators go.

    Attributes:
        called: how often each operation ran on the GPU.
        waits: how often the processor waited for a value of the GPU.
        sent: how many tensors were sent to the GPU.
        rounded: how often a convolution or a product ran with TF32 allowed.
        pinned: the tensors in pinned memory, which alone are sent without a wait.
        generator: the GPU's generator.
    """

    running = None

    def __init__(self):
        super().__init__()
        ImitatedGpu.running = self
        self.called, self.waits, self.sent, self.rounded = Counter(), 0, 0, 0
        self.pinned = []
        self.generator = torch.Generator()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        return self.run(function, args, kwargs or {})

    def run(self, function, args, kwargs):
        """Run an operation."""
        tensors = [one for one in tree_leaves((args, kwargs)) if isinstance(one, torch.Tensor)]
        there = [one for one in tensors if isinstance(one, OnGpu)]
        asked = [one for one in tree_leaves((args, kwargs)) if isinstance(one, torch.device)]
        name = str(function).removesuffix(".default").removesuffix(".out")
        copies = name in ("aten._to_copy", "aten.copy_", "aten.set_")
        if there and not copies:
            mixed = [one for one in tensors if not isinstance(one, OnGpu) and one.ndim]
            # an index may stay on the processor, which then waits until it is sent
            if mixed and not name.startswith(("aten.index.", "aten.index_put")):
                raise RuntimeError(
                    f"{name}: tensors on cuda:0 and on cpu of shape {tuple(mixed[0].shape)}"
                )
            self.waits += bool(mixed)
        on_gpu = asked[-1].type == "cuda" if asked else bool(there)
        self.called[name] += on_gpu
        if on_gpu and name.startswith(("aten.conv", "aten.mm", "aten.addmm", "aten.bmm")):
            self.rounded += torch.backends.cudnn.allow_tf32 or torch.backends.cuda.matmul.allow_tf32
        self.waits += name in WAITING and bool(there)
        self.waits += copies and bool(there) and not on_gpu and not kwargs.get("non_blocking")
        if name == "aten._to_copy" and on_gpu and not there:
            self.sent += 1
            pinned = any(args[0] is one for one in self.pinned)
            self.waits += not (pinned and kwargs.get("non_blocking"))
        if name == "aten.copy_":
            self.waits += bool(there) and not isinstance(args[0], OnGpu)
        random = torch.Tag.nondeterministic_seeded in function.tags and on_gpu
        with self.drawing() if random else nullcontext():
            if name == "aten.bmm.dtype":  # which the CPU has not
                made = torch.bmm(*(_held(one).to(args[2]) for one in args[:2]))
            else:
                made = function(*tree_map(_held, args), **tree_map(_held, kwargs))
        if name == "aten._local_scalar_dense":
            return made
        if function._schema.name.endswith("_") and not function._schema.name.endswith("__"):
            return args[0]
        if "out" in kwargs:
            return kwargs["out"]
        return tree_map(lambda one: _moved(one) if on_gpu else one, made)

    @contextmanager
    def drawing(self):
        """Let operations draw from the GPU's generator."""
        before = torch.get_rng_state()
        torch.set_rng_state(self.generator.get_state())
        try:
            yield
        finally:
            self.generator.set_state(torch.get_rng_state())
            torch.set_rng_state(before)


class Generator(torch.Generator):
    """A generator of any device, on the CPU."""

    def __new__(cls, device="cpu"):
        return super().__new__(cls)


def _held(one):
    if isinstance(one, torch.device):
        return CPU
    return one.held if isinstance(one, OnGpu) else one


def _moved(one):
    return OnGpu(one) if isinstance(one, torch.Tensor) and not isinstance(one, OnGpu) else one


@contextmanager
def imitated_gpu(monkeypatch):
    """Run a block with an imitated GPU, and yield it."""
    gpu = ImitatedGpu()
    torch._C._ensureCUDADeviceGuardSet()
    cuda = torch.cuda
    monkeypatch.setattr(cuda, "_lazy_init", lambda: None)
    monkeypatch.setattr(cuda, "is_available", lambda: True)
    monkeypatch.setattr(cuda, "device_count", lambda: 1)
    monkeypatch.setattr(cuda, "current_device", lambda: 0)
    monkeypatch.setattr(cuda, "synchronize", lambda *_: None)
    monkeypatch.setattr(cuda, "device", lambda _device: nullcontext())
    monkeypatch.setattr(
        cuda, "get_device_properties", lambda _device: SimpleNamespace(uuid=f"GPU-{id(gpu)}")
    )
    monkeypatch.setattr(cuda, "is_bf16_supported", lambda including_emulation=True: True)
    monkeypatch.setattr(cuda, "manual_seed", gpu.generator.manual_seed)
    monkeypatch.setattr(cuda, "get_rng_state", lambda *_: gpu.generator.get_state())
    monkeypatch.setattr(cuda, "set_rng_state", lambda state, *_: gpu.generator.set_state(state))
    monkeypatch.setattr(torch, "Generator", Generator)
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda one, *_: gpu.pinned.append(one) or one)
    # parameters become other tensors when they move, since they become of another class
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    try:
        with gpu:
            yield gpu
    finally:
        torch.__future__.set_overwrite_module_params_on_conversion(False)


def guard_library(folder):
    """Compile the guard into a folder, and return the path of the library; skip where it fails."""
    compiler, home = shutil.which("g++"), Path(torch.__file__).parent
    if compiler is None or torch.version.cuda is not None:
        pytest.skip("no g++ to compile the guard with, or a build of PyTorch that has one")
    source, made = Path(__file__).with_name("imitated_guard.cpp"), folder / "guard.so"
    options = ["-shared", "-fPIC", "-std=c++20", f"-I{home}/include", f"-L{home}/lib"]
    options += [f"-Wl,-rpath,{home}/lib"]
    command = [compiler, *options, str(source), "-lc10", "-ltorch_cpu", "-o", str(made)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"g++ does not compile the guard: {done.stderr[:200]}")
    return made


def in_guarded_process(guard, module, name):
    """Return what a function of a module returns, as JSON, in a process with the guard."""
    code = (
        "import ctypes, importlib, json, sys\n"
        "ctypes.CDLL(sys.argv[1], mode=ctypes.RTLD_GLOBAL)\n"  # before PyTorch
        "found = getattr(importlib.import_module(sys.argv[2]), sys.argv[3])()\n"
        "print(json.dumps(found))"
    )
    given = [str(guard), module, name]
    done = subprocess.run([sys.executable, "-c", code, *given], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])
