"""k-diffusion: its deterministic samplers on its noise-level grids, in its coordinates x / alpha.

Only `sampling` and `external` are imported: the package's own `__init__` pulls in training code
with heavy requirements.
"""

import importlib.metadata
import importlib.util
import sys
import types
from itertools import product

import torch
from torch import Tensor

from field.problem import TABLE, Problem, Sampler, f64


def _load() -> tuple[types.ModuleType, types.ModuleType]:
    package = types.ModuleType("k_diffusion")
    package.__path__ = list(importlib.util.find_spec("k_diffusion").submodule_search_locations)
    sys.modules["k_diffusion"] = package
    stubs = {}
    if importlib.util.find_spec("torchvision") is None:  # its utils convert pictures with it
        names = ("torchvision", "torchvision.transforms", "torchvision.transforms.functional")
        stubs = {name: types.ModuleType(name) for name in names}
        stubs[names[1]].functional = stubs[names[2]]
    sys.modules.update(stubs)
    modules = [importlib.import_module(f"k_diffusion.{name}") for name in ("sampling", "external")]
    for name in stubs:
        del sys.modules[name]
    return modules[0], modules[1]


K, external = _load()
VERSION = importlib.metadata.version("k-diffusion")
_SIGMAS = ((1 - TABLE.alpha_bar) / TABLE.alpha_bar).sqrt()
_LOW = float(_SIGMAS[0])
_QUIET = {"disable": True}


def _still(a: Tensor, b: Tensor) -> float:
    return 0.0


def _grids() -> dict[str, object]:
    """Grids by their settings; the first is the default (Karras levels over the model's range)."""
    grids = {}
    for rho, low, high in product((7.0, 3.0, 5.0, 10.0), (_LOW, 0.002, 0.03, 0.1), (None, 80.0)):
        text = f"karras(rho={rho:g}, sigma_min={low:.3g}" + (", sigma_max=80)" if high else ")")
        grids[text] = lambda n, p, a=(low, high, rho): K.get_sigmas_karras(
            n, a[0], a[1] or p.top, a[2]
        )
    for rho, low in product((1.0, 0.5, 0.7, 1.5, 2.0), (_LOW, 0.002, 0.03, 0.1)):
        name = "exponential" if rho == 1 else f"polyexponential(rho={rho:g})"
        grids[f"{name}, sigma_min={low:.3g}"] = lambda n, p, a=(low, rho): (
            K.get_sigmas_polyexponential(n, a[0], p.top, a[1])
        )
    for end in (1e-3, 1e-2):
        grids[f"vp(eps_s={end:g})"] = lambda n, p, e=end: K.get_sigmas_vp(n, eps_s=e)
    grids["discrete"] = lambda n, p: external.DiscreteSchedule(_SIGMAS.float(), True).get_sigmas(n)
    return grids


def _methods() -> dict[tuple[str, str], object]:
    """Methods on a list of noise levels, by name and settings."""
    still = {"eta": 0.0, "noise_sampler": _still}
    return {
        ("sample_dpmpp_2m", ""): {},
        ("sample_euler", ""): {},
        ("sample_heun", ""): {},
        ("sample_dpm_2", ""): {},
        ("sample_lms", ""): {},
        ("sample_lms", "order=3"): {"order": 3},
        ("sample_lms", "order=2"): {"order": 2},
        ("sample_dpmpp_2s_ancestral", "eta=0"): still,
        ("sample_dpmpp_sde", "eta=0"): still,
        ("sample_dpmpp_2m_sde", "eta=0, midpoint"): still,
        ("sample_dpmpp_2m_sde", "eta=0, heun"): {**still, "solver_type": "heun"},
        ("sample_dpmpp_3m_sde", "eta=0"): still,
    }


def samplers() -> list[Sampler]:
    found = []
    for (i, (grid, levels)), ((method, options), kwargs) in product(
        enumerate(_grids().items()), _methods().items()
    ):

        def run(problem: Problem, n: int, levels=levels, method=method, kwargs=kwargs) -> Tensor:
            sigmas = levels(n, problem).to(f64)
            x = sigmas[0] * problem.z
            return getattr(K, method)(_model(problem), x, sigmas, **_QUIET, **kwargs)

        mark = "library" if method == "sample_dpmpp_2m" else "class" if not options else ""
        settings = ", ".join(filter(None, (options, grid)))
        found.append(Sampler("k-diffusion", method, settings, run, mark if i == 0 else ""))

    for low in (_LOW, 0.002, 0.03, 0.1):

        def fast(problem: Problem, n: int, low=low) -> Tensor:
            x = problem.top * problem.z
            return K.sample_dpm_fast(_model(problem), x, low, problem.top, n, **_QUIET)

        def adaptive(problem: Problem, n: int, low=low) -> Tensor:
            best = None
            for rtol in 0.8 * 0.7 ** torch.arange(40.0, dtype=f64):
                problem.calls = 0
                x = K.sample_dpm_adaptive(
                    _model(problem), problem.top * problem.z, low, problem.top,
                    rtol=float(rtol), atol=float(rtol) * 0.0078 / 0.05, **_QUIET,
                )  # fmt: skip
                if problem.calls > n:
                    break
                best, calls = x, problem.calls
            if best is None:
                raise ValueError("needs more evaluations even at our loosest tolerance")
            problem.calls = calls
            return best

        mark = "class" if low == _LOW else ""
        found.append(Sampler("k-diffusion", "sample_dpm_fast", f"sigma_min={low:.3g}", fast, mark))
        found.append(
            Sampler(
                "k-diffusion", "sample_dpm_adaptive", f"sigma_min={low:.3g}", adaptive, "", True
            )
        )
    return found


def _model(problem: Problem):
    def denoise(x: Tensor, sigma: Tensor) -> Tensor:
        return problem.predict(x, 1.0, sigma[0])[0].to(x)

    return denoise
