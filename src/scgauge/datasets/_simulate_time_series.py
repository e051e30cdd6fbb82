from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse
from scipy.special import softmax

from scgauge._core import keys
from scgauge._core.rng import RNG, generator
from scgauge.datasets import _planted_dynamics as planted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scgauge._core.arguments import InfiniteFloat
    from scgauge.datasets._planted_dynamics import Design

#: Standard deviation over cells of the logarithm of the expression of a gene.
_LOG_SPREAD = 0.8


def simulate_time_series(  # noqa: PLR0913 - ten without `rng`
    n_obs: int = 600,
    n_vars: int = 100,
    *,
    design: Design = "linear-2",
    n_groups: int = 2,
    times: Sequence[float] = (0.0, 1.0, 2.0, 3.0, 4.0, 5.0),
    separation: float = 2.0,
    spread: float = 0.3,
    growth_rates: Sequence[float] | None = None,
    library_size: float = 1000.0,
    dispersion: InfiniteFloat = 5.0,
    rng: RNG = None,
) -> AnnData:
    r"""Simulate snapshots of cells, each measured once, that follow known dynamics in groups.

    The state of group :math:`k` moves by a known system of differential equations in two dimensions, solved by scipy. A
    cell :math:`n` of the group, taken at time :math:`t_n`, lies around it, and its counts follow a linear model:

    .. math::

        z_n &\sim \mathcal{N}(u_{k(n)}(t_n), \sigma^2 I), \qquad
        \rho_n = \operatorname{softmax}(b + W \tilde z_n), \\
        \log \ell_n &\sim \mathcal{N}(\log \bar\ell - 0.3^2 / 2,\, 0.3^2), \qquad
        x_{ng} \sim \operatorname{NB}(\ell_n \rho_{ng}, \theta_g)

    with :math:`\tilde z` the latent points divided by their root mean square around the mean of all cells.

    Parameters
    ----------
    n_obs
        Number of cells, divided evenly among times and, unless they grow, groups.
    n_vars
        Number of genes.
    design
        Systems of the groups: ``"linear-2"`` (diagonal matrices), ``"linear-4"`` (full ones) or ``"lotka-volterra"``,
        as in :func:`simulate_longitudinal`.
    n_groups
        Number of groups, at most four.
    times
        Times of the snapshots, from 0 on.
    separation
        Distance between the starts of the groups; 0 lets them branch from one state.
    spread
        Standard deviation :math:`\sigma` of cells around the state of their group.
    growth_rates
        Net growth rate of each group, per unit of time: at time :math:`t` its share of the cells is proportional to
        :math:`\exp(r_k t)`. ``None``: no group grows more than others.
    library_size
        Mean library size.
    dispersion
        Mean inverse dispersion of genes (gamma distributed with shape 5).
    rng
        Seed or generator.

    Returns
    -------
    Cells with

    ``adata.X`` : :class:`scipy.sparse.csr_matrix` (dtype ``float32``)
        Counts, ``(n_obs, n_vars)``.
    ``adata.obs``
        ``"time"``; ``"group"``, a category; ``"library_size"``, the true :math:`\ell_n`; with `growth_rates`
        ``"growth_rate"``.
    ``adata.obsm['latent']`` : :class:`numpy.ndarray`
        :math:`z_n`, ``(n_obs, 2)``.
    ``adata.varm['loadings']`` : :class:`numpy.ndarray`
        :math:`W`, ``(n_vars, 2)``.
    ``adata.uns['scgauge_truth']`` : :class:`dict`
        ``"params"``, the arguments; ``"parameters"``, the table of the systems (``group`` and their entries);
        ``"trajectories"``, the table ``group``, ``time``, ``u1``, ``u2`` at 101 times.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Examples
    --------
    >>> import scgauge
    >>> adata = scgauge.datasets.simulate_time_series(120, 30, rng=0)
    >>> adata.obs.groupby(["time", "group"], observed=True).size().unique()
    array([10])
    """
    params: dict[str, Any] = {
        "n_obs": n_obs, "n_vars": n_vars, "design": design, "n_groups": n_groups, "times": [float(t) for t in times],
        "separation": separation, "spread": spread, "library_size": library_size, "dispersion": dispersion,
    }  # fmt: skip
    if growth_rates is not None:
        params["growth_rates"] = [float(rate) for rate in growth_rates]
    table = planted.parameters(design, n_groups)
    grid_times = _check(params)
    gene_rng, cell_rng, rate_rng, count_rng = generator(rng).spawn(4)
    starts = _starts(design, n_groups, separation)
    group, time_index = _divide(n_obs, n_groups, grid_times, growth_rates)
    systems = zip(table.iloc[:, 1:].to_numpy(float), starts, strict=True)
    states = np.stack([planted.trajectory(design, row, start, grid_times) for row, start in systems])
    z = states[group, time_index] + cell_rng.normal(0, spread, (n_obs, 2))
    weights = gene_rng.normal(size=(n_vars, 2))
    base = gene_rng.normal(0, 1, n_vars)
    theta = gene_rng.gamma(5, dispersion / 5, n_vars)
    library = library_size * np.exp(cell_rng.normal(-0.045, 0.3, n_obs))
    mean = library[:, None] * _shares(z, base, weights)
    counts = count_rng.poisson(mean / theta * rate_rng.standard_gamma(np.broadcast_to(theta, mean.shape)))
    order = np.lexsort((group, time_index))
    obs = pd.DataFrame(
        {
            "time": grid_times[time_index][order],
            "group": pd.Categorical.from_codes(group[order], [f"group_{k}" for k in range(n_groups)]),
            "library_size": library[order],
        },
        index=[f"cell_{index}" for index in range(n_obs)],
    )
    if growth_rates is not None:
        obs["growth_rate"] = np.asarray(growth_rates, dtype=float)[group[order]]
    truth = {
        "params": params,
        "parameters": table,
        "trajectories": planted.trajectories(table, design, starts, np.linspace(0, grid_times[-1], 101)),
    }
    return AnnData(
        X=sparse.csr_matrix(counts[order].astype(np.float32)),
        obs=obs,
        var=pd.DataFrame({"base": base, "dispersion": theta}, index=[f"gene_{index}" for index in range(n_vars)]),
        obsm={"latent": z[order]},
        varm={"loadings": weights},
        uns={keys.TRUTH: truth},
    )


