"""Official NDS files become tables, and damaged ones a line that says what is wrong."""

import json
import zipfile
from pathlib import Path

import pytest

from untrained.benchmarks import nds
from untrained.benchmarks.benchmark import Benchmark
from untrained.benchmarks.nds import convert_nds
from untrained.errors import DamagedFileError, MissingDataError, UnknownNameError
from untrained.spaces.nds import read_architectures
from untrained.spaces.nds_networks import SWEEPS, CellNetwork

from .nds_files import (
    BOTTLENECK,
    cell_entry,
    changed,
    network_of,
    read,
    some_cells,
    some_stages,
    staged_entry,
    write,
)


@pytest.fixture
def target(tmp_path):
    return tmp_path / "benchmarks" / "nds_darts.parquet"


def converted(tmp_path, target, content, space="nds_darts"):
    convert_nds(space, write(tmp_path / "given.json", content), target)
    return Benchmark.read(target, space)


def test_there_is_a_space_for_each_official_file():
    assert len(SWEEPS) == 34
    assert SWEEPS["nds_darts"].file == "DARTS.json"
    assert SWEEPS["nds_resnext_a_in"].file == "ResNeXt-A_in.json"
    assert SWEEPS["nds_pnas_fix_w_d"].file == "PNAS_fix-w-d.json"
    assert SWEEPS["nds_vanilla_reruns"].file == "Vanilla_reruns.json"
    on_imagenet = {name for name, sweep in SWEEPS.items() if sweep.dataset == "ImageNet"}
    assert on_imagenet == {name for name, sweep in SWEEPS.items() if sweep.imagenet}
    assert len(on_imagenet) == 10


def test_an_accuracy_is_what_the_last_error_leaves(tmp_path, target):
    entries = [*some_cells(), cell_entry(errors=(30.0, 9.5, 31.0))]
    table = converted(tmp_path, target, entries)
    assert set(table.measures) == {("cifar10", "ori-test", 3, "mean")}
    found = table.accuracies("cifar10", "ori-test")
    assert found.tolist() == [100 - entry["test_ep_top1"][-1] for entry in entries]
    costs = table.costs("cifar10")
    assert costs["parameters"].tolist() == [123456] * len(entries)
    assert costs["flops"].tolist() == [7890123] * len(entries)


def test_what_else_an_entry_has_is_not_read():
    given = cell_entry()
    whole = read(given)
    for key in ("train_ep_top1", "train_ep_loss", "iter_time", "rng_seed"):
        assert read(changed(given, [key], ...)) == whole
    for key in ("base_lr", "wd"):
        assert read(changed(given, ["optim", key], ...)) == whole
    assert read(changed(given, ["net", "drop_prob"], ...)) == whole


def test_runs_of_one_network_are_architectures_of_their_own(tmp_path, target):
    """A sweep may train a network again, with another seed or other settings."""
    entries = [
        staged_entry(errors=(50.0, last)) | {"rng_seed": seed}
        for seed, last in ((1, 7.0), (2, 8.5))
    ]
    table = converted(tmp_path, target, entries, "nds_resnet_reruns")
    assert table.accuracies("cifar10", "ori-test").tolist() == [93.0, 91.5]
    first, second = read_architectures("nds_resnet_reruns", target.with_suffix(".json"))
    assert first == second


def test_the_list_beside_the_table_has_the_architectures_in_order(tmp_path, target):
    for space, entries in (("nds_darts", some_cells()), ("nds_vanilla", some_stages())):
        converted(tmp_path, target, entries, space)
        found = read_architectures(space, target.with_suffix(".json"))
        assert found == [str(entry.network) for entry in read(*entries)]


def test_top_and_mid_are_read_one_after_the_other(tmp_path, target):
    top, mid = [cell_entry(width=8), cell_entry(width=10)], [cell_entry(width=12)]
    converted(tmp_path, target, {"top": top, "mid": mid})
    found = read_architectures("nds_darts", target.with_suffix(".json"))
    assert [text.split()[0] for text in found] == ["width=8", "width=10", "width=12"]


def test_imagenet_is_another_data_set(tmp_path, target):
    table = converted(tmp_path, target, some_cells(), "nds_darts_in")
    assert {key[0] for key in table.measures} == {"ImageNet"}


@pytest.mark.parametrize("error", [float("nan"), float("inf"), 10**400])
def test_a_run_without_an_error_has_no_accuracy_and_keeps_its_index(tmp_path, target, error):
    entries = [cell_entry(), cell_entry(errors=(50.0, error)), cell_entry(width=10)]
    table = converted(tmp_path, target, entries)
    found = table.accuracies("cifar10", "ori-test", 3)
    assert found[0] == found[2] == 93.5
    assert found[1] != found[1]
    assert len(read_architectures("nds_darts", target.with_suffix(".json"))) == 3


