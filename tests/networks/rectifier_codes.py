"""Helpers that compare what rectifiers read: by hooks on a module, and by its plan."""

import torch
from torch import nn

from untrained.proxies.agreements import bits_of
from untrained.proxies.rectifiers import RectifierMode, rectifier_modules, rectifiers_on_path


def shaken(network, seed, *, shifts=True):
    """Return the network in double precision, with normalisations that are not neutral."""
    torch.manual_seed(seed)
    network = network.double()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1, 0.3)
            if shifts:
                nn.init.normal_(module.bias, 0, 0.3)
    return network


def codes_of_module(network, images, dead_branches):
    """Return codes (N, f) of every rectifier that counts, in order."""
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
    """Return the plan's codes, each repeated as its attribute `count` of the reading says."""
    count = count or ("modules" if dead_branches else "rectifiers")
    with torch.no_grad():
        readings = network.rectifier_inputs(images, dead_branches=dead_branches, **settings)
        return [one.codes for one in readings for _ in range(getattr(one, count))]


def fingerprints(codes):
    """Return numbers that distinguish codes, in ascending order."""
    weights = torch.arange(1, 1 + max((x.numel() for x in codes), default=0)).double().sin()
    return sorted(float((x.flatten() * weights[: x.numel()]).sum()) for x in codes)


def module_reads(network, images, dead_branches):
    """Return fingerprints of what the module's rectifiers read, one for each rectifier."""
    return fingerprints(codes_of_module(network, images, dead_branches))


def plan_reads(network, images, dead_branches, **settings):
    """Return fingerprints of what the rectifiers read by the network's plan."""
    return fingerprints(codes_of_plan(network, images, dead_branches, **settings))
