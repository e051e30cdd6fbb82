from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from scgauge._core import keys
from scgauge._core.rng import RNG, generator

if TYPE_CHECKING:
    from collections.abc import Sequence


def simulate_splat_paths(
    n_obs: int = 600,
    n_vars: int = 200,
    *,
    path_from: Sequence[int] = (-1, 0, 0),
    n_steps: int = 100,
    n_times: int | None = 5,
    de_prob: float = 0.1,
    de_scale: float = 0.4,
    nonlinear_prob: float = 0.1,
    library_size: float | None = None,
    rng: RNG = None,
) -> AnnData:
    r"""Simulate cells along branching paths by the gamma-Poisson model of Splatter :cite:p:`Zappia17`.

    A gene has the mean :math:`\Gamma(0.6, 0.3)`, with probability 0.05 multiplied by a log-normal outlier factor. The
    end of a path differs from its start in the share `de_prob` of the genes, by log-normal factors that raise or lower;
    between them a gene moves linearly on the log scale, or, with probability `nonlinear_prob`, along a Brownian bridge
    around that line. A cell at a step of a path has a log-normal library, gamma noise by the biological coefficient of
    variation :math:`(0.1 + 1 / \sqrt{\mu}) \sqrt{60 / \chi^2_{60}}`, and Poisson counts. The formulas follow the
    published model; nothing is calibrated to a data set.

    Parameters
    ----------
    n_obs
        Number of cells, each at a random step of a random path.
    n_vars
        Number of genes.
    path_from
        For each path the path at whose end it starts, -1 for the origin; earlier paths only. The default is a stem
        with two branches.
    n_steps
        Steps of a path.
    n_times
        Number of snapshots: ``obs["time"]`` is the pseudotime at the middle of one of as many equal intervals. ``None``
        keeps the pseudotime itself.
    de_prob
        Probability that a gene differs between the ends of a path.
    de_scale
        Standard deviation of the log factor of such a gene.
    nonlinear_prob
        Probability that a gene takes a bent way.
    library_size
        Median library size; :math:`e^{11}` (Splatter's default) if ``None``.
    rng
        Seed or generator.

    Returns
    -------
    Cells with

    ``adata.X`` : :class:`scipy.sparse.csr_matrix` (dtype ``float32``)
        Counts, ``(n_obs, n_vars)``.
    ``adata.obs``
        ``"time"``; ``"pseudotime"``, steps since the origin in units of a path; ``"path"``, a category; ``"step"``,
        from 0; ``"library_size"``.
    ``adata.var``
        ``"base"``, mean of the gene at the origin; ``"outlier"``, whether it was raised.
    ``adata.uns['scgauge_truth']`` : :class:`dict`
        ``"params"``, the arguments; ``"means"``, an array ``(n_paths, n_steps, n_vars)`` of the expected shares of the
        genes.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Examples
    --------
    >>> import scgauge
    >>> adata = scgauge.datasets.simulate_splat_paths(60, 30, rng=0)
    >>> sorted(adata.obs["path"].unique())
    ['path_0', 'path_1', 'path_2']
    """
    params: dict[str, Any] = {
        "n_obs": n_obs, "n_vars": n_vars, "path_from": [int(p) for p in path_from], "n_steps": n_steps,
        "n_times": n_times, "de_prob": de_prob, "de_scale": de_scale, "nonlinear_prob": nonlinear_prob,
        "library_size": float(np.exp(11)) if library_size is None else library_size,
    }  # fmt: skip
    _check(params)
    gene_rng, cell_rng, rate_rng, count_rng = generator(rng).spawn(4)
    base = gene_rng.gamma(0.6, 1 / 0.3, n_vars)
    outlier = gene_rng.random(n_vars) < 0.05
    base = np.where(outlier, np.median(base) * gene_rng.lognormal(4, 0.5, n_vars), base)
    means, depth = _tree(np.log(base), params, gene_rng)
    path = cell_rng.permutation(np.arange(n_obs) % len(means))
    step = cell_rng.integers(0, n_steps, n_obs)
    pseudotime = depth[path] + (step + 1) / n_steps
    library = params["library_size"] * cell_rng.lognormal(0, 0.2, n_obs)
    mean = means[path, step]
    mean = library[:, None] * mean / mean.sum(1, keepdims=True)
    spread = np.sqrt(60 / rate_rng.chisquare(60, n_vars))
    variation = (0.1 + 1 / np.sqrt(np.maximum(mean, 1e-12))) * spread
    rate = mean * variation**2 * rate_rng.standard_gamma(variation**-2)
    counts = count_rng.poisson(rate)
    time = pseudotime
    if n_times is not None:
        width = (max(depth) + 1) / n_times
        time = (np.minimum(np.ceil(pseudotime / width - 1e-9), n_times) - 0.5) * width
    obs = pd.DataFrame(
        {
            "time": time,
            "pseudotime": pseudotime,
            "path": pd.Categorical.from_codes(path, [f"path_{index}" for index in range(len(means))]),
            "step": step,
            "library_size": library,
        },
        index=[f"cell_{index}" for index in range(n_obs)],
    )
    return AnnData(
        X=sparse.csr_matrix(counts.astype(np.float32)),
        obs=obs,
        var=pd.DataFrame({"base": base, "outlier": outlier}, index=[f"gene_{index}" for index in range(n_vars)]),
        uns={keys.TRUTH: {"params": params, "means": means / means.sum(2, keepdims=True)}},
    )