def test_inside_a_bottleneck_there_are_a_ratio_and_groups():
    network = network_of(staged_entry("res_bottleneck_block", **BOTTLENECK)["net"])
    assert (network.ratios, network.groups) == ((0.5, 1.0, 0.25), (2, 4, 3))
    # other blocks have neither, whatever an entry says
    for given in ({}, {"bot_muls": [None] * 3, "num_gs": []}):
        network = network_of(staged_entry("res_basic_block", **given)["net"])
        assert (network.ratios, network.groups) == ((), ())


@pytest.mark.parametrize(
    ("given", "block"),
    [
        ("double_plain_block", "vanilla_block"),
        ("double_plain", "vanilla_block"),
        ("res_basic_block", "res_basic_block"),
        ("res_bottleneck_block", "res_bottleneck_block"),
        ("res_bottleneck", "res_bottleneck_block"),
    ],
)
def test_a_block_is_known_by_the_beginning_of_its_name(given, block):
    assert network_of(staged_entry(given, **BOTTLENECK)["net"]).block == block


WHOLE = json.dumps(some_cells())
STAGED = staged_entry("res_bottleneck_block", **BOTTLENECK)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "^given.json is not a file of NDS: Invalid JSON: EOF"),
        (WHOLE[:-1], "Invalid JSON: EOF while parsing a list"),
        (WHOLE[: len(WHOLE) // 2], "Invalid JSON: EOF while parsing a string"),
        (WHOLE + "x", "Invalid JSON: trailing characters .*: get it again$"),
        (WHOLE.replace(",", ";", 1), "Invalid JSON: expected"),
        ("7", "should be a valid array, not 7: get"),
        ("[]", "^given.json has no entries"),
        ('{"top": [], "mid": []}', "^given.json has no entries"),
        ('{"top": []}', "entry mid: Field required"),
        ('{"top": [], "mid": [], "bottom": []}', "entry bottom: Extra inputs are not permitted"),
        ('{"top": {}, "mid": []}', "entry top: Input should be a valid array, not {}"),
        ("[" * 100_000, "Invalid JSON: recursion limit"),
        ("[7]", "^given.json is not a file of NDS: entry 0: Input should be an object, not 7"),
        ([cell_entry(), changed(cell_entry(), ["net"], ...)],
         "entry 1 net: Field required"),
        ([changed(cell_entry(), ["test_ep_top1"], ...)],
         "entry 0 test_ep_top1: Field required: get it again$"),
        ([changed(cell_entry(), ["test_ep_top1"], [])], "test_ep_top1: .* at least 1 item"),
        ([changed(cell_entry(), ["test_ep_top1"], ["a"])], "test_ep_top1 0: .* number, not 'a'"),
        ([cell_entry(), changed(cell_entry(), ["optim", "max_ep"], 100)],
         "^given.json, entry 1: test_ep_top1 has 3 errors: max_ep is 100$"),
        ([changed(cell_entry(), ["optim", "max_ep"], ...)], "optim max_ep: Field required"),
        ([changed(cell_entry(), ["optim"], ...)], "entry 0 optim: Field required"),
        ([changed(cell_entry(), ["params"], ...)], "entry 0 params: Field required"),
        ([changed(cell_entry(), ["flops"], None)], "entry 0 flops: .* number, not None"),
        (WHOLE.replace('"width": 8', '"width": 1e400', 1), "entry 0 net cells width: .* not inf"),
        ([cell_entry(errors=(101.0,))], r"the test error 101 is not in 0\.\.100 percent"),
        ([cell_entry(errors=(-1.0,))], "the test error -1 is not"),
        ([cell_entry(errors=(float("nan"),))], "has no entry with a finite test error"),
        ([cell_entry(params=-1)], "params: .* greater than or equal to 0, not -1"),
        ([cell_entry(params="1")], "params: .* number, not '1'"),
        ([cell_entry(params=float("inf"))], "params: .* not inf"),
        ([changed(cell_entry(), ["net", "genotype", "reduce"], ...)],
         "genotype reduce: Field required"),
        ([changed(cell_entry(), ["net", "genotype", "normal", 3], ["none"])],
         "genotype normal 3 1: Field required"),
        ([changed(cell_entry(), ["net", "genotype", "normal", 3, 1], 9)], "no node 9 yet, inputs"),
        ([changed(cell_entry(), ["net", "genotype", "normal", 7], ...)], "normal has 7 pairs"),
        ([changed(cell_entry(), ["net", "genotype", "normal", 3, 0], "conv")],
         "unknown operation 'conv'"),
        ([changed(cell_entry(), ["net", "genotype", "normal_concat"], [7])], r"is \[7\]: one or"),
        ([changed(cell_entry(), ["net", "genotype"], [])], r"genotype: .* object, not \[\]"),
        ([changed(cell_entry(), ["net", "width"], 8.5)], "valid integer, not 8.5"),
        ([changed(cell_entry(), ["net", "width"], float("inf"))],
         "width: .* valid integer, not inf"),
        ([changed(cell_entry(), ["net", "depth"], float("nan"))], "depth: .* integer, not nan"),
        ([changed(cell_entry(), ["net", "width"], 10**400)],
         "width: .* less than 10{18}, not 10{59}:"),
        ([changed(cell_entry(), ["net", "aux"], ...)], "aux: Field required"),
        ([changed(cell_entry(), ["net", "aux"], 7)], "aux: .* boolean, not 7"),
        ([cell_entry(params=10**400)], "params: .* finite number, not 10"),
        ([cell_entry(params=1e300)], "params: .* less than 10{18}, not 1e"),
        ([changed(STAGED, ["net", "ws"], [8, 10**17, 24])], "widths has 1e\\+17: at most 8192"),
        ([changed(STAGED, ["net", "ss"], [1, float("inf"), 2])], "ss 1: .* valid integer, not inf"),
        ([changed(STAGED, ["net", "bot_muls", 1], float("nan"))],
         "bot_muls 1: .* finite number, not nan"),
        ([changed(STAGED, ["net", "bot_muls", 1], 1e308)],
         "bot_muls 1: .* less than 10{18}, not 1e"),
        ([changed(STAGED, ["net", "bot_muls", 1], 1e17)], "ratios has 1e\\+17: at most 8"),
        ([changed(STAGED, ["net", "bot_muls"], [None] * 3)], "bot_muls 0: .* number, not None"),
        ([changed(STAGED, ["net", "block_type"], "res")], "unknown block 'res'"),
        ([changed(STAGED, ["net", "block_type"], ...)], "block_type: Field required"),
        ([changed(STAGED, ["net", "block_type"], 7)], "block_type: .* string, not 7"),
        ([changed(STAGED, ["net", "ws"], [8, 16])], "widths has 2 numbers: .* takes 3"),
        ([changed(STAGED, ["net", "ws"], 8)], "ws: .* array, not 8"),
        ([changed(STAGED, ["net", "bot_muls"], ...)], "net bottlenecks bot_muls: Field required"),
        ([changed(STAGED, ["net", "num_gs"], [2, 0, 2])], "groups has 0: at most 8192, above 0"),
        ([changed(STAGED, ["net", "num_gs"], [5, 1, 1])], "stage 1 has 4 channels .* 5 groups"),
    ],
)  # fmt: skip
def test_what_is_no_file_of_nds_is_refused_in_one_line(tmp_path, target, content, message):
    with pytest.raises(DamagedFileError, match=message) as caught:
        converted(tmp_path, target, content)
    assert "\n" not in str(caught.value)
    assert not target.parent.exists()


