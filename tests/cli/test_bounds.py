"""Numbers, texts and files that no command can use: one line before any work."""

import io
import json
import os
import shlex
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

HUGE = "1" + "0" * 22
SHARD = "shard nasbench201 --proxy naswot --dataset cifar10 --seed 0 --out s.parquet"
TRAIN = "train DARTS_V2 --split sample"


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (f"score nasbench201 1 --seed {HUGE}", f"seed {HUGE} is too large"),
        (f"score nasbench201 1 --seeds {HUGE}", f"--seeds {HUGE}: 1 to 1000000"),
        (f"score nasbench201 1 --batch-size {HUGE}", f"minibatch size {HUGE} is too large"),
        (f"search rs nasbench201 --runs {HUGE}", f"runs is {HUGE}: at most 1000000"),
        (f"search rs nasbench201 --shards {HUGE}", f"{HUGE} shards of 500 runs: 1 to 500"),
        (f"search rs nasbench201 --epochs {HUGE}", f"no accuracy for epochs {HUGE}"),
        ("search rs nasbench201 --epochs 0", "no accuracy for epochs 0"),
        (f"search rs nasbench201 --budget {HUGE}s", "seconds up to 100000000"),
        (f"search rs nasbench201 --budget {HUGE}evaluations", "evaluations up to 1000000"),
        ("search rs nasbench201 --seconds-per-score inf", "0 to 100000000, or measured"),
        (f"search naswot-{HUGE} nasbench201", "samples are a positive integer up to 1000000"),
        ("search optimal-1000000 nasbench201", "1000000 samples in each of 500 runs: all together"),
        (f"search bohb+eta={HUGE} nasbench201", f"eta is {HUGE}: at most 1000000"),
        ("search bohb+candidates=20000 nasbench201", "candidates=20000: 1 to 10000"),
        ("search rea+mutants=20000 nasbench201", "mutants=20000: 1 to 10000"),
        ("search bohb nasbench201 --budget 100000000s",
         "a run of bohb would make 8.9e+05 evaluations: give less, for at most 50000"),
        ("search rs+fitness=naswot nasbench201 --seconds-per-score 1e-300 --quiet",
         "a run of rs would make 1.2e+304 evaluations"),
        (f"search rs+fitness=naswot nasbench201 --live --score-seeds {HUGE}", "score_seeds is"),
        (f"prune nasbench201 --repeats {HUGE}", f"repeats is {HUGE}: at most"),
        (f"prune nasbench201 --batch-size {HUGE}", f"batch_size is {HUGE}: at most"),
        (f"prune nasbench201 --workers {HUGE}", f"workers is {HUGE}: at most 1000"),
        (f"{SHARD} --shards {HUGE}", f"shards is {HUGE}: at most"),
        (f"ablate nasbench201 --out a --repeats {HUGE}", f"repeats is {HUGE}: at most"),
        (f"ablate nasbench201 --out a --minibatches {HUGE}", f"minibatches is {HUGE}: at most"),
        (f"ablate nasbench201 --out a --batch-sizes 2,{HUGE}", f"batch_sizes is {HUGE}: at most"),
        (f"training-curves nasbench201 1 --epochs 0,{HUGE}", "epochs of training: 0 to 1000"),
        (f"{TRAIN} --epochs {HUGE}", f"epochs is {HUGE}: at most"),
        (f"{TRAIN} --channels {HUGE}", f"channels is {HUGE}: at most"),
        (f"{TRAIN} --cells {HUGE}", f"cells is {HUGE}: at most"),
        (f"{TRAIN} --cutout {HUGE}", f"cutout is {HUGE}: at most"),
        (f"{TRAIN} --evaluate-every {HUGE}", "--evaluate-every: no images are held out"),
        (f"report section correlations nasbench201 --resamples {HUGE}", "'--resamples': "),
        ("report section correlations nasbench201 --best nan", "fraction nan of the best"),
        (f"ensembles nasbench201 --labels 2,{HUGE}", "2 to 1000000"),
        ("measure nasbench201/5 --input 3x999999999x999999999", "3x999999999x999999999 don't fit"),
    ],
)  # fmt: skip
def test_a_number_out_of_bounds_is_named(refused, command, said):
    refused(shlex.split(command), said)


def test_a_long_spelling_is_cut(refused):
    err = refused(["search", "rs", "nasbench201", "--where", f"{'(' * 5000} < 3"], "an ensemble")
    assert len(err) < 200


