# ruff: noqa
"""NASWOT (corrected) of many NAS-Bench-201 cells per launch: how fast on this GPU?

Run once:  OUT=... PYTHONPATH=src python3 batched.py    (no CUDA: a tiny check on the CPU)
Prints as it goes; $OUT/batched.json is rewritten after every step. Total below TOTAL seconds.

Layout of weights (both engines): layers in order of execution, each (taps, inputs, outputs).
`Eager`: PyTorch operations, activations (N, H, W, arch, C), grouped convolutions.
`Fused`: Triton kernels, activations (slot, N, H, W, C), slots picked through tables.
"""

import glob
import json
import mmap
import os
import signal
import sys
import time
import traceback
from multiprocessing import Pipe, connection, get_context

BEGUN = time.time()
TOTAL = float(os.environ.get("TOTAL", 228))
OUT = os.environ.get("OUT", "/tmp/gpu-out")
os.makedirs(OUT, exist_ok=True)
NAME = "batched-resumed.json" if os.environ.get("RESUMED") else "batched.json"

os.environ.setdefault("PYTORCH_NVML_BASED_CUDA_CHECK", "1")  # looks for a GPU without starting CUDA
import numpy as np
import torch
from torch.nn import functional

from untrained.networks.nasbench201_plan import compile_cell
from untrained.seeds import seed_sequence
from untrained.spaces import get_space
from untrained.spaces.nasbench201 import operations_of

GPU_HERE = os.environ.get("FORCE_CPU") is None and (
    bool(glob.glob("/dev/nvidia[0-9c]*")) or torch.cuda.is_available()
)  # asks no CUDA: workers are forked before it starts
EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
TAPS = {"nor_conv_3x3": 9, "nor_conv_1x1": 1}
WIDTHS, SIDES, CELLS, SLOTS, ROW = (16, 32, 64), (32, 16, 8), 5, 5, 8
SEED = 0
SPACE = get_space("nasbench201")

# ------------------------------------------------------------------ schedule of a batch (host)


class Schedule:
    """What a batch of architectures executes; the same in all cells of all stages."""

    def __init__(self, indices):
        self.indices = list(indices)
        self.ops = [operations_of(SPACE[i].spelling) for i in self.indices]
        self.plans = [compile_cell(o) for o in self.ops]
        assert all(p.output is not None for p in self.plans), "disconnected cells are left out"
        self.size = B = len(self.indices)
        self.still = [p.output == 0 for p in self.plans]
        groups = {}  # (level, taps) -> [(target, arch, position)]
        self.pools, self.skips = {}, {}  # (source, target) -> [arch]
        for a, (ops, plan) in enumerate(zip(self.ops, self.plans)):
            for node, incoming in plan.nodes:
                for e in incoming:
                    if e.operation in TAPS:
                        groups.setdefault((e.source, TAPS[e.operation]), []).append(
                            (node, a, e.position)
                        )
                    else:
                        where = self.pools if e.operation == "avg_pool_3x3" else self.skips
                        where.setdefault((e.source, node), []).append(a)
        self.groups, self.term, term, offset = {}, {}, 0, 0  # offsets in units of C*C numbers
        for level in (0, 1, 2):
            for taps in (9, 1):
                members = sorted(groups.get((level, taps), []))
                self.groups[level, taps] = (term, offset, members)
                for _, a, position in members:
                    self.term[a, position] = term
                    term += 1
                    offset += taps
        self.terms, self.cell_units = term, offset
        self.nodes_made = {
            t: [a for a, p in enumerate(self.plans) if t in dict(p.nodes)] for t in (1, 2, 3)
        }
        self.readers = {
            s: [
                (a, p.live_readers.get(s, 0))
                for a, p in enumerate(self.plans)
                if p.live_readers.get(s, 0)
            ]
            for s in (0, 1, 2)
        }
        # weights: stem, then per stage cells, and the reduction before stages 1 and 2
        self.stem_at, at = 0, B * 32 * 16
        self.cell_at, self.reduction_at = [], [None]
        for stage, width in enumerate(WIDTHS):
            if stage:
                inputs = width // 2
                self.reduction_at.append(
                    (at, at + B * 9 * inputs * width, at + B * 9 * (inputs + width) * width)
                )
                at += B * (9 * inputs + 9 * width + inputs) * width
            self.cell_at.append(at)
            at += CELLS * self.cell_units * width * width
        self.numbers = at
        units = []  # N_A per architecture
        for p in self.plans:
            per_cell = sum(p.live_readers.values())
            f = [c * s * s for c, s in zip(WIDTHS, SIDES)]
            units.append(sum(per_cell * CELLS * x for x in f) + f[0] + 2 * f[1] + f[2] + f[2])
        self.units = np.array(units, np.float64)

    def slot(self, a, node, parity):
        """Where a node is: 0 and 1 alternate as input and output of cells, inner nodes 2, 3, 4."""
        if node == 0:
            return a * SLOTS + (0 if self.still[a] else parity)
        return a * SLOTS + (1 - parity if node == self.plans[a].output else 1 + node)

    def tables(self):
        """One int32 table (rows of 8) and where its parts are: {key: (first row, rows)}."""
        rows, where = [], {}

        def part(key, made):
            where[key] = (len(rows), len(made))
            rows.extend([list(r) + [0] * (ROW - len(r)) for r in made])

        B = self.size
        for parity in (0, 1):
            for (level, taps), (term, offset, members) in self.groups.items():
                part(
                    ("conv", parity, level, taps),
                    [
                        (self.slot(a, level, parity), (offset + taps * k), term + k)
                        for k, (_, a, _) in enumerate(members)
                    ],
                )
            for t in (1, 2, 3):
                made = []
                for a in self.nodes_made[t]:
                    row = [self.slot(a, t, parity)]
                    for e in dict(self.plans[a].nodes)[t]:
                        if e.operation in TAPS:
                            row += [1, self.term[a, e.position]]
                        else:
                            row += [
                                2 if e.operation == "skip_connect" else 3,
                                self.slot(a, e.source, parity),
                            ]
                    made.append(row + [0] * (7 - len(row)))
                part(("sum", parity, t), made)
            part(
                ("gram", parity),
                [(self.slot(a, s, parity), a, n) for s in (0, 1, 2) for a, n in self.readers[s]],
            )
        last = [a * SLOTS + (0 if self.still[a] else 1) for a in range(B)]
        part("stem", [(0, a, a) for a in range(B)])  # offsets in units of inputs*outputs
        part("stem sum", [(a * SLOTS, 1, a) for a in range(B)])
        part("first", [(last[a], 9 * a, a) for a in range(B)])
        part("inner sum", [(a * SLOTS + 2, 1, a) for a in range(B)])
        part("second", [(a * SLOTS + 2, 9 * a, B + a) for a in range(B)])
        part("projection", [(last[a], a, 2 * B + a) for a in range(B)])
        part("output sum", [(a * SLOTS, 1, B + a, 4, 2 * B + a) for a in range(B)])
        part("gram last", [(last[a], a, 1, a) for a in range(B)])
        part("gram inner", [(a * SLOTS + 2, a, 1) for a in range(B)])
        return np.array(rows, np.int32), where


# ------------------------------------------------------------------ weights (worker processes)


def _uniforms(state, pos, bound, out):
    """Mersenne Twister as PyTorch's CPU generator runs it; U(-bound, bound) in float32."""
    n = out.size
    at = 0
    low = np.float32(-bound)
    width = np.float32(bound) - low
    while at < n:
        if pos == 624:
            old = state.copy()
            nxt, far, new = old[1:228], old[397:624], state[0:227]
            for i in range(227):
                y = (old[i] & np.uint32(0x80000000)) | (nxt[i] & np.uint32(0x7FFFFFFF))
                new[i] = (
                    far[i]
                    ^ (y >> np.uint32(1))
                    ^ ((np.uint32(0) - (y & np.uint32(1))) & np.uint32(0x9908B0DF))
                )
            here, nxt, far, new = old[227:454], old[228:455], state[0:227], state[227:454]
            for i in range(227):
                y = (here[i] & np.uint32(0x80000000)) | (nxt[i] & np.uint32(0x7FFFFFFF))
                new[i] = (
                    far[i]
                    ^ (y >> np.uint32(1))
                    ^ ((np.uint32(0) - (y & np.uint32(1))) & np.uint32(0x9908B0DF))
                )
            here, nxt, far, new = old[454:623], old[455:624], state[227:396], state[454:623]
            for i in range(169):
                y = (here[i] & np.uint32(0x80000000)) | (nxt[i] & np.uint32(0x7FFFFFFF))
                new[i] = (
                    far[i]
                    ^ (y >> np.uint32(1))
                    ^ ((np.uint32(0) - (y & np.uint32(1))) & np.uint32(0x9908B0DF))
                )
            y = (old[623] & np.uint32(0x80000000)) | (state[0] & np.uint32(0x7FFFFFFF))
            state[623] = (
                state[396]
                ^ (y >> np.uint32(1))
                ^ ((np.uint32(0) - (y & np.uint32(1))) & np.uint32(0x9908B0DF))
            )
            pos = 0
        m = min(n - at, 624 - pos)
        part = state[pos : pos + m]
        into = out[at : at + m]
        for i in range(m):
            y = part[i]
            y ^= y >> np.uint32(11)
            y ^= (y << np.uint32(7)) & np.uint32(0x9D2C5680)
            y ^= (y << np.uint32(15)) & np.uint32(0xEFC60000)
            y ^= y >> np.uint32(18)
            into[i] = (
                np.float32(np.int32(y & np.uint32(0xFFFFFF)))
                * np.float32(5.9604644775390625e-08)
                * width
                + low
            )
        at += m
        pos += m
    return pos