def test_text_in_another_encoding_is_refused(tmp_path, target):
    source = tmp_path / "x.json"
    source.write_bytes(b'[{"net": "\xff\xfe"}]')
    with pytest.raises(DamagedFileError, match="invalid unicode code point"):
        convert_nds("nds_darts", source, target)


@pytest.mark.parametrize(
    ("space", "right", "wrong", "message"),
    [
        ("nds_resnet", staged_entry(), cell_entry(),
         "is a network of two cells, those of nds_resnet have stages of blocks: name the file "
         "ResNet.json, or fetch the space of this file"),
        ("nds_resnext_a_in", staged_entry(), cell_entry(), "name the file ResNeXt-A_in.json"),
        ("nds_vanilla_rng2", staged_entry(), cell_entry(), "name the file Vanilla_rng2.json"),
        ("nds_darts", cell_entry(), staged_entry(),
         "is a network of stages of blocks, those of nds_darts have two cells: name the file "
         "DARTS.json"),
        ("nds_nasnet_in", cell_entry(), staged_entry(), "name the file NASNet_in.json"),
    ],
)  # fmt: skip
def test_the_file_of_another_kind_of_space_is_refused(
    tmp_path, target, space, right, wrong, message
):
    converted(tmp_path, target, [right, right], space)
    before = target.read_bytes()
    with pytest.raises(DamagedFileError) as caught:
        converted(tmp_path, target, [right, wrong], space)
    assert str(caught.value).startswith("given.json, entry 1 ")
    assert message in str(caught.value)
    assert target.read_bytes() == before


