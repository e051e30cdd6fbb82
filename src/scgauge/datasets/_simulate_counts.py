from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from scgauge._core import keys
from scgauge._core.rng import RNG, generator

if TYPE_CHECKING:
    from scgauge._core.arguments import InfiniteFloat

#: Cells drawn at once; each kind of random number has a stream of its own, so that the result does not depend on it.
_CELLS_AT_ONCE = 1024


def simulate_counts(
    n_obs: int = 500,
    n_vars: int = 100,
    *,
    n_latent: int = 5,
    n_groups: int = 4,
    n_batches: int = 1,
    loadings: Literal["sparse", "orthogonal"] = "sparse",
    library_size: float = 1000.0,
    dispersion: InfiniteFloat = 5.0,
    batch_effect: float = 0.5,
    rng: RNG = None,
) -> AnnData:
    r"""Simulate cells from a linear model of counts whose every number is known.

    With the latent points :math:`z_n` of the cells, loadings :math:`W`, base expression :math:`b_g` and the effect
    :math:`\delta_{sg}` of batch :math:`s_n`,

    .. math::

        \rho_{ng} &= \operatorname{softmax}_g (b_g + w_g^\top z_n + \delta_{s_n g}), \\
        \log \ell_n &\sim \mathcal{N}(\log \bar\ell - 0.3^2 / 2,\, 0.3^2), \qquad
        x_{ng} \sim \operatorname{NB}(\ell_n \rho_{ng}, \theta_g).

    Latent points of all cells together are standardised and uncorrelated. Cells of a group scatter around a centre of
    their own; groups have unequal sizes. The columns of :math:`W` have distinct norms, so that factors have an order,
    and are centred over genes, since the softmax ignores a constant: they can be recovered up to sign after a varimax
    rotation (``"sparse"``: each gene follows one factor) or a singular value decomposition (``"orthogonal"``).

    Parameters
    ----------
    n_obs
        Number of cells.
    n_vars
        Number of genes.
    n_latent
        Number of factors.
    n_groups
        Number of groups of cells; each has a cell at least.
    n_batches
        Number of batches, to which cells belong at random; each has a cell at least.
    loadings
        Kind of loadings.
    library_size
        Mean library size, :math:`\bar\ell`.
    dispersion
        Mean inverse dispersion :math:`\theta_g` of genes (gamma distributed with shape 5); infinite for Poisson counts.
    batch_effect
        Standard deviation of batch effects on the log scale.
    rng
        Seed or generator.

    Returns
    -------
    Cells with

    ``adata.X`` : :class:`scipy.sparse.csr_matrix` (dtype ``float32``)
        Counts, ``(n_obs, n_vars)``.
    ``adata.obs``
        ``"group"`` and ``"batch"``, categories; ``"library_size"``, the true :math:`\ell_n`.
    ``adata.var``
        ``"base"``, :math:`b_g`; ``"dispersion"``, :math:`\theta_g`.
    ``adata.varm['loadings']`` : :class:`numpy.ndarray`
        :math:`W`, ``(n_vars, n_latent)``, columns by falling norm.
    ``adata.varm['batch_effects']`` : :class:`numpy.ndarray`
        :math:`\delta`, ``(n_vars, n_batches)``; zero for the first batch.
    ``adata.obsm['latent']`` : :class:`numpy.ndarray`
        :math:`z_n`, ``(n_obs, n_latent)``.
    ``adata.uns['scgauge_truth']`` : :class:`dict`
        ``"params"``, the arguments, and ``"centres"``, a table of the centre of each group.

    Raises
    ------
    ValueError
        If an argument is out of range, or there are fewer genes or cells than factors, groups and batches need.

    Examples
    --------
    >>> import scgauge
    >>> adata = scgauge.datasets.simulate_counts(200, 50, rng=0)
    >>> adata.varm["loadings"].shape, adata.obs["group"].nunique()
    ((50, 5), 4)
    """
    params = {
        "n_obs": n_obs, "n_vars": n_vars, "n_latent": n_latent, "n_groups": n_groups, "n_batches": n_batches,
        "loadings": loadings, "library_size": library_size, "dispersion": dispersion, "batch_effect": batch_effect,
    }  # fmt: skip
    _check(params)
    own = generator(rng)
    gene_rng, cell_rng, rate_rng, count_rng = own.spawn(4)
    weights = _loadings(n_vars, n_latent, loadings, gene_rng)
    base = gene_rng.normal(0, 1, n_vars)
    theta = np.full(n_vars, np.inf) if np.isinf(dispersion) else gene_rng.gamma(5, dispersion / 5, n_vars)
    effects = gene_rng.normal(0, batch_effect, (n_vars, n_batches)) if n_batches > 1 else np.zeros((n_vars, 1))
    effects[:, 0] = 0
    group = _members(n_obs, _shares(n_groups), cell_rng)
    batch = _members(n_obs, np.full(n_batches, 1 / n_batches), cell_rng)
    library = library_size * np.exp(cell_rng.normal(-0.045, 0.3, n_obs))
    z = _latent(group, n_groups, n_latent, cell_rng)
    blocks = []
    for start in range(0, n_obs, _CELLS_AT_ONCE):
        rows = slice(start, start + _CELLS_AT_ONCE)
        log_rate = base + z[rows] @ weights.T + effects[:, batch[rows]].T
        share = np.exp(log_rate - log_rate.max(1, keepdims=True))
        mean = library[rows, None] * share / share.sum(1, keepdims=True)
        if np.isfinite(theta).all():
            mean = mean / theta * rate_rng.standard_gamma(np.broadcast_to(theta, mean.shape))
        blocks.append(sparse.csr_matrix(count_rng.poisson(mean).astype(np.float32)))
    centres = pd.DataFrame([z[group == index].mean(0) for index in range(n_groups)])
    centres.columns = [f"Z_{index}" for index in range(n_latent)]
    centres.insert(0, "group", [f"group_{index}" for index in range(n_groups)])
    obs = pd.DataFrame(
        {
            "group": _named("group", group, n_groups),
            "batch": _named("batch", batch, n_batches),
            "library_size": library,
        },
        index=[f"cell_{index}" for index in range(n_obs)],
    )
    var = pd.DataFrame({"base": base, "dispersion": theta}, index=[f"gene_{index}" for index in range(n_vars)])
    return AnnData(
        X=sparse.vstack(blocks, format="csr"),
        obs=obs,
        var=var,
        obsm={"latent": z},
        varm={"loadings": weights, "batch_effects": effects},
        uns={keys.TRUTH: {"params": params, "centres": centres}},
    )


