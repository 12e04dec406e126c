"""`untrained list`, the help of every command, and how the program ends."""

import json
import re
import runpy
import subprocess
import sys

import pytest
from typer.main import get_command

import untrained as package
from untrained.cli.app import app

COMMANDS = [
    [],
    ["rank"],
    ["score"],
    ["fetch"],
    ["list"],
    ["shard"],
    ["merge"],
    ["compare"],
    ["ensembles"],
    ["search"],
    ["ablate"],
    ["measure"],
    ["pareto"],
    ["fronts"],
    ["prune"],
    ["params"],
    ["plan"],
    ["training-curves"],
    ["train"],
    ["report"],
    ["report", "section"],
    ["report", "page"],
    ["report", "show"],
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_has_help(untrained, command):
    code, out, err = untrained(*command, "--help")
    assert code == 0
    assert err == ""
    assert " ".join(["Usage: untrained", *command]) + " " in out
    assert "--help" in out


def test_the_help_names_every_command(untrained):
    _, out, _ = untrained("--help")
    assert all(command[0] in out for command in COMMANDS[1:])
    assert "--debug" in out


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_the_short_option_prints_the_help_too(untrained, command):
    assert untrained(*command, "-h") == untrained(*command, "--help")


def parameters_of(command, *names):
    for name in names:
        command = command.commands[name]
    return [one for one in command.params if not one.name.endswith("completion")]


@pytest.mark.parametrize("names", COMMANDS, ids=" ".join)
def test_every_text_of_the_help_is_a_sentence_that_stands_alone(names):
    """It begins with a capital or a type's name, ends with a full stop, and is not a lone word."""
    texts = {one.name: one.help for one in parameters_of(get_command(app), *names)}
    for name, text in texts.items():
        assert re.fullmatch(r"[A-Z].+\S\.", text or "", re.DOTALL), (name, text)
        assert len(text.split()) > 1, (name, text)


@pytest.mark.parametrize("group", [[], ["report"]], ids=" ".join)
def test_the_list_of_commands_has_whole_sentences(untrained, group):
    assert "..." not in untrained(*group, "--help")[1].partition("Commands:")[2]


def test_the_module_is_the_command(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["untrained", "--version"])
    with pytest.raises(SystemExit) as stopped:
        runpy.run_module("untrained", run_name="__main__")
    assert stopped.value.code == 0
    assert capsys.readouterr().out == f"untrained {package.__version__}\n"


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("shar", ["shard"]),
        ("prune nasb", ["nasbench101", "nasbench201"]),
        ("ablate nasbench201 --proxy naswot-r", ["naswot-released"]),
        ("search re", ["rea", "reinforce"]),
        ("search rea nats", ["natsbench_size"]),
        ("fetch cif", ["cifar10", "cifar100"]),
        ("fetch nasbench2", ["nasbench201"]),
        ("training-curves darts 0 --dataset imagenett", ["imagenette"]),
        ("score nasbench2", ["nasbench201"]),
        ("report section cor", ["correlations"]),
        ("params scores.bat", ["scores.batch_size"]),
        ("list al", ["algorithms"]),
        ("prune nothing", []),
    ],
)
def test_the_shell_completes_names(untrained, monkeypatch, line, offered):
    monkeypatch.setenv("_UNTRAINED_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", f"untrained {line}")
    monkeypatch.setenv("COMP_CWORD", str(len(line.split())))
    assert untrained() == (0, "".join(f"{one}\n" for one in offered) or "\n", "")


