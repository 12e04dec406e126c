"""Candidates by their names; real networks of timm and torchvision where these are installed."""

import sys
from functools import partial
from importlib.util import find_spec
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from torch import nn

from untrained import get_space, rank
from untrained.errors import ArchitectureError, ParameterError, PluginError, UnknownNameError
from untrained.scoring import candidates
from untrained.scoring.candidates import candidates_of


def made():
    return nn.Linear(2, 2)


def names(*given):
    return [one.name for one in candidates_of(list(given))]


def test_candidates_are_called_what_they_are_spelled_by(space):
    assert names(nn.ReLU(), made, nn.Identity, partial(made)) == [
        "ReLU",
        "made 1",
        "Identity",
        "made 2",
    ]
    spelling = space[45].spelling
    given = ["nasbench201/45", ("nasbench201", 45), space[45], (space, spelling)]
    assert names(*given, f"nasbench201/{spelling}") == [
        *("nasbench201/45 1", "nasbench201/45 2", "nasbench201/45 3"),
        *(f"nasbench201/{spelling} 1", f"nasbench201/{spelling} 2"),
    ]
    assert {one.index for one in candidates_of(given)} == {45}
    assert [one.name for one in candidates_of({"mine": made, 3: nn.ReLU()})] == ["mine", "3"]


@pytest.mark.parametrize(
    ("space", "written"),
    [
        ("nasbench201", (4, 0, 3, 1, 4, 3)),
        ("nasbench201", [4, 0, 3, 1, 4, 3]),
        ("nasbench201", np.int64(5)),
        (
            "nasbench201",
            {"0_1": "conv_3x3", "0_2": "skip", "1_2": "conv_1x1"}
            | {"0_3": "none", "1_3": "avg_pool_3x3", "2_3": "conv_3x3"},
        ),
        (
            "nasbench101",
            ([[0, 1, 1], [0, 0, 1], [0, 0, 0]], ["input", "conv3x3-bn-relu", "output"]),
        ),
    ],
)
def test_architectures_as_other_tools_write_them_are_called_by_their_index(space, written):
    index = get_space(space).parse(written).index
    for one in ((space, written), [space, written], (get_space(space), written)):
        (found,) = candidates_of([one])
        assert (found.name, found.index) == (f"{space}/{index}", index)
    (found,) = candidates_of({"mine": (space, written)})
    assert (found.name, found.index) == ("mine", index)


