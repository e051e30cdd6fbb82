from __future__ import annotations

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from scgauge._core import keys
from scgauge._core.rng import RNG, generator

#: Cells drawn at once; background and signal have a stream each, so that the result does not depend on it.
_CELLS_AT_ONCE = 4096


def simulate_binary_blocks(
    n_obs: int = 5000,
    n_vars: int = 50,
    *,
    n_blocks: int = 2,
    block_size: int = 5,
    background: float = 0.1,
    signal: float = 0.3,
    rng: RNG = None,
) -> AnnData:
    r"""Simulate binary genes of which blocks are on together in one group of cells each.

    The design of :cite:t:`Nussberger21`: every gene is on with probability `background`; in the cells of group
    :math:`k` the genes of block :math:`k` are also switched on with probability `signal`. Genes of one block are then
    positively associated over all cells, genes of two blocks negatively, all others not at all. With the defaults the
    odds ratios are 1.698, 0.535 and 1.

    Parameters
    ----------
    n_obs
        Number of cells; groups are equal but for a remainder, in order.
    n_vars
        Number of genes; the first ``n_blocks * block_size`` belong to blocks.
    n_blocks
        Number of blocks, and of groups of cells.
    block_size
        Genes of a block.
    background
        Probability that a gene is on anyway.
    signal
        Probability that its group switches a gene on.
    rng
        Seed or generator.

    Returns
    -------
    Cells with

    ``adata.X`` : :class:`scipy.sparse.csr_matrix` (dtype ``float32``)
        Zeros and ones, ``(n_obs, n_vars)``.
    ``adata.obs['group']``, ``adata.var['block']``
        Group of the cell; block of the gene, ``"noise"`` for the rest.
    ``adata.uns['scgauge_truth']`` : :class:`dict`
        ``"params"``, the arguments, and ``"odds_ratios"``, a table (``"pair"``, ``"odds_ratio"``) for two genes of the
        same block, of different blocks and for any other two.

    Raises
    ------
    ValueError
        If an argument is out of range or the blocks do not fit into the genes.

    Examples
    --------
    >>> import scgauge
    >>> adata = scgauge.datasets.simulate_binary_blocks(100, rng=0)
    >>> adata.uns["scgauge_truth"]["odds_ratios"]["odds_ratio"].round(4).tolist()
    [1.6983, 0.5351, 1.0]
    """
    params = {
        "n_obs": n_obs, "n_vars": n_vars, "n_blocks": n_blocks, "block_size": block_size, "background": background,
        "signal": signal,
    }  # fmt: skip
    _check(params)
    background_rng, signal_rng = generator(rng).spawn(2)
    group = np.arange(n_obs) * n_blocks // n_obs
    block = np.full(n_vars, -1)
    block[: n_blocks * block_size] = np.repeat(np.arange(n_blocks), block_size)
    drawn = []
    for start in range(0, n_obs, _CELLS_AT_ONCE):
        own_block = group[start : start + _CELLS_AT_ONCE, None] == block
        is_on = background_rng.random(own_block.shape) < background
        is_on |= (signal_rng.random(own_block.shape) < signal) & own_block
        drawn.append(sparse.csr_matrix(is_on, dtype=np.float32))
    obs = pd.DataFrame(
        {"group": pd.Categorical.from_codes(group, [f"group_{index}" for index in range(n_blocks)])},
        index=[f"cell_{index}" for index in range(n_obs)],
    )
    names = [*(f"block_{index}" for index in range(n_blocks)), "noise"]
    kind = pd.Categorical.from_codes(np.where(block < 0, n_blocks, block), names)
    var = pd.DataFrame({"block": kind}, index=[f"gene_{index}" for index in range(n_vars)])
    truth = {"params": params, "odds_ratios": _odds_ratios(n_blocks, background, signal)}
    return AnnData(X=sparse.vstack(drawn, format="csr"), obs=obs, var=var, uns={keys.TRUTH: truth})


def _check(params: dict) -> None:
    for name in ("n_obs", "n_vars", "n_blocks", "block_size"):
        if not isinstance(params[name], int | np.integer) or params[name] < 1:
            message = f"{name}={params[name]!r} was given; an integer of at least 1 is needed."
            raise ValueError(message)
    for name in ("background", "signal"):
        if not 0 < params[name] < 1:
            message = f"{name}={params[name]!r} was given; a probability between 0 and 1 is needed."
            raise ValueError(message)
    needed = params["n_blocks"] * params["block_size"]
    if params["n_vars"] < needed or params["n_obs"] < params["n_blocks"]:
        message = (
            f"{params['n_blocks']} blocks of {params['block_size']} genes need {needed} genes and as many cells as "
            f"blocks; found n_vars={params['n_vars']} and n_obs={params['n_obs']}."
        )
        raise ValueError(message)


def _odds_ratios(n_blocks: int, background: float, signal: float) -> pd.DataFrame:
    """Return the odds ratios of pairs of genes over all cells, by adding up the groups."""
    on = 1 - (1 - background) * (1 - signal)

    def odds_ratio(first: list[float], second: list[float]) -> float:
        p, q = np.array(first), np.array(second)
        n11, n10, n01, n00 = (np.mean(a * b) for a, b in ((p, q), (p, 1 - q), (1 - p, q), (1 - p, 1 - q)))
        return float(n11 * n00 / (n10 * n01))

    one = [on] + [background] * (n_blocks - 1)
    other = [background, on] + [background] * (n_blocks - 2) if n_blocks > 1 else None
    rows = [("same block", odds_ratio(one, one))]
    if other is not None:
        rows.append(("different blocks", odds_ratio(one, other)))
    rows.append(("other", 1.0))
    return pd.DataFrame(rows, columns=["pair", "odds_ratio"])