def _tree(origin: np.ndarray, params: dict[str, Any], rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return the means along all paths, ``(n_paths, n_steps, n_vars)``, and how many paths lie before each."""
    depth: list[int] = []
    logs: list[np.ndarray] = []
    for parent in params["path_from"]:
        depth.append(0 if parent < 0 else depth[parent] + 1)
        logs.append(_path(origin if parent < 0 else logs[parent][-1], params, rng))
    return np.exp(np.stack(logs)), np.array(depth)


def _path(start: np.ndarray, params: dict[str, Any], rng: np.random.Generator) -> np.ndarray:
    """Return the log means of the genes along a path, ``(n_steps, n_vars)``; the last step is its end."""
    n_steps, n_vars = params["n_steps"], len(start)
    differs = rng.random(n_vars) < params["de_prob"]
    factor = np.abs(rng.normal(0.1, params["de_scale"], n_vars)) * rng.choice([-1, 1], n_vars)
    change = np.where(differs, factor, 0.0)
    share = (np.arange(n_steps)[:, None] + 1) / n_steps
    line = start + share * change
    bent = differs & (rng.random(n_vars) < params["nonlinear_prob"])
    walk = np.cumsum(rng.normal(0, 0.8 / np.sqrt(n_steps), (n_steps, n_vars)), axis=0)
    bridge = (walk - share * walk[-1]) * np.abs(change)
    return line + np.where(bent, bridge, 0.0)


def _check(params: dict[str, Any]) -> None:
    paths = params["path_from"]
    if not paths or any(not -1 <= parent < index for index, parent in enumerate(paths)):
        message = f"path_from={paths!r} was given; each path starts at -1, the origin, or at an earlier path."
        raise ValueError(message)
    least = {"n_obs": len(paths), "n_vars": 2, "n_steps": 2, "n_times": 1}
    for name, lowest in least.items():
        if name == "n_times" and params[name] is None:
            continue
        if not isinstance(params[name], int | np.integer) or params[name] < lowest:
            message = f"{name}={params[name]!r} was given; an integer of at least {lowest} is needed."
            raise ValueError(message)
    for name in ("de_prob", "nonlinear_prob"):
        if not 0 <= params[name] <= 1:
            message = f"{name}={params[name]!r} was given; a probability is needed."
            raise ValueError(message)
    for name in ("de_scale", "library_size"):
        if not params[name] > 0:
            message = f"{name}={params[name]!r} was given; a positive number is needed."
            raise ValueError(message)
