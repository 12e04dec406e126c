"""One architecture or one network, from a notebook: `from untrained import score`."""

import copy
import warnings
from dataclasses import replace
from pathlib import Path

from torch import nn

from untrained.files import IMAGES
from untrained.images.minibatches import Minibatch
from untrained.networks.modes import modes_restored
from untrained.proxies import Proxy, get_proxy, setting_of
from untrained.scoring.devices import check_device
from untrained.scoring.engine import MinibatchSettings, Score, score_architectures, score_network
from untrained.scoring.execution import Execution
from untrained.scoring.training import TrainingImages
from untrained.spaces import get_space

__all__ = ["Score", "score", "score_module"]


def score(
    target: str | nn.Module,
    architecture: int | str | None = None,
    *,
    proxy: str | Proxy = "naswot",
    variant: str | None = None,
    dataset: str = "cifar10",
    split: str = "sample",
    seed: int = 0,
    batch_size: int = 128,
    augmentation: str = "none",
    sampling: str = "uniform",
    device: str = "cpu",
    engine: str = "auto",
    precision: str = "auto",
    root: Path = IMAGES,
) -> Score:
    """Score an architecture of a space, or a network of your own.

    >>> from untrained import score
    >>> score("nasbench201", 1462, proxy="naswot", batch_size=8).status
    'ok'

    Args:
        target: name of a space, or a module that takes (N, C, H, W) images of the data set. A
            module is scored with the weights it has, and left as it was.
        architecture: index or spelling in the space.
        proxy: name, `name-variant` or `name@epochs`, or a `Proxy`.
        variant: of the proxy; its default otherwise.
        dataset: whose images are shown.
        split: `sample` (bundled), or a split of the official files.
        seed: of minibatch and weights.
        batch_size: images in the minibatch.
        augmentation: `none` or `crop-flip`.
        sampling: `uniform`, or `balanced`: as many images of each class as can be.
        device: in PyTorch's notation.
        engine: `auto`, `plain` or `fast`; see `untrained.scoring.execution`.
        precision: `auto`, `float32` or `bfloat16`.
        root: folder of the official files.

    Raises:
        UntrainedError: a name, an architecture or a setting that does not exist.
    """
    chosen = get_proxy(proxy, variant) if isinstance(proxy, str) else proxy
    if setting_of(chosen).shows_test:
        warnings.warn(f"{chosen.name} reads the labels of test images", stacklevel=2)
    settings = MinibatchSettings(dataset, split, batch_size, augmentation, sampling, root)
    execution = Execution(check_device(device), engine, precision)
    if isinstance(target, nn.Module):
        setting = setting_of(chosen)
        training = (
            settings.training_images(seed, whole=setting.test_after_training)
            if setting.epochs
            else None
        )
        batch = settings.sized_for(chosen).draw(seed, execution.device)
        return score_module(target, chosen, batch, execution, seed, training)
    space = get_space(target)
    if architecture is None:
        raise TypeError(f"which architecture of {target}? Give its index or spelling")
    index = space.parse(architecture).index
    return next(score_architectures(space, [index], chosen, settings, seed, execution))


def score_module(
    network: nn.Module,
    proxy: Proxy,
    batch: Minibatch,
    execution: Execution,
    seed: int,
    training: TrainingImages | None = None,
) -> Score:
    """Score a network with the weights it has, or a copy trained from there; it is left as it was.

    A plan is run only where `execution` asks for it: it takes normalisations of zeros to be zero,
    which holds for fresh weights and need not hold for these.
    """
    if execution.engine == "auto":
        execution = replace(execution, engine="plain")
    home = next((parameter.device for parameter in network.parameters()), None)
    try:
        with modes_restored(network):
            scored = copy.deepcopy(network) if training is not None else network
            return score_network(
                lambda _classes: scored, proxy, batch, execution, seed, training=training
            )
    finally:
        if home is not None:
            network.to(home)