def test_networks_have_addresses(tmp_path, monkeypatch):
    (tmp_path / "zoo_of_candidates.py").write_text("from torch.nn import Identity as Net\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (found,) = candidates_of(["zoo_of_candidates:Net"])
    assert isinstance(found.target(), nn.Identity)
    assert found.own


@pytest.mark.parametrize(
    ("spelling", "error", "message"),
    [
        ("resnet18", ParameterError, r"^'resnet18' names no candidate: write module:factory, timm"),
        ("a b:c", ParameterError, "names no candidate"),
        ("no_such_module:Net", PluginError, "there is no module no_such_module"),
        ("math:pi", ParameterError, "math:pi is no function or class"),
        ("nasbench202/45", UnknownNameError, "did you mean 'nasbench201'"),
        ("nasbench201/99999", ArchitectureError, "0 to 15624"),
        ("nasbench201/conv", ArchitectureError, "conv"),
        *(
            (path, PluginError, f"'{path}' has the path of a file: write {said}, in the folder")
            for path, said in (
                ("mine.py:net", "mine:net"),
                ("./mine.py:net", "mine:net"),
                ("zoo/nets:make", "zoo.nets:make"),
                ("../zoo/nets.py:make", "nets:make"),
                ("/home/me/nets.py:make", "nets:make"),
            )
        ),
    ],
)
def test_a_name_that_does_not_exist_is_one_line(spelling, error, message):
    with pytest.raises(error, match=message) as caught:
        candidates_of([spelling])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("package", ["timm", "torchvision"])
def test_a_package_that_is_not_installed_is_named(package, monkeypatch):
    def absent(_module):
        raise ModuleNotFoundError(f"No module named {package!r}", name=package)

    monkeypatch.setattr(candidates, "import_module", absent)
    message = f"^{package}:resnet18 needs {package}, which is not installed: pip install {package}$"
    with pytest.raises(ParameterError, match=message):
        candidates_of([f"{package}:resnet18"])


def test_a_package_that_can_not_be_imported_is_named(tmp_path, monkeypatch):
    (tmp_path / "timm.py").write_text("import not_here_either\n")
    monkeypatch.delitem(sys.modules, "timm", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ParameterError, match="can't be had: ModuleNotFoundError: No module named"):
        candidates_of(["timm:resnet18"])
    (tmp_path / "timm.py").write_text("raise RuntimeError('no operators')\n")
    message = "timm can't be imported: RuntimeError: no operators$"
    with pytest.raises(ParameterError, match=message):
        candidates_of(["timm:resnet18"])


@pytest.fixture
def stand_ins(monkeypatch):
    """Packages of that name that make a linear layer of the arguments that they are given."""

    def build(*, weights="downloaded", num_classes=1000):
        assert weights is None
        return nn.Linear(1, num_classes)

    def detector(*, weights="downloaded", weights_backbone="downloaded"):
        assert (weights, weights_backbone) == (None, None)
        return nn.Linear(1, 5)

    models = ModuleType("torchvision.models")
    builders = {"resnet18": build, "detector": detector}
    models.list_models = lambda: sorted(builders)
    models.get_model_builder = builders.__getitem__
    timm = SimpleNamespace(
        is_model=lambda name: name == "vit_tiny",
        list_models=lambda: ["vit_tiny", "vit_small"],
        create_model=lambda _name, num_classes=1000: nn.Linear(1, num_classes),
    )
    monkeypatch.setitem(sys.modules, "torchvision", ModuleType("torchvision"))
    monkeypatch.setitem(sys.modules, "torchvision.models", models)
    monkeypatch.setitem(sys.modules, "timm", timm)


@pytest.mark.usefixtures("stand_ins")
def test_networks_have_the_classes_that_are_asked_for_and_no_downloaded_weights():
    spellings = ["torchvision:resnet18", "timm:vit_tiny"]
    for classes, outputs in ((None, 1000), (7, 7)):
        for one in candidates_of(spellings, classes):
            assert one.target().out_features == outputs
    assert candidates_of(["torchvision:detector"])[0].target().out_features == 5


@pytest.mark.usefixtures("stand_ins")
@pytest.mark.parametrize(
    ("spelling", "message"),
    [
        ("timm:vit_tny", r"^timm has no network 'vit_tny': did you mean vit_tiny.*\? timm\.list"),
        ("torchvision:resnet", r"did you mean resnet18\? torchvision\.models\.list_models\(\) l"),
        ("timm:", r"^timm has no network '': timm\.list_models\(\) lists them$"),
    ],
)
def test_a_network_that_a_package_does_not_have(spelling, message):
    with pytest.raises(UnknownNameError, match=message):
        candidates_of([spelling])


@pytest.mark.parametrize(
    ("package", "chosen"),
    [
        ("timm", ["resnet10t", "mobilenetv3_small_050", "test_vit"]),
        ("torchvision", ["squeezenet1_1", "shufflenet_v2_x0_5", "mobilenet_v3_small"]),
    ],
)
def test_real_networks(package, chosen):
    if find_spec(package) is None:
        pytest.skip(f"needs {package}, which is not installed")
    given = {"images": "noise", "batch_size": 4, "seeds": 1, "device": "cpu", "classes": 10}
    side = 160 if "test_vit" in chosen else 64
    spelled = [f"{package}:{name}" for name in chosen]
    table = rank(spelled, ["parameters", "grad_norm"], (3, side, side), **given)
    assert table["status"].eq("ok").all(), table["reason"].tolist()