@pytest.mark.parametrize("number", ["1.0", "1e0", "1_0", "x", "\u0663"])
@pytest.mark.parametrize(
    "command",
    [
        "search random nasbench201 --runs",
        "score nasbench201 1 --seed",
        "report section correlations nasbench201 --kernels",
    ],
)
def test_what_is_counted_is_an_integer(refused, command, number):
    refused([*command.split(), number], f"{command.split()[-1]} '{number}': write an integer")
    refused(f"{command}={number}".split(), f"{command.split()[-1]} '{number}': write an integer")


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("score nasbench201 1 --variant=", "--variant is empty"),
        ("prune nasbench201 --ledger ''", "--ledger is empty"),
        ("score nasbench201 ''", "an argument is empty"),
        ("search rs nasbench201 --training-seed=", "--training-seed is empty"),
        ("rank ranked_networks:wide --loss=", "--loss is empty"),
        ("fetch cifar10 --mirror ''", "--mirror is empty"),
        ("score nasbench201 1 --input 3x16x16", "--input 3x16x16: the images of an architecture"),
        ("rank ranked_networks:wide --classes 12", "classes 12: only networks of timm and"),
        ("search rs nasbench201 --score-seeds 3 --batch-size 5", "--batch-size, --score-seeds: "),
        ("fetch nasbench201 --split test", "--split: nasbench201 is a search space"),
        ("fetch cifar10 --from a --mirror b", "--from and --mirror: take one"),
        ("ensembles nasbench201 nasbench201", "name each space once"),
    ],
)
def test_empty_texts_and_options_that_do_not_apply_are_refused(refused, command, said):
    refused(shlex.split(command), said)


@pytest.fixture
def fifo(tmp_path):
    os.mkfifo(tmp_path / "fifo")


@pytest.mark.usefixtures("fifo")
@pytest.mark.parametrize("path", ["/dev/zero", "fifo"])
@pytest.mark.parametrize(
    "command",
    [
        "fetch cifar10 --from",
        "fetch nasbench201 --from",
        "fetch nasbench101 --from",
        "fetch natsbench_size --from",
        "fetch nds_resnet --from",
        "fetch TinyImageNet16-120 --from",
        "compare --space nasbench201",
        "plan",
        "merge --out m.parquet",
        "merge --out m.parquet --list",
    ],
)
def test_what_is_no_plain_file_is_called_so(untrained, command, path):
    words = command.replace("--space ", "").split()
    if words[0] == "compare":
        words = ["compare", path, "nasbench201"]
    else:
        words.append(path)
    code, out, err = untrained(*words)
    assert (code, out) == (2, "")
    assert f"{path} is no plain file" in err
    assert len(err.splitlines()) == 1


@pytest.mark.usefixtures("fifo")
@pytest.mark.parametrize(
    "command", ["search random nasbench201 --runs 1 --out", "fetch nasbench201 --out"]
)
def test_what_is_no_plain_file_is_not_written(refused, tmp_path, command):
    refused([*command.split(), "fifo"], "cannot write fifo: it is no plain file, name a file")
    assert (tmp_path / "fifo").is_fifo()


@pytest.mark.parametrize(
    "command",
    [
        "search random nasbench201 --runs 1 --out",
        "search random nasbench201 --runs 1 --benchmark",
        "fetch nasbench201 --out",
        "fetch cifar10 --split sample --note",
        "fetch cifar10 --from",
        "fetch nasbench201 --from",
        "fetch nasbench201 --mirror",
        f"{SHARD} --ledger",
    ],
)
def test_a_name_too_long_for_the_system_is_one_line(refused, command):
    refused([*command.split(), "n" * 5000], "File name too long")


def archive_of(path, header, content, **options):
    """Write an .npz of one array `x` whose header says what it likes."""
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, header)
    with zipfile.ZipFile(path, "w", **options) as archive:
        archive.writestr("x.npy", head.getvalue() + content)


def test_an_archive_of_arrays_can_not_fill_the_memory(refused, tmp_path):
    header = {"descr": "|u1", "fortran_order": False, "shape": (10**12, 16, 16, 3)}
    archive_of(tmp_path / "rows.npz", header, b"1234")
    said = "has not the shape (1000000000000, 16, 16, 3)"
    refused(["fetch", "TinyImageNet16-120", "--from", "rows.npz"], said)
    bomb = zipfile.ZIP_DEFLATED
    header["shape"] = (9 << 30,)
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w", bomb) as archive:
        archive.writestr("x.npy", b"")
        archive.infolist()[0].file_size = 9 << 30  # what the directory will say
    refused(["fetch", "TinyImageNet16-120", "--from", "bomb.npz"], "it has more than 8 GiB")


