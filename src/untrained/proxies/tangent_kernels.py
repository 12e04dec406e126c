"""The neural tangent kernel of a network on a minibatch.

Theta[i, j] = <g_i, g_j>, where g_i is the gradient of the sum of image i's logits by the chosen
parameters (Jacot et al. 2018; the sum over logits is that of TE-NAS, Chen et al., ICLR 2021). Where
batch statistics couple the images, g_i depends on the whole minibatch, and there is one backward
pass per image. Otherwise one pass serves all images.
"""

from collections.abc import Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from untrained.errors import ParameterError
from untrained.networks.batched_gradients import Networks
from untrained.networks.modes import buffers_restored
from untrained.proxies.autograd import refuse_reentrant
from untrained.proxies.base import UndefinedScore
from untrained.proxies.interleaved_backward import Recording
from untrained.proxies.selections import ParameterSelection
from untrained.seeds import generators_restored
from untrained.training.logits import logits_among

#: Numbers of each gradient that are converted to float64 at a time.
_PIECE = 2**20

#: Images whose gradients one backward pass on a GPU gives; each takes the memory of a pass.
_TOGETHER = 16


def tangent_kernel(
    network: nn.Module, images: Tensor, selection: ParameterSelection | None = None
) -> Tensor:
    """Return Theta of a network in the modes that its modules are in; it does not change.

    Args:
        network: maps images to logits (n, classes).
        images: (n, C, H, W), 2 or more.
        selection: parameters that gradients are taken by; the weights by default.

    Returns:
        Theta (n, n) in float64; the gradients have the type of the parameters.

    Raises:
        UndefinedScore: `no_parameters`, or `not_applicable` for an output that is no tensor of
            logits, or for a network without a layer to leave out.
        ParameterError: fewer than 2 images.
    """
    _check_images(images)
    parameters = (selection or ParameterSelection()).of(network, images[:2])
    # before the network is copied or run: in inference mode or no_grad there are no gradients
    with torch.inference_mode(mode=False), torch.enable_grad(), buffers_restored(network):
        images = images.clone() if images.is_inference() else images
        # in training mode a module may depend on the whole batch or change with it
        training = any(module.training for module in network.modules())
        if training or _coupled(network, images[:2]):
            return _gram(_rows_of_backward_passes(network, images, parameters))
        return _gram(_rows_of_single_images(network, images, parameters))


