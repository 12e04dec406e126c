"""Numbers read off an untrained network: one file per proxy, found by name.

A proxy is spelled by its name, or as `name-variant` where it has variants: `naswot`,
`naswot-released`. `lga:64` is read off 64 images whatever the minibatch has; `lga@1`,
`lga-weights_train:64@0.5` are read after so many epochs of training.
"""

from untrained.errors import unknown_name
from untrained.plugins import Registry
from untrained.proxies.base import Proxy, Setting, UndefinedScore, described, setting_of
from untrained.proxies.trained import (
    parse_epochs,
    parse_images,
    registered,
    spell_epochs,
    with_setting,
)

PROXIES: Registry[type[Proxy]] = Registry(
    "proxy",
    "untrained.proxies",
    {
        "flops": "untrained.proxies.costs:Flops",
        "grad_norm": "untrained.proxies.grad_norm:GradNorm",
        "jacobian_covariance": "untrained.proxies.jacobian_covariance:JacobianCovariance",
        "kernel_target_alignment": "untrained.proxies.ntk:KernelTargetAlignment",
        "lga": "untrained.proxies.ntk:LabelGradientAlignment",
        "linear_regions": "untrained.proxies.linear_regions:LinearRegions",
        "naswot": "untrained.proxies.naswot:Naswot",
        "ntk_condition_number": "untrained.proxies.ntk:NtkConditionNumber",
        "ntk_frobenius_norm": "untrained.proxies.ntk:NtkFrobeniusNorm",
        "ntk_mean": "untrained.proxies.ntk:NtkMean",
        "ntk_min_eigenvalue": "untrained.proxies.ntk:NtkMinEigenvalue",
        "ntk_trace": "untrained.proxies.ntk:NtkTrace",
        "parameters": "untrained.proxies.costs:Parameters",
        "synflow": "untrained.proxies.synflow:Synflow",
        "validation_accuracy": "untrained.proxies.validation:ValidationAccuracy",
        "validation_loss": "untrained.proxies.validation:ValidationLoss",
    },
    (
        *("name", "variants", "direction", "needs", "summary", "label", "unit", "cost"),
        *("applies_to", "published"),
    ),
)


def get_proxy(spelling: str, variant: str | None = None) -> Proxy:
    """Return the proxy spelled `name[-variant][:images][@epochs]`.

    Args:
        spelling: for example `naswot`, `naswot-released` or `lga@1`.
        variant: overrides the variant in the spelling.

    Raises:
        UnknownNameError: no such proxy, or the proxy has no such variant.
        ParameterError: no number of images or epochs, or none that the proxy can be read off.
    """
    head, trained, after = spelling.partition("@")
    head, limited, first = head.partition(":")
    name, _, spelled = head.partition("-")
    proxy_type = PROXIES.load(name)
    chosen = variant or spelled or proxy_type.variants[0]
    if chosen not in proxy_type.variants:
        raise unknown_name(f"variant of {name}", chosen, proxy_type.variants)
    proxy = proxy_type(variant=chosen)
    images = parse_images(first, spelling) if limited else None
    return with_setting(proxy, images, parse_epochs(after, spelling) if trained else 0)


def spelling_of(proxy: Proxy) -> str:
    """The inverse of `get_proxy`: what is so by default is left unspoken."""
    default = proxy.variant == proxy.variants[0]
    head = proxy.name if default else f"{proxy.name}-{proxy.variant}"
    own, chosen = setting_of(registered(proxy)), setting_of(proxy)
    head += f":{chosen.images}" if chosen.images != own.images else ""
    return f"{head}@{spell_epochs(chosen.epochs)}" if chosen.epochs else head


def shows_test(spelling: str) -> bool:
    """Whether a proxy is read on test images and their labels, as released code does."""
    # only after training: others need not be imported to be told
    return "@" in spelling and setting_of(get_proxy(spelling)).shows_test


def name_of(spelling: str) -> str:
    """The registered name in a spelling, known or not."""
    return spelling.partition("@")[0].partition(":")[0].partition("-")[0]


__all__ = [
    "PROXIES",
    "Proxy",
    "Setting",
    "UndefinedScore",
    "described",
    "get_proxy",
    "name_of",
    "setting_of",
    "shows_test",
    "spelling_of",
]
