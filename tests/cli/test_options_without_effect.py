"""Options that change nothing in a combination: one line, whatever the command."""

import shlex
from contextlib import nullcontext
from dataclasses import replace

import pytest
from typer.main import get_command

from untrained.cli.app import app
from untrained.errors import ParameterError

#: What has an effect whatever else is given: what is written, shown and named, and how much.
ALWAYS = {
    "rank": "proxy shape images seed seeds split batch_size augmentation sampling device precision "
    "where as_csv html",
    "score": "proxy variant seed seeds dataset split batch_size augmentation sampling device "
    "engine precision",
    "fetch": "",
    "list": "as_json",
    "shard": "proxy dataset seed out shard shards architectures among share ledger seconds split "
    "batch_size augmentation sampling device engine precision",
    "merge": "out listed ensemble",
    "params": "",
    "plan": "architectures",
    "compare": "scores pair seed",
    "ensembles": "proxy members named sample labels resamples seed out",
    "search": "dataset runs shard shards seed benchmark where out live",
    "ablate": "out dataset split batch_size augmentation sampling device engine precision "
    "experiment proxy seed benchmark",
    "training-curves": "dataset split batch_size augmentation sampling device engine precision "
    "epochs proxy kernel seed seeds ledger out figure",
    "measure": "shape device batch_size seconds name out",
    "pareto": "dataset objective algorithm evaluations runs seed benchmark where out live",
    "fronts": "out score cost control predictor dataset images evaluations runs seed scores "
    "devices",
    "prune": "dataset split seed variant criterion repeats batch_size workers device out ledger",
    "train": "dataset split held_out epochs batch_size learning_rate momentum weight_decay "
    "gradient_clip crop_flip cutout drop_path auxiliary_weight cells channels seed checkpoint "
    "device",
    "report section": "tables beside",
    "report page": "out tables figures metrics cells",
    "report explorer": "split batch_size augmentation sampling precision out",
    "report open": "",
    "report show": "tables",
}
ALWAYS_EVERYWHERE = {"as_json", "quiet"}