class TorchStream:
    def __init__(self, state):
        self.generator = torch.Generator()
        self.generator.manual_seed(state)

    def draw(self, bound, into):
        into.uniform_(-bound, bound, generator=self.generator)


class FastStream:
    """The same numbers, by loops that LLVM vectorises: 0.3 ns a number against 3.6."""

    loops = None

    def __init__(self, state):
        self.state = np.random.RandomState(state & 0xFFFFFFFF).get_state()[1].astype(np.uint32)
        self.position = 624

    def draw(self, bound, into):
        self.position = FastStream.loops(self.state, self.position, bound, into.numpy())

    @classmethod
    def prepare(cls):
        """Compile; True iff they are the same numbers here."""
        from numba import njit

        cls.loops = njit(fastmath={"contract"}, nogil=True)(_uniforms)
        ours, theirs = cls(12345678901234567), TorchStream(12345678901234567)
        for n in (432, 2304, 256, 9216, 1024, 36864, 4096, 512) * 4:
            a, b = torch.empty(n), torch.empty(n)
            ours.draw(n**-0.5, a)
            theirs.draw(n**-0.5, b)
            if not torch.equal(a, b):
                return False
        return True


STREAM = TorchStream


def draw_into(schedule, out, Stream=None):
    """Draw all weights of a batch into a flat tensor, as `nasbench201_plan.draw_network` does."""
    Stream = Stream or STREAM
    scratch = torch.empty(64 * 64 * 9)

    def drawn(inputs, outputs, kernel, at, rows=None):
        n = inputs * outputs * kernel * kernel
        bound = (inputs * kernel * kernel) ** -0.5
        raw = scratch[:n]
        stream.draw(bound, raw)
        if at is not None:
            out[at : at + n].copy_(raw)  # as drawn; `Batch` transposes on the device

    B = schedule.size
    offset_of = {}
    for (_, taps), (_, offset, members) in schedule.groups.items():
        for k, (_, a, position) in enumerate(members):
            offset_of[a, position] = offset + taps * k
    for a, index in enumerate(schedule.indices):
        state = int(seed_sequence(SEED, "weights", index).generate_state(1, np.uint64)[0])
        stream = Stream(state)
        drawn(3, 16, 3, a * 512)
        layers = []  # (position in the plan, kernel) of drawn edges
        position = 0
        for name in schedule.ops[a]:
            if name in TAPS:
                layers.append((offset_of.get((a, position)), 3 if TAPS[name] == 9 else 1))
            position += name != "none"
        for stage, width in enumerate(WIDTHS):
            if stage:
                half, (first, second, projection) = width // 2, schedule.reduction_at[stage]
                drawn(half, width, 3, first + a * 9 * half * width)
                drawn(width, width, 3, second + a * 9 * width * width)
                drawn(half, width, 1, projection + a * half * width)
            for cell in range(CELLS):
                base = schedule.cell_at[stage] + cell * schedule.cell_units * width * width
                for offset, kernel in layers:
                    drawn(
                        width,
                        width,
                        kernel,
                        None if offset is None else base + offset * width * width,
                    )


def reference_scores(indices, batch_size):
    """Scores by today's engine on the CPU in float32; and its kernels' statuses."""
    from pathlib import Path  # noqa: F401
    from untrained.proxies import get_proxy
    from untrained.scoring.engine import MinibatchSettings, score_work
    from untrained.scoring.execution import Execution

    work = [(i, [get_proxy("naswot")]) for i in indices]
    settings = MinibatchSettings("cifar10", "sample", batch_size)
    execution = Execution(torch.device("cpu"), "auto", "float32")
    return [
        m.score if m.status == "ok" else m.status
        for (m,) in score_work(SPACE, work, settings, SEED, execution)
    ]


BYTES = {"bfloat16": 2, "float32": 4}


class Workers:
    """Forked processes that draw batches into shared memory."""

    def __init__(self, count, slots, slot_bytes):
        torch.set_num_threads(1)
        self.slot_bytes, self.slots = slot_bytes, slots
        self.memory = mmap.mmap(-1, slots * slot_bytes)
        self.flat = np.frombuffer(self.memory, np.uint8)
        self.pipes, self.processes = [], []
        context = get_context("fork")
        for _ in range(count):
            ours, theirs = Pipe()
            process = context.Process(target=self._serve, args=(theirs,), daemon=True)
            process.start()
            theirs.close()
            self.pipes.append(ours)
            self.processes.append(process)

    def slot(self, number):
        return torch.from_numpy(
            self.flat[number * self.slot_bytes : (number + 1) * self.slot_bytes]
        )

    def _serve(self, pipe):
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_IGN)
        torch.set_num_threads(1)
        while True:
            try:
                job = pipe.recv()
            except EOFError:
                os._exit(0)
            try:
                if job[0] == "reference":
                    pipe.send(("reference", job[1], reference_scores(job[1], job[2])))
                else:
                    pipe.send(
                        (
                            "drawn",
                            job[1],
                            fill(
                                job[2],
                                self.slot(job[3]),
                                job[4],
                                TorchStream if job[0] == "draw-torch" else None,
                            ),
                        )
                    )
            except Exception as error:
                pipe.send(("failed", job[1], f"{type(error).__name__}: {error}"[:300]))

    def stop(self):
        for pipe in self.pipes:
            pipe.close()
        for process in self.processes:
            process.terminate()