def _check(params: dict) -> None:
    for name in ("n_obs", "n_vars", "n_latent", "n_groups", "n_batches"):
        if not isinstance(params[name], int | np.integer) or params[name] < 1:
            message = f"{name}={params[name]!r} was given; an integer of at least 1 is needed."
            raise ValueError(message)
    for name, allowed in (("n_vars", params["n_latent"] + 1), ("n_obs", params["n_latent"] + 1)):
        if params[name] < allowed:
            message = f"{name}={params[name]} was given; {params['n_latent']} factors need at least {allowed}."
            raise ValueError(message)
    for name in ("groups", "batches"):
        if params["n_obs"] < params[f"n_{name}"]:
            message = f"n_obs={params['n_obs']} was given for {params[f'n_{name}']} {name}; each needs a cell."
            raise ValueError(message)
    if params["loadings"] not in {"sparse", "orthogonal"}:
        message = f"loadings={params['loadings']!r} was given; choose 'sparse' or 'orthogonal'."
        raise ValueError(message)
    for name in ("library_size", "dispersion"):
        if not params[name] > 0:
            message = f"{name}={params[name]!r} was given; a positive number is needed."
            raise ValueError(message)
    if params["batch_effect"] < 0:
        message = f"batch_effect={params['batch_effect']!r} was given; it must not be negative."
        raise ValueError(message)


def _shares(n_groups: int) -> np.ndarray:
    """Return unequal shares of the groups: 1, 1/2, 1/3, ... of the largest, softened."""
    weights = 1 / np.sqrt(np.arange(1, n_groups + 1))
    return weights / weights.sum()


def _members(n_obs: int, shares: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the part that each cell belongs to, drawn by the shares; no part is empty, since it has a true centre."""
    one_each = np.arange(len(shares))
    return rng.permutation(np.concatenate([one_each, rng.choice(len(shares), n_obs - len(shares), p=shares)]))


def _named(word: str, codes: np.ndarray, n_names: int) -> pd.Categorical:
    """Return categories in the order of their numbers, which sorting would lose from ten on."""
    return pd.Categorical.from_codes(codes, [f"{word}_{index}" for index in range(n_names)])


def _loadings(n_vars: int, n_latent: int, kind: str, rng: np.random.Generator) -> np.ndarray:
    """Return centred loadings with distinct column norms, largest first, ``(n_vars, n_latent)``."""
    if kind == "sparse":
        factor = rng.permutation(np.arange(n_vars) % n_latent)
        weights = np.zeros((n_vars, n_latent))
        weights[np.arange(n_vars), factor] = rng.choice([-1, 1], n_vars) * rng.uniform(0.5, 1.5, n_vars)
        weights -= weights.mean(0)
    else:
        raw = rng.normal(size=(n_vars, n_latent))
        weights = np.linalg.qr(raw - raw.mean(0))[0]  # columns of a centred matrix span a centred space
    norms = np.linspace(1.5, 0.75, n_latent) if n_latent > 1 else np.array([1.0])
    # Root mean square of a column over genes; a share of the genes carries a sparse one.
    return weights / np.linalg.norm(weights, axis=0) * norms * np.sqrt(n_vars / n_latent)


def _latent(group: np.ndarray, n_groups: int, n_latent: int, rng: np.random.Generator) -> np.ndarray:
    """Return latent points around the centres of their groups, standardised and uncorrelated over all cells."""
    centres = rng.normal(0, 2, (n_groups, n_latent))
    z = centres[group] + rng.normal(size=(len(group), n_latent))
    z -= z.mean(0)
    covariance = z.T @ z / len(z)
    values, vectors = np.linalg.eigh(covariance)
    return z @ vectors @ np.diag(values**-0.5) @ vectors.T