def test_a_table_can_not_fill_the_memory(refused, tmp_path, monkeypatch):
    monkeypatch.setattr("untrained.files.LARGEST_TABLE", 10)
    pq.write_table(pa.table({"arch": range(11)}), tmp_path / "s.parquet")
    refused(["merge", "s.parquet", "--out", "m"], "it lacks proxy")
    names = ["arch", "proxy", "dataset", "seed", "score", "status"]
    pq.write_table(pa.table({one: range(11) for one in names}), tmp_path / "s.parquet")
    refused(["merge", "s.parquet", "--out", "m"], "it has 66 values, and at most 10 are read")


def test_names_from_a_file_do_not_control_the_terminal(refused, tmp_path):
    pq.write_table(pa.table({"a\n\x1b[31mred": [1]}), tmp_path / "s.parquet")
    err = refused(["merge", "s.parquet", "--out", "m"], r"it has a\n\x1b[31mred")
    assert err.removesuffix("\n").isprintable()


def test_a_factory_that_ends_or_prints_on_import_is_named(
    refused, untrained, tmp_path, monkeypatch
):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "ends_on_import.py").write_text("import sys\nsys.exit(0)\n")
    (tmp_path / "raises_on_import.py").write_text("raise BaseException('odd')\n")
    monkeypatch.setattr("sys.dont_write_bytecode", True)
    for command in ("score", "rank"):
        refused([command, "ends_on_import:net"], "SystemExit: it calls exit(0)")
        refused([command, "raises_on_import:net"], "BaseException: odd")
    (tmp_path / "odd_proxies.py").write_text(
        "print('hello')\nfrom untrained.proxies.costs import Parameters\n"
        "class Mine(Parameters):\n    name = 'mine'\n"
    )
    options = ["--proxy", "odd_proxies:Mine", "--seeds", 1, "--json"]
    code, out, err = untrained("score", "nasbench201", 5, *options)
    assert (code, json.loads(out)[0]["status"], err) == (0, "ok", "hello\n")


def test_a_factory_that_raises_anything_is_one_line(refused, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("sys.dont_write_bytecode", True)
    (tmp_path / "odd_factories.py").write_text(
        "def odd():\n    raise BaseException('odd')\n"
        "def closed():\n    raise GeneratorExit('end')\n"
    )
    refused(["score", "odd_factories:odd"], "BaseException: odd (--debug shows where)")
    refused(["score", "odd_factories:closed"], "GeneratorExit: end (--debug shows where)")


@pytest.mark.parametrize("kind", ["Exception", "RuntimeError", "BaseException"])
def test_an_error_whose_text_fails_or_exits_is_one_line(
    refused, untrained, tmp_path, monkeypatch, kind
):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("sys.dont_write_bytecode", True)
    name = f"odd_texts_{kind}"
    (tmp_path / f"{name}.py").write_text(
        "import sys\n"
        f"class Exits({kind}):\n    def __str__(self):\n        sys.exit(0)\n"
        f"class Fails({kind}):\n    def __str__(self):\n        raise KeyError\n"
        "def exits():\n    raise Exits\ndef fails():\n    raise Fails\n"
        "def code():\n    raise SystemExit(Fails())\n"
    )
    for factory, said in {
        "exits": "Exits: its text can't be had, as that raises SystemExit",
        "fails": "Fails: its text can't be had, as that raises KeyError",
        "code": "exit(its text can't be had, as that raises KeyError)",
    }.items():
        refused(["score", f"{name}:{factory}"], said)
        code, out, err = untrained("rank", f"{name}:{factory}", "--seeds", 1, "--quiet", "--json")
        assert (code, err) == (1, f"untrained: failed: {name}:{factory}\n")
        assert said in json.dumps(json.loads(out))


def test_a_network_too_large_for_the_memory_is_a_status(untrained, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "full_factories.py").write_text("def full():\n    raise MemoryError\n")
    code, out, err = untrained("score", "full_factories:full", "--seeds", 1)
    assert (code, err) == (1, "")
    assert "undefined: out_of_memory" in out
    code, out, err = untrained("rank", "full_factories:full", "--seeds", 1, "--quiet")
    assert (code, err) == (1, "untrained: failed: full_factories:full\n")
    assert "out_of_memory" in out