SPACE = "nasbench201"
LIVE = "search rs+fitness=naswot nasbench201 --live"
SECTION = "report section"
#: Command, and options that it refuses to what is said.
REFUSED = [
    ("rank nasbench201/5 --classes 10", "classes 10: only networks of timm and torchvision"),
    ("rank nasbench201/5 --loss torch.nn.functional:cross_entropy", "loss: naswot needs none"),
    ("rank nasbench201/5 --forward builtins:len", "forward is of networks of your own"),
    ("rank nasbench201/5 --output builtins:len", "output is of networks of your own"),
    ("rank nasbench201/5 --devices-table x", "x is not read: a latency or an energy would be"),
    ("rank nasbench201/5 --devices-table x --where 'flops > 1'", "x is not read: a latency"),
    ("rank nasbench201/5 --json --csv", "--json and --csv: take one"),
    ("score nasbench201 5 --input 3x8x8", "--input 3x8x8: the images of an architecture"),
    ("fetch nasbench201 --split train", "--split: nasbench201 is a search space"),
    ("fetch nasbench201 --note x", "--note: nasbench201 is a search space"),
    ("fetch nasbench201 --allow-missing", "--allow-missing: nasbench201 is a search space"),
    ("fetch cifar10 --from a --mirror b", "--from and --mirror: take one"),
    ("fetch cifar10 --split sample --from x", "--from: the sample is bundled or drawn"),
    ("fetch cifar10 --split sample --mirror x", "--mirror: the sample is bundled or drawn"),
    ("fetch noise --out x", "--out: the sample is bundled or drawn"),
    ("fetch noise --allow-missing", "--allow-missing: the sample is bundled or drawn"),
    ("list spaces --json --long", "--long: JSON has all that is known"),
    ("params seeds --schema", "--schema is that of all keys: leave 'seeds' out"),
    ("shard nasbench201 --proxy naswot --dataset cifar10 --seed 0 --out x --sample-seed 3",
     "--sample-seed: none is drawn where all are scored"),
    ("compare named.csv nasbench201 --dataset cifar10", "--dataset: named.csv itself names"),
    ("ablate nasbench201 --out x --experiment noise --batch-sizes 2,3", "--batch-sizes: the exp"),
    ("ablate nasbench201 --out x --experiment noise --cells 3", "--cells: the experiment noise"),
    ("ablate nasbench201 --out x --experiment noise --minibatches 3", "--minibatches: the exper"),
    ("ablate nasbench201 --out x --experiment noise --initialisations 3", "--initialisations: "),
    ("ablate nasbench201 --out x --experiment variance --repeats 3", "--repeats: the experiment "),
    ("training-curves nasbench201 5 --benchmark x", "--benchmark: only --figure shows accuracies"),
    ("measure nasbench201/5 --classes 10", "classes 10: only networks of timm and torchvision"),
    ("measure torch.nn:Identity --input 3x8x8 --dataset cifar10", "dataset cifar10: the images"),
    # `threads` on a GPU is below
    ("train DARTS_V2 --split sample --evaluate-every 3", "--evaluate-every: no images are held"),
    ("train DARTS_V2 --held-out none --evaluate-every 3", "--evaluate-every: no images are held"),
    ("search random nasbench201 --budget 100s", "budget 100s: random does not use it, area, bohb"),
    ("search rea nasbench201 --proxy naswot",
     "proxy naswot: rea does not use it, area, naswot, rea+mutants=4 do: leave it out"),
    ("search area+init=meco nasbench201 --proxy naswot", "area+init=meco does not use it, area, n"),
    ("search optimal-10 nasbench201 --seconds-per-score 1",
     "seconds per score 1: optimal-10 does not use it, area, naswot, rea+init=naswot, rea+fit"),
    ("search rea+pool=naswot nasbench201 --seconds-per-score 1", "rea+pool=naswot does not use"),
    ("search naswot-10 nasbench201 --epochs 12", "epochs 12: naswot-10 does not use it, area, "),
    ("search naswot-10 nasbench201 --training-seed 777", "training seed 777: naswot-10 does not"),
    ("search rs nasbench201 --scores x", "scores x: rs does not use it, area, naswot, rea+init"),
    ("search rs nasbench201 --scores x --where 'latency[raspi4] < 9'", "scores x: rs does not use"),
    ("search rs nasbench201 --devices-table x --where 'flops > 1'", "x is not read: a latency"),
    ("search rs nasbench201 --split sample", "--split: only --live makes scores"),
    *((f"search rs nasbench201 --{option}", f"--{option.split()[0]}: only --live makes scores")
      for option in ("batch-size 5", "augmentation none", "sampling uniform", "device cpu",
                     "engine auto", "precision auto", "ledger x", "score-seeds 3")),
    (f"{LIVE} --proxy naswot", "proxy naswot: a live search does not use it"),
    (f"{LIVE} --epochs 12", "epochs 12: a live search does not use it"),
    (f"{LIVE} --training-seed 777", "training seed 777: a live search does not use it"),
    (f"{LIVE} --seconds-per-score 1", "seconds per score 1: a live search does not use it"),
    (f"{LIVE} --scores x", "scores x: a live search does not use it"),
    *((f"pareto nasbench201 --objective naswot --objective flops --{option}",
       f"--{option.split()[0]}: only --live makes scores")
      for option in ("split sample", "batch-size 5", "augmentation none", "sampling uniform",
                     "device cpu", "engine auto", "precision auto", "ledger x", "score-seeds 3")),
    ("pareto nasbench201 --objective 'latency[raspi4]' --objective 'energy[eyeriss]' --scores x",
     "scores x: no objective is read from them"),
    ("pareto nasbench201 --objective naswot --objective 'latency[raspi4]' --live --scores x",
     "scores x: no objective is read from them"),
    ("pareto nasbench201 --objective naswot --objective flops --devices-table x", "x is not read"),
    (f"{SECTION} ablations nasbench201 --benchmark x", "--benchmark: ablations takes no such"),
    (f"{SECTION} ablations nasbench201 --scores x", "--scores: ablations takes no such option"),
    (f"{SECTION} searches nasbench201 --devices-table x", "--devices-table: searches takes no"),
    (f"{SECTION} seeds nasbench201 --resamples 9", "--resamples: seeds takes no such option"),
    (f"{SECTION} seeds nasbench201 --seed 9", "--seed: seeds takes no such option"),
    (f"{SECTION} seeds nasbench201 --best .2", "--best: seeds takes no such option"),
    (f"{SECTION} seeds nasbench201 --proxy naswot", "--proxy: seeds takes no such option"),
    (f"{SECTION} seeds nasbench201 --kernels 2", "--kernels: seeds takes no such option"),
    (f"{SECTION} seeds nasbench201 --split sample", "--split: seeds takes no such option"),
    (f"{SECTION} seeds nasbench201 --batch-size 2", "--batch-size: seeds takes no such option"),
    (f"{SECTION} seeds nasbench201 --augmentation none", "--augmentation: seeds takes no such "),
    (f"{SECTION} seeds nasbench201 --sampling uniform", "--sampling: seeds takes no such option"),
    (f"{SECTION} seeds nasbench201 --architectures all", "--architectures: seeds takes no such"),
    (f"{SECTION} seeds nasbench201 --searched live", "--searched: seeds takes no such option"),
    (f"{SECTION} seeds nasbench201 --search-proxy zen", "--search-proxy: seeds takes no such"),
    ("report page nasbench201 --scores s.parquet", "--scores: only --metrics and --cells read"),
    (f"{SECTION} seeds nasbench201 --only tables --figures f", "--figures: with --only tables"),
    (f"{SECTION} proxies nasbench201 --beside darts --only figures", "--only: with --beside"),
    (f"{SECTION} seeds nasbench201 trace.parquet", "seeds reads no files but benchmark and scores"),
    *((f"report explorer nasbench201 nasbench101 --{name} x", "name one space")
      for name in ("benchmark", "scores", "tables")),
]  # fmt: skip