def _divide(
    n_obs: int, n_groups: int, times: np.ndarray, rates: Sequence[float] | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the group and the number of the time of each cell."""
    if rates is None:
        slot = np.arange(n_obs) % (n_groups * len(times))
        return slot % n_groups, slot // n_groups
    place, time_index = np.divmod(np.arange(n_obs), len(times))
    level = (place + 0.5) / np.bincount(time_index)[time_index]
    share = softmax(np.outer(times, rates), axis=1).cumsum(1)
    return np.minimum((level[:, None] > share[time_index]).sum(1), n_groups - 1), time_index


def _starts(design: str, n_groups: int, separation: float) -> np.ndarray:
    """Return the first state of each group, on a circle around that of the design, ``(n_groups, 2)``."""
    angles = 2 * np.pi * np.arange(n_groups) / max(n_groups, 2) + np.pi / 4
    circle = separation / 2 * np.column_stack([np.cos(angles), np.sin(angles)])
    starts = np.array(planted.START[design]) + circle * (n_groups > 1)
    return np.maximum(starts, 0.2) if design == "lotka-volterra" else starts


def _shares(z: np.ndarray, base: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the share of each gene in each cell, ``(n_obs, n_vars)``."""
    centred = z - z.mean(0)
    centred = centred / max(np.sqrt(np.square(centred).sum(1).mean() / 2), 1e-9)
    log_share = base + _LOG_SPREAD / np.sqrt(2) * centred @ weights.T
    share = np.exp(log_share - log_share.max(1, keepdims=True))
    return share / share.sum(1, keepdims=True)


def _check(params: dict[str, Any]) -> np.ndarray:
    """Raise ValueError if an argument is out of range; return the sorted times."""
    times = np.unique(np.asarray(params["times"], dtype=float))
    if times.ndim != 1 or not len(times) or not np.isfinite(times).all() or times[0] < 0:
        message = f"times={params['times']!r} was given; finite times from 0 on are needed."
        raise ValueError(message)
    least = {"n_obs": params["n_groups"] * len(times), "n_vars": 3}
    for name, lowest in least.items():
        if not isinstance(params[name], int | np.integer) or params[name] < lowest:
            message = f"{name}={params[name]!r} was given; an integer of at least {lowest} is needed."
            raise ValueError(message)
    rates = params.get("growth_rates")
    if rates is not None and (len(rates) != params["n_groups"] or not np.isfinite(rates).all()):
        message = (
            f"growth_rates={rates!r} was given; a finite number for each of {params['n_groups']} groups is needed."
        )
        raise ValueError(message)
    for name in ("library_size", "dispersion"):
        if not params[name] > 0:
            message = f"{name}={params[name]!r} was given; a positive number is needed."
            raise ValueError(message)
    for name in ("separation", "spread"):
        if params[name] < 0:
            message = f"{name}={params[name]!r} was given; it must not be negative."
            raise ValueError(message)
    return times