def tangent_kernels_of_many(
    networks: Networks,
    images: Tensor,
    selection: ParameterSelection | None = None,
    *,
    training: bool = True,
) -> Tensor:
    """Return Theta of many networks, by one backward pass of all of them for some images.

    Args:
        networks: the networks.
        images: (n, C, H, W), 2 or more.
        selection: parameters that gradients are taken by; the weights by default.
        training: whether normalisations use the statistics of the images.

    Returns:
        (networks, n, n) in float64.

    Raises:
        ParameterError: fewer than 2 images.
    """
    _check_images(images)
    chosen = selection or ParameterSelection()
    with torch.inference_mode(mode=False), torch.enable_grad():
        parameters = networks.parameters(images.dtype)
        logits = networks.logits(parameters, images.clone(), "batch" if training else "initial")
        mine = [one for one in parameters if chosen.takes(one.kind, classifier=one.classifier)]
        # each parameter is of one network, so the others of the sum do not change its gradient
        rows = _rows_of_outputs(logits.sum((0, 2)), [one.values for one in mine])
    size = len(images)
    kernels = torch.zeros(networks.count, size, size, dtype=torch.float64, device=images.device)
    for one in mine:
        row = rows.pop(0).flatten(2).transpose(0, 1)  # (slots, n, numbers)
        for piece in torch.split(row, max(1, _PIECE // len(row)), 2):
            wide = piece.double()
            kernels.index_add_(0, networks.at(one.owners), wide @ wide.mT)
    return kernels.cpu()


def _check_images(images: Tensor) -> None:
    if len(images) < 2:
        raise ParameterError(f"{len(images)} image: a tangent kernel needs 2 or more")


def _gram(rows: list[Tensor]) -> Tensor:
    """Return the sum of the Gram matrices of gradients (n, ...), as (n, n) float64.

    The list is emptied, and large gradients are converted in pieces, so that all of them are never
    held twice.
    """
    kernel = torch.zeros(len(rows[0]), len(rows[0]), dtype=torch.float64, device=rows[0].device)
    while rows:
        for piece in torch.split(rows.pop(0).detach().flatten(1), _PIECE, 1):
            wide = piece.double()  # float32 would lose the smallest eigenvalue first
            kernel += wide @ wide.T
    return kernel.cpu()


def _sums_of_logits(network: nn.Module, images: Tensor) -> Tensor:
    """Return the sum of each image's logits, (n,), with the graph of its gradient."""
    logits = logits_among(network(images.clone()))  # which it may overwrite
    if not isinstance(logits, Tensor) or logits.ndim < 2 or len(logits) != len(images):
        shape = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise UndefinedScore(
            "not_applicable",
            f"{type(network).__name__} returned {shape}: a tangent kernel needs one tensor of "
            f"logits, ({len(images)}, classes)",
        )
    refuse_reentrant(logits)
    return logits.flatten(1).sum(1)


def _coupled(network: nn.Module, pair: Tensor) -> bool:
    """Whether the output for one of two images depends on the other image."""
    shown = pair.detach().clone().requires_grad_()
    with generators_restored():
        # a product, since a network that rectifies its input in place can't take a leaf
        first = _sums_of_logits(network, shown * 1)[0]
    if not first.requires_grad:
        return False
    (gradient,) = torch.autograd.grad(first, shown, materialize_grads=True)
    # NaN counts as coupled, since a pass per image is right for every network
    return not bool((gradient[1] == 0).all())


def _rows_of_backward_passes(
    network: nn.Module, images: Tensor, parameters: Mapping[str, nn.Parameter]
) -> list[Tensor]:
    """Return gradients (n, ...) by each parameter, by one backward pass per image."""
    chosen = list(parameters.values())
    state = torch.get_rng_state()
    found = None if images.is_cuda else _by_loops(network, images, chosen)
    if found is not None:
        return found
    torch.set_rng_state(state)
    outputs = _sums_of_logits(network, images)
    if not outputs.requires_grad:  # they depend on no parameter
        return [torch.zeros(len(images), 1)]
    return _rows_of_outputs(outputs, chosen)


def _rows_of_outputs(outputs: Tensor, parameters: Sequence[Tensor]) -> list[Tensor]:
    """Return the gradients (n, ...) of outputs (n,) by each parameter."""
    if outputs.is_cuda and (together := _rows_together(outputs, parameters)) is not None:
        return together
    rows = [one.new_empty((len(outputs), *one.shape)) for one in parameters]
    for number, output in enumerate(outputs):
        pieces = torch.autograd.grad(output, parameters, retain_graph=True, materialize_grads=True)
        for row, gradient in zip(rows, pieces, strict=True):
            row[number] = gradient
    return rows


def _rows_together(outputs: Tensor, parameters: Sequence[Tensor]) -> list[Tensor] | None:
    """Return the gradients of `_TOGETHER` images by each backward pass, for fewer launches.

    It returns None for a network whose operations can't, and where memory runs out.
    """
    directions = torch.eye(len(outputs), dtype=outputs.dtype, device=outputs.device)
    try:
        pieces = [
            torch.autograd.grad(
                *(outputs, parameters, some),
                retain_graph=True,
                is_grads_batched=True,
                allow_unused=True,
            )
            for some in directions.split(_TOGETHER)  # type: ignore[no-untyped-call]
        ]
    except RuntimeError:
        return None
    # what no output depends on has no gradient, and PyTorch's zeros would have no row per image
    return [
        one.new_zeros((len(outputs), *one.shape)) if same[0] is None else torch.cat(same)
        for one, same in zip(parameters, zip(*pieces, strict=True), strict=True)
    ]


def _by_loops(
    network: nn.Module, images: Tensor, parameters: list[nn.Parameter]
) -> list[Tensor] | None:
    """Return the gradients by our loops; None for a network that they don't support."""
    recording = Recording()
    try:
        with recording:
            outputs = _sums_of_logits(network, images)
    except RuntimeError:  # it overwrites an activation
        return None
    return recording.gradients(outputs, parameters)


def _rows_of_single_images(
    network: nn.Module, images: Tensor, parameters: Mapping[str, nn.Parameter]
) -> list[Tensor]:
    """Return the same gradients for networks that treat images one by one, in one pass."""

    def one(chosen: dict[str, Tensor], image: Tensor) -> Tensor:
        outputs = functional_call(network, (others, chosen), (image[None],))
        return cast("Tensor", logits_among(outputs)).sum()

    values = {name: parameter.detach() for name, parameter in parameters.items()}
    others = {
        name: parameter.detach()
        for name, parameter in network.named_parameters()
        if name not in parameters
    }
    state = torch.get_rng_state()
    try:
        found = vmap(grad(one), (None, 0), randomness="different")(values, images.clone())
    except RuntimeError:
        # vmap can't run some networks, such as those that branch on their data or checkpoint
        # activations: a pass per image gives the same, or the error that is the network's own
        torch.set_rng_state(state)
        return _rows_of_backward_passes(network, images, parameters)
    return list(found.values())