@pytest.mark.parametrize(("command", "said"), REFUSED)
def test_an_option_without_effect_is_refused(refused, tmp_path, command, said):
    (tmp_path / "named.csv").write_text("arch,dataset,naswot\n5,cifar10,1.0\n")
    refused(shlex.split(command), said)


def commands(group=None, before=()):
    for name, command in (group or get_command(app)).commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*before, name))
        else:
            yield " ".join((*before, name)), command


@pytest.mark.parametrize(("name", "command"), [*commands()], ids=[name for name, _ in commands()])
def test_each_option_has_an_effect_always_or_is_refused_where_it_has_none(name, command):
    """A new option has to be thought about: where does it change nothing?"""
    known = {text: one.name for one in command.params for text in one.opts if text[0] == "-"}
    own = [shlex.split(line) for line, _ in REFUSED if line.startswith(f"{name} ")]
    refused = {known[word] for words in own for word in words if word in known}
    always = set(ALWAYS[name].split())
    assert always <= set(known.values())
    refused |= {"threads"} & set(known.values())
    assert always | refused | ALWAYS_EVERYWHERE >= set(known.values()) - {"help"}


def test_what_a_search_uses_follows_from_what_it_says_of_itself():
    from untrained.search import parse_algorithm

    options = "budget", "proxy", "epochs", "training_seed", "seconds_per_score", "scores"

    def used(spelling, **named):
        search = parse_algorithm(spelling)
        return [one for one in options if search.uses(one, **named)]

    assert used("random") == used("optimal-7") == []
    assert used("naswot-7") == ["proxy", "seconds_per_score", "scores"]
    assert used("naswot-7", proxy="lga@1") == list(options[1:])
    assert used("rs") == ["budget", "epochs", "training_seed"]
    assert used("area") == used("rea+mutants=2") == list(options)
    assert used("rea+init=meco") == [one for one in options if one != "proxy"]
    assert used("rea+fitness=meco") == ["budget", "seconds_per_score", "scores"]
    assert used("rea+fitness=lga@1") == [one for one in options if one != "proxy"]
    assert used("rea+pool=meco") == ["budget", "epochs", "training_seed", "scores"]
    assert used("rea+fitness=meco", live=True) == ["budget"]


def test_python_refuses_what_the_command_line_does():
    from untrained import cached_scores, measure, pareto, rank, run_search

    with pytest.raises(ParameterError, match="budget 9s: random does not use it, area"):
        run_search("random", "nasbench201", budget="9s")
    with pytest.raises(ParameterError, match="needs none"):
        rank([("nasbench201", 5)], "parameters", loss=lambda outputs, labels: outputs.sum())
    with pytest.raises(ParameterError, match="forward is of networks of your own"):
        rank([("nasbench201", 5)], "parameters", forward=lambda network, images: images)
    with pytest.raises(ParameterError, match=r"^scores: no objective"):
        pareto("nasbench201", ["latency[raspi4]", "energy[eyeriss]"], scores=cached_scores(SPACE))
    with pytest.raises(ParameterError, match=r"^scores \(DataFrame\): rs does not use it"):
        run_search("rs", "nasbench201", scores=cached_scores(SPACE))
    with pytest.raises(ParameterError, match="classes 3: only networks"):
        measure([("nasbench201", 5)], classes=3)


def test_the_sizes_of_an_experiment_are_those_that_its_design_reads():
    from untrained.scoring.ablations import EXPERIMENTS, AblationSettings
    from untrained.scoring.images import MinibatchSettings

    usual = AblationSettings()
    other = {"repeats": 3, "batch_sizes": (5, 6), "minibatches": 7, "initialisations": 8}
    for sizes, design in EXPERIMENTS.values():
        images = MinibatchSettings()
        read = [
            size
            for size, value in other.items()
            if design(images, usual) != design(images, replace(usual, **{size: value}))
        ]
        read += [] if design(images, usual).binned else ["cells"]
        assert sorted(read) == sorted(sizes)


def test_a_gpu_has_no_number_of_threads(refused, monkeypatch):
    import torch

    from untrained.scoring import measuring

    monkeypatch.setattr(measuring, "leased_device", lambda _: nullcontext(torch.device("cuda:0")))
    refused(["measure", "nasbench201/5", "--threads", 1], "threads 1: cuda:0 has none to choose")


def test_every_command_takes_a_free_gpu_by_default():
    """Except measure, whose times are to be those of the processor unless one names a GPU."""
    found = {
        name: parameter.default
        for name, command in commands()
        for parameter in command.params
        if parameter.name == "device"
    }
    assert found.pop("measure") == "cpu"
    assert len(found) >= 8
    assert set(found.values()) == {"auto"}
