"""What rectifiers read, under hooks on a module and by its plan, to hold one against the other."""

import torch
from torch import nn

from untrained.proxies.agreements import bits_of
from untrained.proxies.rectifiers import RectifierMode, rectifier_modules, rectifiers_on_path


def shaken(network, seed, *, shifts=True):
    """In double precision, with normalisations that are not neutral."""
    torch.manual_seed(seed)
    network = network.double()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1, 0.3)
            if shifts:
                nn.init.normal_(module.bias, 0, 0.3)
    return network


def codes_of_module(network, images, dead_branches):
    """Codes (N, f) of every rectifier that counts, in order."""
    seen = []
    with torch.no_grad():
        if dead_branches:
            with rectifier_modules(network, lambda x: seen.append(bits_of(x.clone()))):
                network(images)
            return seen
        wanted = rectifiers_on_path(network, images[:2])
        with RectifierMode(lambda x: seen.append(bits_of(x.clone()))):
            network(images)
    return [codes for codes, counts in zip(seen, wanted, strict=True) if counts]


def codes_of_plan(network, images, dead_branches, count=None, **settings):
    """The same by the plan: those of each reading as often as `count`, an attribute of it, says."""
    count = count or ("modules" if dead_branches else "rectifiers")
    with torch.no_grad():
        readings = network.rectifier_inputs(images, dead_branches=dead_branches, **settings)
        return [one.codes for one in readings for _ in range(getattr(one, count))]


def fingerprints(codes):
    """Numbers that tell one code from another, in order of size."""
    weights = torch.arange(1, 1 + max((x.numel() for x in codes), default=0)).double().sin()
    return sorted(float((x.flatten() * weights[: x.numel()]).sum()) for x in codes)


def module_reads(network, images, dead_branches):
    """Fingerprints of what the rectifiers of the module read, as often as they do."""
    return fingerprints(codes_of_module(network, images, dead_branches))


def plan_reads(network, images, dead_branches, **settings):
    """The same by its plan."""
    return fingerprints(codes_of_plan(network, images, dead_branches, **settings))
