"""Numbers read off an untrained network: one file per proxy, found by name.

A proxy is spelled by its name, or as `name-variant` where it has variants: `naswot`,
`naswot-released`.
"""

from untrained.errors import unknown_name
from untrained.proxies.base import Proxy, Setting, UndefinedScore, setting_of
from untrained.registry import Registry

PROXIES: Registry[type[Proxy]] = Registry(
    "proxy",
    {
        "kernel_target_alignment": "untrained.proxies.ntk:KernelTargetAlignment",
        "lga": "untrained.proxies.ntk:LabelGradientAlignment",
        "linear_regions": "untrained.proxies.linear_regions:LinearRegions",
        "naswot": "untrained.proxies.naswot:Naswot",
        "ntk_condition_number": "untrained.proxies.ntk:NtkConditionNumber",
        "ntk_frobenius_norm": "untrained.proxies.ntk:NtkFrobeniusNorm",
        "ntk_mean": "untrained.proxies.ntk:NtkMean",
        "ntk_min_eigenvalue": "untrained.proxies.ntk:NtkMinEigenvalue",
        "ntk_trace": "untrained.proxies.ntk:NtkTrace",
    },
)


def get_proxy(spelling: str, variant: str | None = None) -> Proxy:
    """Return the proxy spelled `name` or `name-variant`.

    Args:
        spelling: for example `naswot` or `naswot-released`.
        variant: overrides the variant in the spelling.

    Raises:
        UnknownNameError: no such proxy, or the proxy has no such variant.
    """
    name, _, spelled = spelling.partition("-")
    proxy_type = PROXIES.load(name)
    chosen = variant or spelled or proxy_type.variants[0]
    if chosen not in proxy_type.variants:
        raise unknown_name(f"variant of {name}", chosen, proxy_type.variants)
    return proxy_type(variant=chosen)


def spelling_of(proxy: Proxy) -> str:
    """The inverse of `get_proxy`: the default variant is left unspoken."""
    default = proxy.variant == proxy.variants[0]
    return proxy.name if default else f"{proxy.name}-{proxy.variant}"


__all__ = [
    "PROXIES",
    "Proxy",
    "Setting",
    "UndefinedScore",
    "get_proxy",
    "setting_of",
    "spelling_of",
]