def test_the_completion_of_a_shell_can_be_shown(untrained, monkeypatch):
    monkeypatch.setenv("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "1")
    code, out, _ = untrained("--show-completion", "bash")
    assert code == 0
    assert "_UNTRAINED_COMPLETE=complete_bash" in out


def test_a_quiet_command_reports_no_progress(untrained):
    search = ["search", "rs", "nasbench201", "--budget", "2evaluations", "--runs", "2"]
    code, out, err = untrained(*search)
    assert "2/2 runs" in err
    assert untrained(*search, "--quiet") == (code, out, "")
    assert "data/benchmarks/nasbench201.parquet" in untrained("fetch", "nasbench201")[2]
    assert untrained("fetch", "nasbench201", "-q") == (0, "", "")
    assert untrained("fetch", "cifar10", "--split", "sample", "-q") == (0, "", "")


def test_help_needs_no_heavy_package():
    heavy = "torch", "pandas", "matplotlib", "pyarrow", "scipy"
    code = (
        "import sys; import untrained.cli.app; "
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"


@pytest.mark.parametrize("target", ["/proc/x", "file/x", "file/folder/x"])
@pytest.mark.parametrize(
    ("command", "option"),
    [
        ("shard nowhere --proxy naswot --dataset cifar10 --seed 0", "--out"),
        ("merge", "--out"),
        ("search rs nowhere", "--out"),
        ("ablate nowhere", "--out"),
        ("prune nowhere", "--out"),
        ("training-curves nowhere 0", "--out"),
        ("training-curves nowhere 0", "--figure"),
        ("fetch nowhere", "--out"),
        ("fetch nowhere", "--note"),
        ("report section correlations nowhere", "--tables"),
        ("report section correlations nowhere", "--figures"),
        ("report page nowhere", "--out"),
        ("report explorer nowhere", "--out"),
        ("rank nowhere/0", "--html"),
        ("report page nowhere", "--metrics"),
    ],
)
def test_what_can_not_be_written_is_refused_first(refused, tmp_path, command, option, target):
    (tmp_path / "file").touch()
    refused([*command.split(), option, target], f"cannot write {target}")


@pytest.mark.parametrize("best", ["nan", 0, 1.5, "inf"])
def test_a_fraction_out_of_range_is_refused_whatever_section_is_made(refused, best):
    said = f"fraction {float(best)} of the best"
    refused(["report", "section", "correlations", "nasbench201", "--best", best], said)


@pytest.mark.parametrize("option", ["--resamples", "--kernels"])
def test_numbers_of_a_section_are_limited(refused, option):
    refused(
        ["report", "section", "correlations", "nasbench201", option, 10**12],
        "should be less than or equal",
    )


@pytest.mark.parametrize("seed", [-1, 2**63])
@pytest.mark.parametrize(
    ("command", "option"),
    [
        ("score nowhere 0", "--seed"),
        ("shard nowhere --proxy naswot --dataset cifar10 --out x --seed 0", "--sample-seed"),
        ("shard nowhere --proxy naswot --dataset cifar10 --out x", "--seed"),
        ("search rs nowhere", "--seed"),
        ("ablate nowhere --out x", "--seed"),
        ("prune nowhere", "--seed"),
        ("train nowhere", "--seed"),
        ("training-curves nowhere 0", "--seed"),
        ("report section correlations nowhere", "--seed"),
    ],
)
def test_a_seed_out_of_range_is_refused_first(refused, command, option, seed):
    refused([*command.split(), option, seed], f"seed {seed} is ")


def test_the_last_of_several_seeds_is_checked_too(refused):
    last = 2**63 - 1
    refused(["score", "nowhere", 0, "--seed", last, "--seeds", 2], f"seed {last + 1} is too large")


def test_version(untrained):
    assert untrained("--version") == (0, f"untrained {package.__version__}\n", "")


@pytest.mark.parametrize(
    ("arguments", "listed"),
    [
        (["spaces"], ["darts", "nasbench101", "nasbench201", "natsbench_size"]),
        (["datasets"], ["ImageNet16-120", "cifar10", "cifar100", "noise"]),
        (["datasets", "cifar*"], ["cifar10", "cifar100"]),
        (["proxies"], ["naswot", "synflow"]),
        (["proxies", "*-released"], ["lga", "naswot"]),
        (["algorithms"], ["naswot", "optimal", "random"]),
        (["algorithms", "[or]*"], ["optimal", "random"]),
    ],
)
def test_list(untrained, arguments, listed):
    code, out, err = untrained("list", *arguments)
    assert (code, err) == (0, "")
    out, _, _ensembles = out.partition("\n\n")
    # other spaces, proxies and algorithms may have come since
    below = [line for line in out.splitlines() if line.startswith("    ")]
    head, *lines = [re.split(" {2,}", line) for line in out.splitlines() if line not in below]
    found = [line[0] for line in lines]
    assert head[0] == "name"
    assert all(len(line) == len(head) and line[-1] == "built in" for line in lines)
    assert found == sorted(found)
    assert set(listed) <= set(found)
    facts = ["variants", "applies to", "source"] if arguments[0] == "proxies" else []
    assert [re.split(" {2,}", line)[1] for line in below] == facts * len(lines)


@pytest.mark.parametrize("kind", ["spaces", "proxies", "datasets", "algorithms", "devices"])
def test_a_list_without_a_match_says_so(untrained, kind):
    code, out, err = untrained("list", kind, "nosuch")
    assert (code, err) == (0, f"no {kind} match 'nosuch': `untrained list {kind}` has all\n")
    assert len(out.splitlines()) == 1  # the names of the columns


def test_the_list_of_proxies_shows_variants_and_where_they_apply(untrained):
    _, out, _ = untrained("list", "proxies", "naswot")
    assert "    variants       corrected, released, signs\n" in out
    assert "    applies to     networks with rectifiers" in out
    assert "    source         Mellor et al., ICML 2021" in out


def test_ensembles_can_be_found(untrained, refused):
    spelled = "log(az_expressivity,az_progressivity,az_trainability,flops)"
    _, out, _ = untrained("list", "proxies", "az*")
    assert f"\naz_nas  {spelled}\n    source         Lee and Ham" in out
    assert "tenas" not in out
    assert untrained("list", "proxies", "tenas")[2] == ""
    assert "ensembles" not in untrained("list", "proxies", "naswot")[1]
    assert "log(naswot,parameters)" in untrained("rank", "-h")[1]
    refused(["rank", "nasbench201/3", "--proxy", "tenass"], "did you mean 'tenas'")


def test_the_help_of_a_loss_names_no_single_proxy(untrained):
    assert "grad_norm" not in untrained("rank", "-h")[1]


@pytest.mark.parametrize("command", ["rank", "score"])
def test_the_help_says_which_proxy_is_read_by_default(untrained, command):
    assert "default: naswot" in " ".join(untrained(command, "-h")[1].split())


@pytest.mark.parametrize(
    ("arguments", "facts"),
    [
        (["spaces", "nasbench201"], {"label": "nasbench201",
                                     "datasets": "cifar10, cifar100, ImageNet16-120"}),
        (["spaces", "nds_darts_in"], {"datasets": "ImageNet", "ablations": "none"}),
        (["proxies", "synflow-logsynflow"], {"unit": "none", "variants": "synflow, logsynflow",
                                             "label": "synflow"}),
        (["proxies", "validation_loss"], {"unit": "nats", "applies to": "any network"}),
        (["datasets", "noise"], {"label": "noise", "shape": "3, 32, 32", "stands for": "cifar10"}),
        (["devices", "edgetpu"], {"architectures": "10926", "least ms": "0.3465"}),
        (["algorithms", "rea"], {"label": "REA", "spends budget": "yes", "reads scores": "no"}),
    ],
)  # fmt: skip
def test_list_long(untrained, arguments, facts):
    code, out, err = untrained("list", *arguments, "--long")
    assert (code, err) == (0, "")
    found = dict(re.split(" {2,}", line.strip()) for line in out.splitlines()[2:])
    assert facts.items() <= found.items()


@pytest.mark.parametrize("kind", ["spaces", "proxies", "datasets", "algorithms", "devices"])
def test_what_is_listed_as_json_is_the_table_of_python(untrained, kind):
    code, out, err = untrained("list", kind, "--json")
    assert (code, err) == (0, "")
    table = getattr(package, f"list_{kind}")()
    assert json.loads(out) == json.loads(json.dumps(table.to_dict("records")))
    assert untrained("list", kind, "nothing*", "--json")[1] == "[]\n"


def test_what_is_listed_is_taken(untrained):
    from untrained.images.sets import image_set
    from untrained.proxies import get_proxy
    from untrained.search import parse_algorithm
    from untrained.spaces import get_space

    takers = {
        "spaces": get_space,
        "proxies": get_proxy,
        "datasets": image_set,
        "algorithms": parse_algorithm,
    }
    for kind, take in takers.items():
        lines = untrained("list", kind)[1].partition("\n\n")[0].splitlines()[1:]
        for line in (one for one in lines if not one.startswith(" ")):
            take(line.split()[0])


@pytest.mark.parametrize("arguments", [["list", "things"], ["score"], ["nothing"], ["list"]])
def test_the_parser_refuses(refused, arguments):
    refused(arguments, "untrained: ")


def test_without_a_command_there_is_help(untrained):
    _, out, err = untrained()
    assert "Usage: untrained" in out + err


def test_debug_raises_what_is_otherwise_one_line(monkeypatch):
    from untrained import cli
    from untrained.errors import UnknownNameError

    monkeypatch.setattr(sys, "argv", ["untrained", "fetch", "--debug", "nothing"])
    with pytest.raises(UnknownNameError):
        cli.main()


def test_a_bug_keeps_its_traceback(monkeypatch):
    from untrained import cli

    def broken(spelling):
        raise ZeroDivisionError

    monkeypatch.setattr("untrained.search.parse_algorithm", broken)
    monkeypatch.setattr(sys, "argv", ["untrained", "search", "random", "nasbench201"])
    with pytest.raises(ZeroDivisionError):
        cli.main()


def test_an_interrupt_is_no_traceback(untrained, monkeypatch):
    def interrupted(spelling):
        raise KeyboardInterrupt

    monkeypatch.setattr("untrained.search.parse_algorithm", interrupted)
    code, out, err = untrained("search", "random", "nasbench201")
    assert code in (1, 130)  # what the option parser makes of it, by version
    assert "Traceback" not in out + err