def fill(indices, slot, dtype, stream=None):
    """Weights and table of a batch into bytes; returns what the parent needs to read them."""
    start = time.perf_counter()
    schedule = Schedule(indices)
    table, where = schedule.tables()
    planned = time.perf_counter()
    size = -(-schedule.numbers * BYTES[dtype] // 256) * 256
    if size + table.nbytes > len(slot):
        raise MemoryError(f"{size} bytes of weights in a slot of {len(slot)}")
    draw_into(schedule, slot[: schedule.numbers * BYTES[dtype]].view(getattr(torch, dtype)), stream)
    slot[size : size + table.nbytes].copy_(torch.from_numpy(table.reshape(-1).view(np.uint8)))
    lean = {
        "schedule": schedule,
        "where": where,
        "weights_bytes": schedule.numbers * BYTES[dtype],
        "table_at": size,
        "bytes": size + table.nbytes,
    }
    lean["plan_s"], lean["draw_s"] = planned - start, time.perf_counter() - planned
    return lean


class Batch:
    """A batch on the device."""

    def __init__(self, lean, raw, dtype):
        self.schedule, self.where = lean["schedule"], lean["where"]
        self.weights = self._transposed(raw[: lean["weights_bytes"]].view(dtype))
        self.table = raw[lean["table_at"] : lean["bytes"]].view(torch.int32).view(-1, ROW)

    def _transposed(self, drawn):
        """From (outputs, inputs, taps) to (taps, inputs, outputs), layer by layer."""
        s, B, made = self.schedule, self.schedule.size, torch.empty_like(drawn)
        stem = made[: B * 512].view(B, 32, 16)
        stem[:, 27:].zero_()
        stem[:, :27].unflatten(1, (9, 3)).copy_(
            drawn[: B * 512].view(B, 512)[:, :432].view(B, 16, 3, 9).permute(0, 3, 2, 1)
        )
        for stage, width in enumerate(WIDTHS):
            area, half = width * width, width // 2
            if stage:
                for at, inputs, taps in zip(s.reduction_at[stage], (half, width, half), (9, 9, 1)):
                    n = B * taps * inputs * width
                    made[at : at + n].view(B, taps, inputs, width).copy_(
                        drawn[at : at + n].view(B, width, inputs, taps).permute(0, 3, 2, 1)
                    )
            at, n = s.cell_at[stage], s.cell_units * area
            if not n:
                continue
            source, target = (x[at : at + CELLS * n].view(CELLS, n) for x in (drawn, made))
            for (_, taps), (_, offset, members) in s.groups.items():
                k = len(members)
                if k:
                    part = slice(offset * area, (offset + taps * k) * area)
                    target[:, part].unflatten(1, (k, taps, width, width)).copy_(
                        source[:, part].unflatten(1, (k, width, width, taps)).permute(0, 1, 4, 3, 2)
                    )
        return made

    def rows(self, key):
        first, count = self.where[key]
        return self.table[first : first + count], count


# ------------------------------------------------------------------ engine 1: PyTorch operations


class Eager:
    """Activations (N, H, W, arch, C); grouped convolutions over gathered architectures."""

    def __init__(self, images, dtype, pad=8):
        self.device, self.dtype, self.pad = images.device, dtype, pad if images.is_cuda else 1
        self.images = images.to(dtype).contiguous(memory_format=torch.channels_last)
        self.N = len(images)
        self.bits = self._bits
        self.gathered = self._gathered
        self.cache = {}
        self.gram_on = True

    @staticmethod
    def _bits(x):  # (N, H, W, A, C) to (A, N, H*W*C) of -1 and 1
        signs = (x > 0).permute(3, 0, 1, 2, 4).flatten(2)
        return signs.to(torch.bfloat16 if x.is_cuda else torch.float32) * 2 - 1

    @staticmethod
    def _gathered(x, archs):
        return torch.relu(x.index_select(3, archs))

    def index(self, archs):
        key = tuple(archs)
        if key not in self.cache:
            made = torch.tensor(key, dtype=torch.int64)
            self.cache[key] = (
                made.pin_memory().to(self.device, non_blocking=True)
                if self.images.is_cuda
                else made
            )
        return self.cache[key]

    def conv(self, x, weights, taps, inputs, outputs, stride=1):
        """x (N, H, W, G, inputs), weights flat; (N, H', W', G, outputs)."""
        n, h, w, groups, _ = x.shape
        k = 3 if taps == 9 else 1
        kernel = (
            weights.view(groups, k, k, inputs, outputs)
            .permute(0, 4, 3, 1, 2)
            .reshape(groups * outputs, inputs, k, k)
        )
        extra = -groups % self.pad
        if extra:  # few different numbers of groups: cuDNN plans each anew
            x = torch.cat([x, x[:, :, :, :1].expand(-1, -1, -1, extra, -1)], 3)
            kernel = torch.cat([kernel, kernel[:outputs].repeat(extra, 1, 1, 1)])
        kernel = kernel.contiguous(memory_format=torch.channels_last)
        made = functional.conv2d(
            x.view(n, h, w, -1).permute(0, 3, 1, 2), kernel, None, stride, k // 2, 1, groups + extra
        )
        made = made.contiguous(memory_format=torch.channels_last).permute(0, 2, 3, 1)
        made = made.reshape(n, made.shape[1], made.shape[2], groups + extra, outputs)
        return made[:, :, :, :groups] if extra else made

    def normal(self, x):
        n, h, w, g, c = x.shape
        flat = x.reshape(n, h, w, g * c).permute(0, 3, 1, 2)
        made = functional.batch_norm(flat, None, None, None, None, True, 0.0, 1e-5)
        return made.permute(0, 2, 3, 1).reshape(n, h, w, g, c)

    def gram(self, x, archs, counts):
        if not archs or not self.gram_on:
            return
        where = self.index(archs)
        signs = self.bits(x.index_select(3, where) if len(archs) < x.shape[3] else x)
        if signs.is_cuda:
            try:
                made = torch.bmm(signs, signs.transpose(1, 2), out_dtype=torch.float32)
            except (TypeError, RuntimeError, NotImplementedError) as error:
                if isinstance(error, torch.OutOfMemoryError):
                    raise
                RESULT.setdefault("notes", {})["bmm"] = str(error)[:200]
                made = torch.bmm(signs.float(), signs.float().transpose(1, 2))
        else:
            made = torch.bmm(signs, signs.transpose(1, 2))
        self.kernel.index_add_(0, where, made * self.index(counts).float().view(-1, 1, 1))

    def run(self, batch):
        """Sums of products of signs (B, N, N) float32; nothing is awaited."""
        self.cache.clear()
        s, B = batch.schedule, batch.schedule.size
        everyone = list(range(B))
        weights = batch.weights
        self.kernel = torch.zeros(B, self.N, self.N, device=self.device)
        stem = (
            weights[: B * 512]
            .view(B, 32, 16)[:, :27]
            .reshape(B, 3, 3, 3, 16)
            .permute(0, 4, 3, 1, 2)
            .reshape(B * 16, 3, 3, 3)
        )
        made = functional.conv2d(
            self.images, stem.contiguous(memory_format=torch.channels_last), None, 1, 1
        )
        made = made.contiguous(memory_format=torch.channels_last).permute(0, 2, 3, 1)
        x = self.normal(made.reshape(self.N, 32, 32, B, 16))
        for stage, width in enumerate(WIDTHS):
            if stage:
                half, (first, second, projection) = width // 2, s.reduction_at[stage]
                self.gram(x, everyone, [1] * B)
                inner = self.normal(
                    self.conv(torch.relu(x), weights[first:second], 9, half, width, 2)
                )
                self.gram(inner, everyone, [1] * B)
                made = self.normal(
                    self.conv(torch.relu(inner), weights[second:projection], 9, width, width)
                )
                n, h, w, _, _ = x.shape
                pooled = functional.avg_pool2d(x.reshape(n, h, w, -1).permute(0, 3, 1, 2), 2, 2)
                pooled = (
                    pooled.contiguous(memory_format=torch.channels_last)
                    .permute(0, 2, 3, 1)
                    .reshape(n, h // 2, w // 2, B, half)
                )
                x = made + self.conv(
                    pooled, weights[projection : projection + B * half * width], 1, half, width
                )
            for cell in range(CELLS):
                at = s.cell_at[stage] + cell * s.cell_units * width * width
                x = self.cell(x, s, weights[at : at + s.cell_units * width * width], width)
        n, h, w, _, c = x.shape
        self.gram(self.normal(x), everyone, [1] * B)
        return self.kernel

    def cell(self, x, s, weights, width):
        nodes = {0: x}
        for t in (1, 2, 3):
            if s.nodes_made[t]:
                nodes[t] = torch.zeros_like(x)
        for level in (0, 1, 2):
            for taps in (9, 1):
                _, offset, members = s.groups[level, taps]
                if not members:
                    continue
                archs = self.index([a for _, a, _ in members])
                part = weights[
                    offset * width * width : (offset + taps * len(members)) * width * width
                ]
                made = self.normal(
                    self.conv(self.gathered(nodes[level], archs), part, taps, width, width)
                )
                start = 0
                for t in (1, 2, 3):
                    mine = [a for target, a, _ in members if target == t]
                    if mine:
                        nodes[t].index_add_(
                            3, self.index(mine), made[:, :, :, start : start + len(mine)]
                        )
                        start += len(mine)
            for (source, t), archs in s.skips.items():
                if source == level:
                    where = self.index(archs)
                    nodes[t].index_add_(3, where, nodes[source].index_select(3, where))
            for (source, t), archs in s.pools.items():
                if source == level:
                    where = self.index(archs)
                    read = nodes[source].index_select(3, where)
                    n, h, w, g, c = read.shape
                    pooled = functional.avg_pool2d(
                        read.reshape(n, h, w, g * c).permute(0, 3, 1, 2),
                        3,
                        1,
                        1,
                        count_include_pad=False,
                    )
                    nodes[t].index_add_(3, where, pooled.permute(0, 2, 3, 1).reshape(n, h, w, g, c))
            if s.readers[level]:
                self.gram(nodes[level], *map(list, zip(*s.readers[level])))
        ends = {}
        for a, p in enumerate(s.plans):
            ends.setdefault(p.output, []).append(a)
        if len(ends) == 1:
            return nodes[next(iter(ends))]
        out = nodes[3] if 3 in ends else torch.empty_like(x)
        for node, archs in ends.items():
            if node != 3 or out is not nodes[3]:
                out.index_copy_(
                    3, self.index(archs), nodes[node].index_select(3, self.index(archs))
                )
        return out


# ------------------------------------------------------------------ engine 2: Triton kernels

try:
    import triton
    import triton.language as tl

    @triton.jit
    def conv_kernel(
        x_ptr,
        w_ptr,
        out_ptr,
        part_ptr,
        table_ptr,
        x_slot,
        out_slot,
        total,
        nblk,
        SIDE: tl.constexpr,
        CI: tl.constexpr,
        CO: tl.constexpr,
        TAPS: tl.constexpr,
        STRIDE: tl.constexpr,
        RELU: tl.constexpr,
        POOL: tl.constexpr,
        STATS: tl.constexpr,
        BM: tl.constexpr,
        ITERS: tl.constexpr,
        PRECISION: tl.constexpr,
    ):
        block = tl.program_id(0)
        row = table_ptr + tl.program_id(1) * 8
        src = tl.load(row).to(tl.int64)
        w_at = tl.load(row + 1) * (CI * CO)
        dst = tl.load(row + 2).to(tl.int64)
        x_base = x_ptr + src * x_slot
        o_base = out_ptr + dst * out_slot
        OUT_SIDE: tl.constexpr = SIDE // STRIDE
        c = tl.arange(0, CI)
        co = tl.arange(0, CO)
        s1 = tl.zeros((CO,), tl.float32)
        s2 = tl.zeros((CO,), tl.float32)
        for it in range(ITERS):
            m = (block * ITERS + it) * BM + tl.arange(0, BM)
            inside = m < total
            n = m // (OUT_SIDE * OUT_SIDE)
            y = (m // OUT_SIDE) % OUT_SIDE
            x = m % OUT_SIDE
            acc = tl.zeros((BM, CO), tl.float32)
            for tap in range(TAPS):
                if TAPS == 9:
                    iy = y * STRIDE + tap // 3 - 1
                    ix = x * STRIDE + tap % 3 - 1
                    ok = inside & (iy >= 0) & (iy < SIDE) & (ix >= 0) & (ix < SIDE)
                else:
                    iy = y * STRIDE
                    ix = x * STRIDE
                    ok = inside
                at = ((n * SIDE + iy) * SIDE + ix) * CI
                spot = x_base + at[:, None] + c[None, :]
                a = tl.load(spot, mask=ok[:, None], other=0.0)
                if POOL:
                    b1 = tl.load(spot + CI, mask=ok[:, None], other=0.0).to(tl.float32)
                    b2 = tl.load(spot + SIDE * CI, mask=ok[:, None], other=0.0).to(tl.float32)
                    b3 = tl.load(spot + (SIDE + 1) * CI, mask=ok[:, None], other=0.0).to(tl.float32)
                    a = ((a.to(tl.float32) + b1 + b2 + b3) * 0.25).to(a.dtype)
                if RELU:
                    a = tl.where(a > 0, a, 0.0).to(a.dtype)
                b = tl.load(w_ptr + w_at + tap * (CI * CO) + c[:, None] * CO + co[None, :])
                acc = tl.dot(a, b, acc, input_precision=PRECISION)
            made = acc.to(out_ptr.dtype.element_ty)
            tl.store(o_base + m[:, None] * CO + co[None, :], made, mask=inside[:, None])
            if STATS:
                wide = made.to(tl.float32)
                s1 += tl.sum(wide, 0)
                s2 += tl.sum(wide * wide, 0)
        if STATS:
            p = part_ptr + (dst * nblk + block) * (2 * CO)
            tl.store(p + co, s1)
            tl.store(p + CO + co, s2)

    @triton.jit
    def moments_kernel(
        x_ptr,
        part_ptr,
        table_ptr,
        x_slot,
        total,
        nblk,
        C: tl.constexpr,
        BM: tl.constexpr,
        ITERS: tl.constexpr,
    ):
        block = tl.program_id(0)
        row = table_ptr + tl.program_id(1) * 8
        src = tl.load(row).to(tl.int64)
        dst = tl.load(row + 3).to(tl.int64)
        c = tl.arange(0, C)
        s1 = tl.zeros((C,), tl.float32)
        s2 = tl.zeros((C,), tl.float32)
        for it in range(ITERS):
            m = (block * ITERS + it) * BM + tl.arange(0, BM)
            wide = tl.load(
                x_ptr + src * x_slot + m[:, None] * C + c[None, :],
                mask=(m < total)[:, None],
                other=0.0,
            ).to(tl.float32)
            s1 += tl.sum(wide, 0)
            s2 += tl.sum(wide * wide, 0)
        p = part_ptr + (dst * nblk + block) * (2 * C)
        tl.store(p + c, s1)
        tl.store(p + C + c, s2)

    @triton.jit(do_not_specialize=["first"])
    def affine_kernel(
        part_ptr, affine_ptr, first, total, nblk, C: tl.constexpr, BLOCKS: tl.constexpr
    ):
        term = (first + tl.program_id(0)).to(tl.int64)
        b = tl.arange(0, BLOCKS)
        c = tl.arange(0, C)
        p = part_ptr + (term * nblk + b[:, None]) * (2 * C) + c[None, :]
        s1 = tl.sum(tl.load(p, mask=(b < nblk)[:, None], other=0.0).to(tl.float64), 0)
        s2 = tl.sum(tl.load(p + C, mask=(b < nblk)[:, None], other=0.0).to(tl.float64), 0)
        mean = s1 / total
        var = s2 / total - mean * mean
        var = tl.where(var > 0, var, 0.0 * var)  # NaN stays NaN
        scale = 1.0 / tl.sqrt((var + 1e-5).to(tl.float32))
        tl.store(affine_ptr + term * (2 * C) + c, scale)
        tl.store(affine_ptr + term * (2 * C) + C + c, (-mean).to(tl.float32) * scale)

    @triton.jit
    def sum_kernel(
        node_ptr,
        term_ptr,
        out_ptr,
        affine_ptr,
        table_ptr,
        slot,
        SIDE: tl.constexpr,
        C: tl.constexpr,
        BLOCK: tl.constexpr,
    ):
        row = table_ptr + tl.program_id(1) * 8
        dst = tl.load(row).to(tl.int64)
        e = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
        ch = e % C
        x = (e // C) % SIDE
        y = (e // (C * SIDE)) % SIDE
        total = tl.zeros((BLOCK,), tl.float32)
        for j in tl.static_range(3):
            kind = tl.load(row + 1 + 2 * j)
            src = tl.load(row + 2 + 2 * j).to(tl.int64)
            if kind == 1:
                scale = tl.load(affine_ptr + src * (2 * C) + ch)
                shift = tl.load(affine_ptr + src * (2 * C) + C + ch)
                total += tl.load(term_ptr + src * slot + e).to(tl.float32) * scale + shift
            if kind == 2:
                total += tl.load(node_ptr + src * slot + e).to(tl.float32)
            if kind == 3:
                got = tl.zeros((BLOCK,), tl.float32)
                for tap in tl.static_range(9):
                    dy = tap // 3 - 1
                    dx = tap % 3 - 1
                    ok = (y + dy >= 0) & (y + dy < SIDE) & (x + dx >= 0) & (x + dx < SIDE)
                    got += tl.load(
                        node_ptr + src * slot + e + (dy * SIDE + dx) * C, mask=ok, other=0.0
                    ).to(tl.float32)
                high = 1 + (y > 0).to(tl.int32) + (y < SIDE - 1).to(tl.int32)
                wide = 1 + (x > 0).to(tl.int32) + (x < SIDE - 1).to(tl.int32)
                total += got / (high * wide).to(tl.float32)
            if kind == 4:
                total += tl.load(term_ptr + src * slot + e).to(tl.float32)
        tl.store(out_ptr + dst * slot + e, total.to(out_ptr.dtype.element_ty))

    @triton.jit
    def gram_kernel(
        x_ptr,
        gram_ptr,
        affine_ptr,
        table_ptr,
        slot,
        images,
        F: tl.constexpr,
        C: tl.constexpr,
        CHUNK: tl.constexpr,
        AFFINE: tl.constexpr,
        BN: tl.constexpr,
        BK: tl.constexpr,
    ):
        row = table_ptr + tl.program_id(1) * 8
        src = tl.load(row).to(tl.int64)
        arch = tl.load(row + 1).to(tl.int64)
        count = tl.load(row + 2).to(tl.float32)
        n = tl.arange(0, BN)
        acc = tl.zeros((BN, BN), tl.float32)
        for at in range(0, CHUNK, BK):
            k = tl.program_id(0) * CHUNK + at + tl.arange(0, BK)
            x = tl.load(
                x_ptr + src * slot + n[:, None] * F + k[None, :],
                mask=(n < images)[:, None],
                other=0.0,
            )
            if AFFINE:
                term = tl.load(row + 3).to(tl.int64)
                scale = tl.load(affine_ptr + term * (2 * C) + k % C)
                shift = tl.load(affine_ptr + term * (2 * C) + C + k % C)
                bits = x.to(tl.float32) * scale[None, :] + shift[None, :] > 0
            else:
                bits = x > 0
            signs = tl.where(bits, 1.0, -1.0).to(tl.float16)
            acc = tl.dot(signs, tl.trans(signs), acc)
        there = (n < images)[:, None] & (n < images)[None, :]
        # whole numbers below 2^24: the order of additions does not matter
        tl.atomic_add(
            gram_ptr + arch * images * images + n[:, None] * images + n[None, :],
            acc * count,
            mask=there,
        )

    if os.environ.get("RESUMED"):
        raise ImportError("left out after the device was lost")
except Exception as error:  # no Triton
    triton = None
    print("no triton:", error)


class Fused:
    """Activations (slot, N, H, W, C), by the kernels above."""

    def __init__(self, images, dtype, most, precision="ieee"):
        """most: architectures per batch."""
        self.device, self.dtype, self.N, self.precision = (
            images.device,
            dtype,
            len(images),
            precision,
        )
        self.most = most
        make = lambda count, stage: torch.empty(
            count, self.N * SIDES[stage] ** 2 * WIDTHS[stage], dtype=dtype, device=self.device
        )
        self.nodes = [make(most * SLOTS, stage) for stage in range(3)]
        self.term_numbers = None
        shown = functional.pad(images.to(dtype), (1, 1, 1, 1))
        windows = torch.stack(
            [shown[:, :, dy : dy + 32, dx : dx + 32] for dy in range(3) for dx in range(3)], 1
        )
        columns = windows.permute(0, 3, 4, 1, 2).reshape(-1, 27)  # (N*H*W, tap * 3 + channel)
        self.columns = functional.pad(columns, (0, 5)).contiguous()
        self.configs = {
            16: (128, 8, 4, 3),
            32: (128, 4, 4, 3),
            64: (128, 4, 8, 3),
        }  # BM, ITERS, warps, stages
        if not images.is_cuda:
            self.configs = {c: (64, 2, 4, 1) for c in WIDTHS}
        self.gram_config = (64, 8, 3)  # BK, warps, stages
        self.sum_config = (1024, 4)
        self.gram_on = True
        self.terms_at = 0

    def room(self, terms):
        """Memory for so many terms of the largest size."""
        if self.terms_at < terms:
            self.arena = torch.empty(
                terms * self.N * 1024 * 16, dtype=self.dtype, device=self.device
            )
            self.part = torch.empty(
                terms * 2 * 16 * (-(-self.N * 1024 // 64) + 8), device=self.device
            )
            self.affine = torch.empty(terms * 2 * 64, device=self.device)
            self.terms_at = terms

    def run(self, batch):
        s, B = batch.schedule, batch.schedule.size
        self.room(max(s.terms, 3 * B) + 8)
        self.gram_ = torch.zeros(B, self.N, self.N, device=self.device)
        self.convolve(
            batch, "stem", self.columns, batch.weights, 0, ci=32, co=16, side=32, taps=1, relu=False
        )
        self.normalise(0, B, 16, 32)
        self.add(batch, "stem sum", 0)
        for stage, width in enumerate(WIDTHS):
            side = SIDES[stage]
            if stage:
                half, (first, second, projection) = width // 2, s.reduction_at[stage]
                before = self.nodes[stage - 1]
                self.gram(batch, "gram last", stage - 1)
                self.convolve(
                    batch,
                    "first",
                    before,
                    batch.weights[first:],
                    0,
                    ci=half,
                    co=width,
                    side=2 * side,
                    taps=9,
                    stride=2,
                )
                self.convolve(
                    batch,
                    "projection",
                    before,
                    batch.weights[projection:],
                    0,
                    ci=half,
                    co=width,
                    side=2 * side,
                    taps=1,
                    stride=2,
                    relu=False,
                    pool=True,
                    stats=False,
                )
                self.normalise(0, B, width, side)
                self.add(batch, "inner sum", stage)
                self.gram(batch, "gram inner", stage)
                self.convolve(
                    batch,
                    "second",
                    self.nodes[stage],
                    batch.weights[second:],
                    B,
                    ci=width,
                    co=width,
                    side=side,
                    taps=9,
                )
                self.normalise(B, B, width, side)
                self.add(batch, "output sum", stage)
            for cell in range(CELLS):
                parity = cell % 2
                weights = batch.weights[s.cell_at[stage] + cell * s.cell_units * width * width :]
                for level in (0, 1, 2):
                    begin, count = s.groups[level, 9][0], 0
                    for taps in (9, 1):
                        members = s.groups[level, taps][2]
                        count += len(members)
                        if members:
                            self.convolve(
                                batch,
                                ("conv", parity, level, taps),
                                self.nodes[stage],
                                weights,
                                0,
                                ci=width,
                                co=width,
                                side=side,
                                taps=taps,
                            )
                    if count:
                        self.normalise(begin, count, width, side)
                    self.add(batch, ("sum", parity, level + 1), stage)
                self.gram(batch, ("gram", parity), stage)
        self.moments(batch)
        self.gram(batch, "gram last", 2, affine=True)
        return self.gram_

    def _blocks(self, co, side):
        bm, iters, _, _ = self.configs[co]
        return -(-self.N * side * side // (bm * iters))

    def convolve(
        self,
        batch,
        key,
        x,
        weights,
        _,
        *,
        ci,
        co,
        side,
        taps,
        stride=1,
        relu=True,
        pool=False,
        stats=True,
    ):
        table, count = batch.rows(key)
        bm, iters, warps, stages = self.configs[co]
        out = side // stride
        total, nblk = self.N * out * out, self._blocks(co, out)
        x_slot = self.N * side * side * ci
        conv_kernel[(nblk, count)](
            x,
            weights,
            self.arena,
            self.part,
            table,
            x_slot,
            total * co,
            total,
            nblk,
            SIDE=side,
            CI=ci,
            CO=co,
            TAPS=taps,
            STRIDE=stride,
            RELU=relu,
            POOL=pool,
            STATS=stats,
            BM=bm,
            ITERS=iters,
            PRECISION=self.precision,
            num_warps=warps,
            num_stages=stages,
        )

    def normalise(self, first, count, c, side):
        nblk = self._blocks(c, side)
        affine_kernel[(count,)](
            self.part,
            self.affine,
            first,
            self.N * side * side,
            nblk,
            C=c,
            BLOCKS=triton.next_power_of_2(nblk),
        )

    def moments(self, batch):
        table, count = batch.rows("gram last")
        bm, iters, _, _ = self.configs[64]
        total, nblk = self.N * 64, self._blocks(64, 8)
        moments_kernel[(nblk, count)](
            self.nodes[2], self.part, table, total * 64, total, nblk, C=64, BM=bm, ITERS=iters
        )
        self.normalise(0, count, 64, 8)

    def add(self, batch, key, stage):
        table, count = batch.rows(key)
        if not count:
            return
        c, side = WIDTHS[stage], SIDES[stage]
        slot = self.N * side * side * c
        block, warps = self.sum_config
        sum_kernel[(slot // block, count)](
            self.nodes[stage],
            self.arena,
            self.nodes[stage],
            self.affine,
            table,
            slot,
            SIDE=side,
            C=c,
            BLOCK=block,
            num_warps=warps,
        )

    def gram(self, batch, key, stage, affine=False):
        table, count = batch.rows(key)
        if not count or not self.gram_on:
            return
        c, side = WIDTHS[stage], SIDES[stage]
        features = c * side * side
        bk, warps, stages = self.gram_config
        split = 4 if features >= 16384 else 2 if features >= 8192 else 1
        gram_kernel[(split, count)](
            self.nodes[stage],
            self.gram_,
            self.affine,
            table,
            self.N * features,
            self.N,
            F=features,
            C=c,
            CHUNK=features // split,
            AFFINE=affine,
            BN=max(16, triton.next_power_of_2(self.N)),
            BK=bk,
            num_warps=warps,
            num_stages=stages,
        )


# ------------------------------------------------------------------ log-determinants


def kernels_of(signs, units):
    """K_H (B, N, N) float64 from sums of products of signs."""
    return (signs.to(torch.float64) + units.view(-1, 1, 1)) * 0.5


def log_determinants(kernels, method="cholesky"):
    if method == "cholesky":
        factor, info = torch.linalg.cholesky_ex(kernels)
        logs = 2 * factor.diagonal(dim1=1, dim2=2).log().sum(1)
        return torch.where(info == 0, logs, torch.nan)
    if method == "slogdet":
        return torch.linalg.slogdet(kernels).logabsdet
    return torch.linalg.eigvalsh(kernels).log().sum(1)


# ------------------------------------------------------------------ steps

RESULT, STEPS = {}, []


class Late(BaseException):
    pass


def late(*_):
    raise Late


def step(limit, cpu=True):
    def add(function):
        STEPS.append((function.__name__, function, limit, cpu))
        return function

    return add


def write():
    with open(f"{OUT}/{NAME}.part", "w") as file:
        json.dump(RESULT, file, indent=1, default=str)
    os.replace(f"{OUT}/{NAME}.part", f"{OUT}/{NAME}")


class State:
    pass


S = State()


def sync():
    if S.cuda:
        torch.cuda.synchronize()


def cells(count, seed=0):
    """Random connected cells."""
    found = []
    for index in np.random.default_rng(seed).permutation(15625):
        if compile_cell(operations_of(SPACE[int(index)].spelling)).output is not None:
            found.append(int(index))
            if len(found) == count:
                break
    return found


def against(a, b):
    pairs = np.array(
        [(x, y) for x, y in zip(a, b) if not isinstance(x, str) and not isinstance(y, str)], float
    )
    statuses = [(x, y) for x, y in zip(a, b) if isinstance(x, str) or isinstance(y, str)]
    bad = int((~np.isfinite(pairs)).any(1).sum()) if len(pairs) else 0
    pairs = pairs[np.isfinite(pairs).all(1)] if len(pairs) else pairs
    if not len(pairs):
        return {"pairs": 0, "not_finite": bad, "statuses": statuses}
    from scipy.stats import spearmanr

    x, y = pairs.T
    return {
        "pairs": len(pairs),
        "largest": float(np.abs(x - y).max()),
        "relative": float((np.abs(x - y) / np.abs(x)).max()),
        "mean": float((y - x).mean()),
        "spread": float(x.std()),
        "spearman": float(spearmanr(x, y)[0]) if len(x) > 2 else None,
        "not_finite": bad,
        "statuses": statuses,
    }


def exact_mode(on):
    torch.backends.cudnn.allow_tf32 = not on
    torch.backends.cuda.matmul.allow_tf32 = not on


def upload(lean, slot_bytes, dtype, stage=None):
    raw = S.workers.slot(slot_bytes)[: lean["bytes"]]
    S.uploaded = None
    if S.cuda:
        with torch.cuda.stream(S.copies):
            raw = raw.to(S.device, non_blocking=True)
            S.uploaded = torch.cuda.Event()
            S.uploaded.record()
        torch.cuda.current_stream().wait_event(S.uploaded)
        raw.record_stream(torch.cuda.current_stream())
    else:
        raw = raw.clone()
    return Batch(lean, raw, dtype)


def one_batch(indices, dtype):
    """Draw here and upload, without workers."""
    name = str(dtype).split(".")[1]
    lean = fill(indices, S.workers.slot(0), name)
    return upload(lean, 0, dtype)


def scores_here(engine, indices, dtype):
    batch = one_batch(indices, dtype)
    with torch.no_grad():
        signs = engine.run(batch)
        units = torch.from_numpy(batch.schedule.units).to(S.device)
        return log_determinants(kernels_of(signs, units)).cpu().tolist(), signs


def pipeline(engine, indices, size, dtype, keep=None):
    """All of it, workers drawing ahead; seconds, scores, and what the host waited for."""
    name = str(dtype).split(".")[1]
    groups = [indices[i : i + size] for i in range(0, len(indices), size)]
    free, idle, ready, active = list(range(S.workers.slots)), list(S.workers.pipes), {}, {}
    following, done, events, scores, uploads = 0, 0, [], [], 0
    waited = drew = planned = launched = 0.0
    S.generation = getattr(S, "generation", 0) + 1
    computed = []
    sync()
    start = time.perf_counter()
    order = 0
    while order < len(groups):
        while idle and free and following < len(groups):
            pipe, slot = idle.pop(), free.pop()
            pipe.send(("draw", (S.generation, following), groups[following], slot, name))
            active[pipe] = (following, slot)
            following += 1
        begin = time.perf_counter()
        block = order not in ready
        for pipe in connection.wait(list(active), None if block else 0) if active else []:
            kind, number, lean = pipe.recv()
            if number[0] != S.generation:
                continue  # of a step that was stopped
            number = number[1]
            if kind != "drawn":
                raise RuntimeError(lean)
            _, slot = active.pop(pipe)
            idle.append(pipe)
            ready[number] = (lean, slot)
            drew += lean["draw_s"]
            planned += lean["plan_s"]
        waited += time.perf_counter() - begin
        if order not in ready:
            continue
        begin = time.perf_counter()
        lean, slot = ready.pop(order)
        order += 1
        batch = upload(lean, slot, dtype)
        uploads += lean["bytes"]
        event = S.uploaded
        with torch.no_grad():
            signs = engine.run(batch)
            units = torch.from_numpy(batch.schedule.units).to(S.device)
            scores.append(log_determinants(kernels_of(signs, units)))
        launched += time.perf_counter() - begin
        events.append((event, slot))
        begin = time.perf_counter()
        if S.cuda:  # at most two batches in flight
            computed.append(torch.cuda.Event())
            computed[-1].record()
            if len(computed) > 2:
                computed.pop(0).synchronize()
        while len(events) > 1 or (events and not S.cuda):
            event, slot = events.pop(0)
            if event is not None:
                event.synchronize()
            free.append(slot)
        waited += time.perf_counter() - begin
    found = torch.cat(scores).cpu().tolist()
    seconds = time.perf_counter() - start
    return {
        "cells": len(indices),
        "seconds": seconds,
        "ms_per_cell": 1e3 * seconds / len(indices),
        "host_waited_s": waited,
        "host_launching_s": launched,
        "drawing_ms_per_cell_one_core": 1e3 * drew / len(indices),
        "planning_ms_per_cell_one_core": 1e3 * planned / len(indices),
        "upload_MB_per_cell": uploads / len(indices) / 1e6,
    }, found


def median_time(function, repeat=3):
    found = []
    for _ in range(repeat):
        sync()
        start = time.perf_counter()
        function()
        sync()
        found.append(time.perf_counter() - start)
    return float(np.median(found))


def extrapolated(ms):
    return {"whole_15625_s": ms * 15.625, "classes_5260_s": ms * 5.260}


@step(30)
def setup():
    torch.set_num_threads(1)
    S.cuda = GPU_HERE
    cores = os.cpu_count() or 1
    S.images_count, S.count, S.sizes = (
        (128, 24, (64, 32, 128))
        if S.cuda
        else (int(os.environ.get("IMAGES", 8)), int(os.environ.get("CELLS", 6)), (4,))
    )
    most = max(S.sizes)
    # the widest batch: 1.53 million numbers a cell at most, 0.45 on average
    slot = (most * 650_000 * 2 if S.cuda else most * 1_600_000 * 4) + (2 << 20)
    slot = -(-slot // (1 << 20)) << 20
    global STREAM
    start, same = time.perf_counter(), None
    try:
        same = FastStream.prepare()
        if same:
            STREAM = FastStream
    except Exception as error:
        same = f"{type(error).__name__}: {error}"[:200]
    fast = {"same_numbers": same, "compilation_s": time.perf_counter() - start}
    S.workers = Workers(min(15, max(1, cores - 1)) if S.cuda else 1, 18 if S.cuda else 2, slot)
    S.reference_cells = cells(S.count, 0)
    S.reference_jobs = []
    for number in range(min(8, len(S.workers.pipes))):
        mine = S.reference_cells[number :: min(8, len(S.workers.pipes))]
        S.workers.pipes[number].send(("reference", mine, S.images_count))
        S.reference_jobs.append(number)
    if S.cuda and not torch.cuda.is_available():
        S.cuda = False
        S.images_count = 128
    S.device = torch.device("cuda:0" if S.cuda else "cpu")
    from untrained.images.minibatches import minibatch

    S.images = minibatch("cifar10", "sample", SEED, S.images_count).images.to(S.device)
    found = {
        "python": sys.version.split()[0],
        "torch": torch.__version__,
        "triton": getattr(triton, "__version__", None),
        "cuda": S.cuda,
        "cores": cores,
        "images": list(S.images.shape),
        "workers": len(S.workers.pipes),
        "fast_stream": fast,
    }
    if S.cuda:
        p = torch.cuda.get_device_properties(0)
        found |= {"gpu": p.name, "memory": p.total_memory, "cudnn": torch.backends.cudnn.version()}
    return found


@step(25, cpu=False)
def pin():
    """Page-lock the workers' memory."""
    S.copies = torch.cuda.Stream()
    flat, found, start = S.workers.flat, {}, time.perf_counter()
    try:
        found["host_register"] = str(
            torch.cuda.cudart().cudaHostRegister(flat.ctypes.data, flat.nbytes, 0)
        )
    except Exception as error:
        found["host_register"] = f"{type(error).__name__}: {error}"
    try:
        torch.zeros(1, device=S.device).add_(1)  # takes an error that a refusal left behind
    except Exception as error:
        found["left"] = str(error)[:200]
    found["seconds"] = time.perf_counter() - start
    try:
        found["pinned"] = bool(S.workers.slot(0).is_pinned())
    except Exception as error:
        found["pinned"] = str(error)[:200]
    return found | {"GB": flat.nbytes / 1e9}


@step(60, cpu=False)
def compile_fused_bfloat16():
    """While workers make the reference."""
    if triton is None:
        return {"skipped": "no Triton"}
    S.fused = Fused(S.images, torch.bfloat16, S.sizes[0])
    start = time.perf_counter()
    made, _ = scores_here(S.fused, S.reference_cells, torch.bfloat16)
    return {"scores": made[:4], "seconds": time.perf_counter() - start}


@step(45)
def reference():
    """Today's engine, CPU, float32: what all else is compared with."""
    by_cell = {}
    for number in S.reference_jobs:
        kind, mine, scores = S.workers.pipes[number].recv()
        if kind != "reference":
            return {"failed": scores}
        by_cell |= dict(zip(mine, scores))
    S.reference = [by_cell[i] for i in S.reference_cells]
    return {"cells": S.reference_cells, "scores": S.reference}


@step(25)
def check_eager_float32():
    exact_mode(True)
    try:
        S.eager32 = Eager(S.images, torch.float32)
        made, signs = [], []
        part = 8 if S.cuda else 3
        for i in range(0, S.count, part):
            got, sums = scores_here(S.eager32, S.reference_cells[i : i + part], torch.float32)
            made += got
            signs.append(sums)
        S.signs32 = torch.cat(signs)
        found = against(S.reference, made) | exactness(S.signs32, S.reference_cells)
        for method in ("slogdet", "eigvalsh"):
            units = torch.from_numpy(Schedule(S.reference_cells).units).to(S.device)
            found[method] = against(
                made, log_determinants(kernels_of(S.signs32, units), method).tolist()
            )["largest"]
        return found
    finally:
        exact_mode(False)


def exactness(signs, indices):
    """Counts are whole: the diagonal is N_A, and all entries have its parity."""
    units = torch.from_numpy(Schedule(indices).units).to(signs.device)
    wide = signs.double()
    return {
        "diagonal_is_units": bool((wide.diagonal(dim1=1, dim2=2) == units[:, None]).all()),
        "parity_right": bool(((wide + units.view(-1, 1, 1)) % 2 == 0).all()),
        "symmetric": bool((wide == wide.transpose(1, 2)).all()),
    }


def _trust(name, found, far):
    good = found.get("pairs", 0) == S.count and found["largest"] < far
    S.good = getattr(S, "good", {}) | {name: good}
    found["trusted"] = good
    return found


@step(40)
def check_fused_bfloat16():
    if triton is None:
        return {"skipped": "no Triton"}
    start = time.perf_counter()
    fused = getattr(S, "fused", None) or Fused(S.images, torch.bfloat16, max(S.sizes[0], S.count))
    made, first = scores_here(fused, S.reference_cells, torch.bfloat16)
    found = against(S.reference, made) | {"seconds_with_compilation": time.perf_counter() - start}
    again, second = scores_here(fused, S.reference_cells, torch.bfloat16)
    found["same_twice"] = bool((first == second).all())
    S.fused = fused
    S.fused_scores = made
    return _trust("fused", found | exactness(first, S.reference_cells), 5.0)


@step(25)
def check_eager_bfloat16():
    S.eager = Eager(S.images, torch.bfloat16)
    made = []
    for i in range(0, S.count, 8):
        made += scores_here(S.eager, S.reference_cells[i : i + 8], torch.bfloat16)[0]
    found = against(S.reference, made)
    if hasattr(S, "fused_scores"):
        found["against_fused"] = against(S.fused_scores, made)
    return found


@step(20, cpu=False)
def pipeline_fused_64():
    """The headline: 1,920 random cells end to end, bfloat16, B = 64."""
    if not getattr(S, "fused", None):
        return {"skipped": "no fused engine"}
    indices = cells(1920, 3)
    pipeline(S.fused, indices[:256], 64, torch.bfloat16)
    torch.cuda.reset_peak_memory_stats()
    runs = [pipeline(S.fused, indices, 64, torch.bfloat16) for _ in range(3)]
    found = sorted((r[0] for r in runs), key=lambda r: r["seconds"])[1]
    S.best_ms = found["ms_per_cell"]
    return (
        found
        | extrapolated(found["ms_per_cell"])
        | {
            "same_each_time": all(r[1] == runs[0][1] for r in runs),
            "not_finite": int(np.sum(~np.isfinite(runs[0][1]))),
            "peak_GB": torch.cuda.max_memory_allocated() / 1e9,
        }
    )


@step(20, cpu=False)
def whole_classes_fused():
    """All 5,260 classes for real (connected ones; the others have no score)."""
    if not hasattr(S, "best_ms") or S.best_ms > 4:
        return {"skipped": "none fast enough"}
    chosen = [int(i) for i in np.unique(SPACE.representatives)]
    chosen = [
        i for i in chosen if compile_cell(operations_of(SPACE[i].spelling)).output is not None
    ]
    found, scores = pipeline(S.fused, chosen, 64, torch.bfloat16)
    S.class_scores = dict(zip(chosen, scores))
    return found | {"not_finite": int(np.sum(~np.isfinite(scores)))}


@step(14)
def stages_fused():
    """One batch of 64, stage by stage."""
    if triton is None or not hasattr(S, "fused"):
        return {"skipped": "no fused engine"}
    return _stages(S.fused, S.sizes[0], torch.bfloat16)


def _stages(engine, size, dtype):
    indices = cells(size, 4)
    name, found = str(dtype).split(".")[1], {}
    lean = fill(indices, S.workers.slot(0), name)
    lean = fill(indices, S.workers.slot(0), name)
    found["drawing_one_core_ms"] = 1e3 * lean["draw_s"] / size
    found["planning_one_core_ms"] = 1e3 * lean["plan_s"] / size
    found["upload_ms"] = 1e3 * median_time(lambda: upload(lean, 0, dtype)) / size
    found["upload_GB_s"] = lean["bytes"] / size / 1e6 / found["upload_ms"]
    batch = upload(lean, 0, dtype)
    with torch.no_grad():
        engine.run(batch)
        repeat = 5 if S.cuda else 1
        whole = median_time(lambda: engine.run(batch), repeat)
        engine.gram_on = False
        without = median_time(lambda: engine.run(batch), repeat)
        engine.gram_on = True
        sync()
        start = time.perf_counter()
        signs = engine.run(batch)
        found["host_launching_ms"] = 1e3 * (time.perf_counter() - start) / size
        sync()
        units = torch.from_numpy(batch.schedule.units).to(S.device)
        for method in ("cholesky", "slogdet", "eigvalsh"):
            try:
                log_determinants(kernels_of(signs, units), method)
                found[f"log_determinant_{method}_ms"] = (
                    1e3
                    * median_time(lambda: log_determinants(kernels_of(signs, units), method))
                    / size
                )
            except Exception as error:
                found[f"log_determinant_{method}"] = str(error)[:200]
    found |= {
        "forward_ms": 1e3 * without / size,
        "gram_ms": 1e3 * (whole - without) / size,
        "run_ms": 1e3 * whole / size,
    }
    moved = traffic(batch.schedule, len(S.images), torch.empty(0, dtype=dtype).element_size())
    found["traffic_MB_per_cell"] = {k: v / size / 1e6 for k, v in moved.items()}
    found["TB_s"] = sum(moved.values()) / whole / 1e12
    found["share_of_2.96_TB_s"] = found["TB_s"] / 2.96
    return found


def traffic(s, images, wide):
    """Bytes that the fused engine must move to and from memory if nothing stays in the cache.

    A convolution reads its source and writes its term; a sum reads each term or source once and
    writes the node; the kernel of codes reads each node that is rectified once; weights and
    partial sums are small beside it and left out.
    """
    per = [images * c * side * side * wide for c, side in zip(WIDTHS, SIDES)]
    convolutions = s.terms
    others = sum(len(a) for a in s.pools.values()) + sum(len(a) for a in s.skips.values())
    made = sum(len(a) for a in s.nodes_made.values())
    read = sum(len(r) for r in s.readers.values())
    B = s.size
    cells_total = CELLS * sum(per)
    conv = 2 * convolutions * cells_total + B * (images * 1024 * 32 * wide + per[0])
    sums = (convolutions + others + made) * cells_total + 2 * B * per[0]
    gram = read * cells_total + B * (per[0] + 2 * per[1] + per[2] + per[2])
    for stage in (1, 2):
        conv += B * (2 * per[stage - 1] + 4 * per[stage])
        sums += B * 5 * per[stage]
    return {"convolutions": conv, "sums": sums, "gram": gram + B * per[2]}


@step(14, cpu=False)
def profile_fused():
    if not hasattr(S, "fused"):
        return {"skipped": "no fused engine"}
    return _profile(S.fused, 64, torch.bfloat16)


def _profile(engine, size, dtype):
    from torch.profiler import ProfilerActivity, profile

    batch = one_batch(cells(size, 4), dtype)
    with torch.no_grad():
        engine.run(batch)
        sync()
        with profile(activities=[ProfilerActivity.CUDA]) as seen:
            start = time.perf_counter()
            engine.run(batch)
            sync()
            wall = time.perf_counter() - start
    events = [e for e in seen.key_averages() if e.self_device_time_total > 0]
    return {
        "kernels_per_batch": sum(e.count for e in events),
        "kernels_per_cell": sum(e.count for e in events) / size,
        "gpu_ms_per_cell": sum(e.self_device_time_total for e in events) / 1e3 / size,
        "wall_ms_per_cell": 1e3 * wall / size,
        "top": [
            (e.key[:80], e.count, e.self_device_time_total / 1e3 / size)
            for e in sorted(events, key=lambda e: -e.self_device_time_total)[:14]
        ],
    }


@step(30, cpu=False)
def today_and_plain():
    """Today's engine and the plain published procedure, same card, same run."""
    from untrained.proxies import get_proxy
    from untrained.scoring.engine import MinibatchSettings, score_work
    from untrained.scoring.execution import Execution
    from untrained.seeds import torch_seeded

    found = {}
    for name, exact in (("bfloat16", False), ("float32", True)):
        exact_mode(exact)
        work = [(i, [get_proxy("naswot")]) for i in S.reference_cells[:4] + S.reference_cells]
        stream, times, made = (
            score_work(
                SPACE,
                work,
                MinibatchSettings("cifar10", "sample", S.images_count),
                SEED,
                Execution(S.device, "auto", name),
            ),
            [],
            [],
        )
        for _ in work:
            start = time.perf_counter()
            (m,) = next(stream)
            times.append(time.perf_counter() - start)
            made.append(m.score if m.status == "ok" else m.status)
        made = made[4:]
        found[f"engine_{name}"] = against(S.reference, made) | {
            "ms": 1e3 * float(np.mean(times[4:]))
        }
        if name == "bfloat16" and hasattr(S, "fused_scores"):
            found["fused_against_engine_bfloat16"] = against(made, S.fused_scores)
        write()
    exact_mode(False)
    found["plain"] = {}
    text = None
    for root in ("benchmarks", *(os.path.join(p, "..", "benchmarks") for p in sys.path)):
        if os.path.exists(os.path.join(root, "plain.py")):
            text = (
                open(os.path.join(root, "plain.py"))
                .read()
                .replace("agreements.numpy()", "agreements.cpu().numpy()")
            )
            break
    space = {}
    exec(compile(text, "plain", "exec"), space)
    times = []
    for index in cells(12, 5):
        start = time.perf_counter()
        with torch_seeded(SEED, "weights", index):
            network = SPACE.network(SPACE[index], 10).to(S.device).train()
        space["plain_score"](network, S.images)
        sync()
        times.append(time.perf_counter() - start)
    found["plain"]["ms"] = 1e3 * float(np.mean(times[2:]))
    if hasattr(S, "best_ms"):
        found["plain"]["ratio_to_fused_pipeline"] = found["plain"]["ms"] / S.best_ms
    return found


@step(26, cpu=False)
def tune_fused():
    """A few shapes of the kernels, by the time of whole batches without and with Gram."""
    if not hasattr(S, "fused"):
        return {"skipped": "no fused engine"}
    engine, batch, found = S.fused, one_batch(cells(64, 4), torch.bfloat16), {}

    def measure():
        with torch.no_grad():
            engine.run(batch)
            return 1e3 * median_time(lambda: engine.run(batch), 3) / 64

    found["start"] = best = measure()
    S.tuned = found
    end = time.perf_counter() + 20
    options = [
        ("gram", (64, 4, 3)),
        ("gram", (128, 8, 2)),
        (16, (128, 8, 4, 2)),
        (16, (256, 4, 4, 3)),
        (16, (256, 4, 8, 2)),
        (64, (128, 4, 4, 3)),
        (64, (64, 8, 4, 3)),
        (32, (128, 4, 8, 2)),
        (32, (64, 8, 4, 3)),
        ("sum", (2048, 8)),
        ("sum", (2048, 4)),
        ("sum", (512, 4)),
        ("gram", (32, 4, 4)),
        (16, (64, 16, 4, 3)),
    ]
    for which, config in options:
        if time.perf_counter() > end:
            break
        name = {"gram": "gram_config", "sum": "sum_config"}.get(which)
        before = getattr(engine, name) if name else engine.configs[which]
        if not name and (config[0] * config[1] < 512):
            continue
        try:
            if name:
                setattr(engine, name, config)
            else:
                engine.configs[which] = config
            ms = measure()
        except Exception as error:
            ms = None
            found[f"{which} {config} failed"] = str(error)[:150]
        found[f"{which} {config}"] = ms
        if ms is not None and ms < best * 0.995:
            best = ms
        elif name:
            setattr(engine, name, before)
        else:
            engine.configs[which] = before
    found["best"] = best
    found["kept"] = {"gram": engine.gram_config, "sum": engine.sum_config} | {
        str(k): v for k, v in engine.configs.items()
    }
    return found


@step(20, cpu=False)
def pipeline_fused_sizes():
    """Other batch sizes, after tuning."""
    if not hasattr(S, "fused"):
        return {"skipped": "no fused engine"}
    found, kept = {}, S.fused
    indices = cells(1920, 3)
    for size in (64, 32, 16, 128):
        try:
            if size == 128:
                engine = Fused(S.images, torch.bfloat16, 128)
                engine.configs, engine.gram_config, engine.sum_config = (
                    kept.configs,
                    kept.gram_config,
                    kept.sum_config,
                )
            else:
                engine = kept
            pipeline(engine, indices[: 2 * size], size, torch.bfloat16)
            torch.cuda.reset_peak_memory_stats()
            runs = [pipeline(engine, indices, size, torch.bfloat16)[0] for _ in range(3)]
            one = sorted(runs, key=lambda r: r["seconds"])[1]
            found[size] = (
                one
                | extrapolated(one["ms_per_cell"])
                | {"peak_GB": torch.cuda.max_memory_allocated() / 1e9}
            )
            if one["ms_per_cell"] < getattr(S, "best_ms", 1e9):
                S.best_ms, S.best_size = one["ms_per_cell"], size
        except Exception as error:
            found[size] = f"{type(error).__name__}: {error}"[:300]
        RESULT["pipeline_fused_sizes"] = found
        write()
    found["best_ms"] = getattr(S, "best_ms", None)
    return found


@step(25, cpu=False)
def timings_eager():
    """PyTorch operations: one batch stage by stage, then the pipeline."""
    found = {}
    for size in (32, 64):
        found[size] = _stages(S.eager, size, torch.bfloat16)
        RESULT["timings_eager"] = found
        write()
    indices = cells(256, 3)
    pipeline(S.eager, indices[:128], 64, torch.bfloat16)
    torch.cuda.reset_peak_memory_stats()
    one = pipeline(S.eager, indices, 64, torch.bfloat16)[0]
    found["pipeline_64"] = (
        one
        | extrapolated(one["ms_per_cell"])
        | {"peak_GB": torch.cuda.max_memory_allocated() / 1e9}
    )
    return found


@step(12, cpu=False)
def profile_eager():
    return _profile(S.eager, 64, torch.bfloat16)


@step(40)
def check_fused_float32():
    if triton is None:
        return {"skipped": "no Triton"}
    start = time.perf_counter()
    fused = Fused(S.images, torch.float32, S.count, "ieee")
    if S.cuda:
        fused.configs = {16: (128, 8, 4, 1), 32: (64, 8, 4, 1), 64: (64, 8, 8, 1)}
    made, signs = scores_here(fused, S.reference_cells, torch.float32)
    found = against(S.reference, made) | {"seconds_with_compilation": time.perf_counter() - start}
    if hasattr(S, "signs32"):
        found["share_of_units_that_differ"] = float(
            (signs - S.signs32).abs().mean()
            / 2
            / torch.from_numpy(Schedule(S.reference_cells).units).mean()
        )
    S.fused32 = fused
    return _trust("fused32", found | exactness(signs, S.reference_cells), 0.5)


@step(20, cpu=False)
def timings_float32():
    """The exact variants: kernels with IEEE products; PyTorch with TF32 off."""
    found = {}
    if getattr(S, "good", {}).get("fused32"):
        engine = Fused(S.images, torch.float32, 32, "ieee")
        engine.configs = S.fused32.configs
        found["fused_ieee"] = _stages(engine, 32, torch.float32)
        engine.precision = "tf32"
        try:
            made, _ = scores_here(engine, S.reference_cells, torch.float32)
            found["fused_tf32"] = _stages(engine, 32, torch.float32) | against(S.reference, made)
        except Exception as error:
            found["fused_tf32"] = f"{type(error).__name__}: {error}"[:300]
        RESULT["timings_float32"] = found
        write()
        del engine
    exact_mode(True)
    try:
        found["eager_exact"] = _stages(S.eager32, 32, torch.float32)
    finally:
        exact_mode(False)
    return found


@step(14, cpu=False)
def drawing():
    """How fast workers draw, nothing else running, by cores."""
    S.generation = getattr(S, "generation", 0)
    found, name = {}, "bfloat16"
    chosen = cells(960, 6)
    for number, kind in (
        (1, "draw"),
        (4, "draw"),
        (len(S.workers.pipes), "draw"),
        (len(S.workers.pipes), "draw-torch"),
        (1, "draw-torch"),
    ):
        pipes = S.workers.pipes[:number]
        mine = chosen[: 64 * number]
        start = time.perf_counter()
        S.generation += 1
        for k, pipe in enumerate(pipes):
            pipe.send((kind, (S.generation, k), mine[64 * k : 64 * k + 64], k, name))
        for pipe in pipes:
            while pipe.recv()[1][0] != S.generation:
                pass
        found[f"{kind} {number} workers"] = {
            "ms_per_cell": 1e3 * (time.perf_counter() - start) / len(mine)
        }
    return found


@step(22, cpu=False)
def whole_space_fused():
    """All connected cells of the 15,625 for real, if that fits."""
    if not hasattr(S, "best_ms") or S.best_ms * 15.6 > 18:
        return {"skipped": "would take too long"}
    indices = cells(15625, 7)
    found, scores = pipeline(S.fused, indices, 64, torch.bfloat16)
    return found | {"not_finite": int(np.sum(~np.isfinite(scores)))}


@step(35, cpu=False)
def compiled_pieces():
    """torch.compile of the eager engine's pointwise pieces (the codes; gather and rectify)."""
    engine = Eager(S.images, torch.bfloat16)
    batch = one_batch(cells(64, 4), torch.bfloat16)
    before = 1e3 * median_time(lambda: engine.run(batch), 3) / 64
    engine.bits = torch.compile(Eager._bits, dynamic=True)
    engine.gathered = torch.compile(Eager._gathered, dynamic=True)
    start = time.perf_counter()
    with torch.no_grad():
        engine.run(batch)
        sync()
        spent = time.perf_counter() - start
        after = 1e3 * median_time(lambda: engine.run(batch), 3) / 64
    return {"before_ms": before, "after_ms": after, "compilation_s": spent}


def main():
    signal.signal(signal.SIGALRM, late)
    only = os.environ.get("ONLY", "").split(",") if os.environ.get("ONLY") else None
    for name, function, limit, cpu in STEPS:
        if only and name not in only:
            continue
        if not cpu and not (getattr(S, "cuda", False) or os.environ.get("ALL")):
            continue
        left = BEGUN + TOTAL - time.time()
        if left < 4:
            RESULT[name] = {"skipped": "no time left"}
            continue
        RESULT.setdefault(name, {})["crashed"] = "the process died in this step"
        write()
        begin, dead = time.time(), False
        if GPU_HERE or os.environ.get("LIMITS"):
            signal.setitimer(signal.ITIMER_REAL, max(1, min(limit, left - 2)), 2)
        try:
            found = function()
        except Late:
            earlier = RESULT.get(name, {})
            found = (
                dict(earlier)
                | {"late": f"stopped after {time.time() - begin:.0f} s"}
                | ({"tuned": S.tuned} if name == "tune_fused" and hasattr(S, "tuned") else {})
            )
            _drain()
        except BaseException as error:
            found = {
                "failed": f"{type(error).__name__}: {error}"[:600],
                "trace": traceback.format_exc()[-1800:],
            }
            dead = "CUDA error" in str(error) or "illegal" in str(error).lower()
            if not dead:
                _drain()
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        for engine in (getattr(S, n, None) for n in ("fused", "fused32", "eager", "eager32")):
            if engine is not None:
                engine.gram_on = True
        found = dict(found)
        found.pop("crashed", None)
        found["step_seconds"] = round(time.time() - begin, 1)
        RESULT[name] = found
        write()
        print(f"== {name}", json.dumps(found, default=str), flush=True)
        if dead:
            print("the device is lost", flush=True)
            S.workers.stop()
            if not os.environ.get("RESUMED"):  # once more, without the Triton kernels
                os.environ |= {"RESUMED": "1", "TOTAL": str(BEGUN + TOTAL - time.time())}
                os.execv(sys.executable, [sys.executable, os.path.abspath(__file__)])
            break
        if name == "setup" and "failed" in found:
            break
    print(f"done in {time.time() - BEGUN:.0f} s", flush=True)
    if hasattr(S, "workers"):
        S.workers.stop()
    os._exit(0)


def _drain():
    """Take answers that an interrupted step left in the pipes."""
    if not hasattr(S, "workers"):
        return
    for pipe in S.workers.pipes:
        while pipe.poll(0.1):
            pipe.recv()


if __name__ == "__main__":
    main()
