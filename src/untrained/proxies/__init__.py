"""Numbers computed from an untrained network: one file per proxy, found by name.

How many images a proxy sees, and after how many epochs of training, belongs to the request:
see `untrained.scoring.request`.
"""

from untrained.errors import ParameterError, unknown_name
from untrained.plugins import Registry, blamed
from untrained.proxies.base import Proxy, Setting, UndefinedScore, setting_of
from untrained.proxies.ensembles import ENSEMBLES

PROXIES: Registry[type[Proxy]] = Registry(
    "proxy",
    "untrained.proxies",
    {
        "az_expressivity": "untrained.proxies.az_nas:AzExpressivity",
        "az_progressivity": "untrained.proxies.az_nas:AzProgressivity",
        "az_trainability": "untrained.proxies.az_nas:AzTrainability",
        "epe_nas": "untrained.proxies.epe_nas:EpeNas",
        "fisher": "untrained.proxies.fisher:Fisher",
        "flops": "untrained.proxies.costs:Flops",
        "grad_norm": "untrained.proxies.grad_norm:GradNorm",
        "grasp": "untrained.proxies.grasp:Grasp",
        "jacobian_covariance": "untrained.proxies.jacobian_covariance:JacobianCovariance",
        "kernel_target_alignment": "untrained.proxies.ntk:KernelTargetAlignment",
        "l2_norm": "untrained.proxies.l2_norm:L2Norm",
        "lga": "untrained.proxies.ntk:LabelGradientAlignment",
        "linear_regions": "untrained.proxies.linear_regions:LinearRegions",
        "meco": "untrained.proxies.meco:Meco",
        "memory": "untrained.proxies.costs:Memory",
        "naswot": "untrained.proxies.naswot:Naswot",
        "ntk_condition_number": "untrained.proxies.ntk:NtkConditionNumber",
        "ntk_frobenius_norm": "untrained.proxies.ntk:NtkFrobeniusNorm",
        "ntk_mean": "untrained.proxies.ntk:NtkMean",
        "ntk_min_eigenvalue": "untrained.proxies.ntk:NtkMinEigenvalue",
        "ntk_trace": "untrained.proxies.ntk:NtkTrace",
        "parameters": "untrained.proxies.costs:Parameters",
        "plain": "untrained.proxies.plain:Plain",
        "snip": "untrained.proxies.snip:Snip",
        "swap": "untrained.proxies.swap:Swap",
        "synflow": "untrained.proxies.synflow:Synflow",
        "validation_accuracy": "untrained.proxies.validation:ValidationAccuracy",
        "validation_loss": "untrained.proxies.validation:ValidationLoss",
        "zen": "untrained.proxies.zen:Zen",
        "zico": "untrained.proxies.zico:Zico",
    },
    (
        *("name", "variants", "direction", "needs", "summary", "label", "unit", "cost"),
        *("applies_to", "published", "source"),
    ),
    like=Proxy,
    reserved=tuple(ENSEMBLES),
)


def get_proxy(name: str, variant: str | None = None) -> Proxy:
    """Return the proxy called `name`, or spelled `name-variant`.

    Args:
        name: for example `naswot` or `naswot-released`, or the address of a class.
        variant: the variant, where the spelling has none; by default the proxy's first.

    Raises:
        UnknownNameError: no such proxy, or the proxy has no such variant.
        ParameterError: the spelling has another variant.
    """
    name, _, spelled = name.partition("-")
    proxy_type = PROXIES.load(name)
    if variant and spelled and variant != spelled:
        raise ParameterError(f"variant {variant} of {name}-{spelled}: keep one of the two")
    with blamed("proxy", proxy_type):
        chosen = variant or spelled or proxy_type.variants[0]
        if chosen not in proxy_type.variants:
            raise unknown_name(f"variant of {name}", chosen, proxy_type.variants)
        return proxy_type(variant=chosen)


__all__ = ["ENSEMBLES", "PROXIES", "Proxy", "Setting", "UndefinedScore", "get_proxy", "setting_of"]