def test_every_space_has_one_kind_of_network():
    families = ("Vanilla", "ResNet", "ResNeXt")
    for sweep in SWEEPS.values():
        assert (sweep.kind is not CellNetwork) == sweep.file.startswith(families)


def test_a_table_never_has_the_list_of_another(tmp_path, target, monkeypatch):
    """Interrupted before any file changes its place, or after the last one has."""
    sources = [
        write(tmp_path / f"{width}.json", [cell_entry(width=width, errors=(width,))])
        for width in (8, 12)
    ]
    beside = target.with_suffix(".json")

    def pair():
        return target.read_bytes(), beside.read_bytes()

    pairs = []
    for source in sources:
        convert_nds("nds_darts", source, target)
        pairs.append(pair())
    moves = []

    class Interrupted(BaseException):
        pass

    def interrupting(move, last):
        def moved(self, *given, **named):
            if len(moves) == last:
                raise Interrupted
            moves.append(self.name)
            return move(self, *given, **named)

        return moved

    own = target.with_name("mine.parquet")
    convert_nds("nds_darts", sources[1], own)
    for again in (
        lambda: convert_nds("nds_darts", sources[1], target),
        lambda: nds.fetch_nds("nds_darts", target, own),
    ):
        seen = set()
        for last in range(100):
            convert_nds("nds_darts", sources[0], target)
            moves.clear()
            with monkeypatch.context() as patched:
                for name in ("replace", "unlink"):
                    patched.setattr(Path, name, interrupting(getattr(Path, name), last))
                try:
                    again()
                except Interrupted:
                    pass
                else:
                    break
            seen.add(pairs.index(pair()) if target.is_file() else None)
        assert pair() == pairs[1]
        assert seen >= {0, None}


# --- where the file is


def test_a_folder_or_an_archive_has_the_file_of_the_space(tmp_path, target):
    folder = tmp_path / "nds" / "nds_data"
    write(folder / "DARTS_in.json", [cell_entry(width=10)])
    write(folder / "DARTS_fix-w-d.json", [cell_entry(width=12)])
    archive = tmp_path / "nds_data.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for path in folder.iterdir():
            packed.write(path, f"nds_data/{path.name}")
        packed.writestr("__MACOSX/nds_data/._DARTS_in.json", b"\0")  # of macOS
    for source in (tmp_path / "nds", archive):
        for space, width in (("nds_darts_in", 10), ("nds_darts_fix_w_d", 12)):
            convert_nds(space, source, target)
            (found,) = read_architectures(space, target.with_suffix(".json"))
            assert found.startswith(f"width={width} ")
        with pytest.raises(MissingDataError, match=r"has no ENAS\.json: name that file"):
            convert_nds("nds_enas", source, target)


def test_what_is_not_there_is_said(tmp_path, target):
    with pytest.raises(MissingDataError, match=r"does not exist: name DARTS\.json, a folder"):
        convert_nds("nds_darts", tmp_path / "nowhere", target)
    with pytest.raises(UnknownNameError, match="unknown space 'nds_dart': did you mean"):
        convert_nds("nds_dart", tmp_path, target)
    with pytest.raises(MissingDataError, match="run `untrained fetch nds_darts`, with --mirror"):
        read_architectures("nds_darts", target.with_suffix(".json"))


def test_an_archive_that_is_damaged_or_absurd_is_refused(tmp_path, target, monkeypatch):
    archive = tmp_path / "x.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("a/DARTS.json", WHOLE)
        packed.writestr("b/DARTS.json", WHOLE)
    with pytest.raises(DamagedFileError, match=r"has 2 files called DARTS\.json"):
        convert_nds("nds_darts", archive, target)
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("a/DARTS.json", WHOLE)
    content = archive.read_bytes()
    for damaged in (content[:200], content[:60] + b"\0\0\0\0\0" + content[65:]):
        archive.write_bytes(damaged)
        with pytest.raises(DamagedFileError, match="is not a complete ZIP archive"):
            convert_nds("nds_darts", archive, target)
    archive.write_bytes(content)
    monkeypatch.setattr(nds, "_MOST_BYTES", 100)
    with pytest.raises(DamagedFileError, match="bytes, more than any official"):
        convert_nds("nds_darts", archive, target)
    assert not target.parent.exists()


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"space": "nds_darts", "architectures": []}',
     '{"space": "nds_darts", "architectures": [7]}',
     '{"space": "nds_enas", "architectures": ["x"]}'],
)  # fmt: skip
def test_a_damaged_list_of_architectures_is_refused(tmp_path, content):
    path = write(tmp_path / "nds_darts.json", content)
    with pytest.raises(DamagedFileError, match=r"fetch nds_darts again$"):
        read_architectures("nds_darts", path)
