from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse, stats
from tqdm.auto import tqdm

from scgauge._core.adapter import adapt
from scgauge._core.checks import check_adata, check_obsm_key
from scgauge._core.keys import LATENT
from scgauge._core.matrix import as_rows, get_matrix
from scgauge._core.rng import RNG, generator
from scgauge._core.thresholds import above, quantile_thresholds
from scgauge.metrics import conditional_association
from scgauge.tl._sample import sample

if TYPE_CHECKING:
    from collections.abc import Callable

#: Observations that each stratum needs on average.
_PER_STRATUM = 20


def log_linear_patterns(
    model_or_pairs: Any,
    *,
    n_genes: int = 8,
    quantile: float = 0.5,
    n_samples: int = 10_000,
    alpha: float | None = 0.05,
    rng: RNG = None,
    progress: bool = True,
) -> pd.DataFrame:
    r"""Select genes whose joint pattern a latent space has learnt, one after another.

    Latent points and genes of synthetic cells are made binary (:math:`z_j > 0`, and expression above a quantile of the
    real training cells). Each step takes the gene and the latent dimension with the largest association given the
    pattern of the genes taken before (:func:`scgauge.metrics.conditional_association`), in the manner of
    :cite:t:`Hess20`. A model draws fresh cells from its prior for each step, so that a gene is not chosen twice on the
    same chance.

    Parameters
    ----------
    model_or_pairs
        Trained model that :func:`scgauge.tl.sample` can read, or cells with latent points in ``obsm["X_latent"]``, as
        that function returns them; these serve all steps, and their own quantiles are the thresholds.
    n_genes
        Most genes to select. Fewer if strata would hold less than 20 cells on average.
    quantile
        Quantile of each gene above which it counts as expressed.
    n_samples
        Synthetic cells for each step.
    alpha
        Stop when the p-value, corrected for all pairs of the step (Bonferroni), is above; ``None`` never stops.
    rng
        Seed or Generator of the synthetic cells.
    progress
        Whether to show a progress bar.

    Returns
    -------
    One row for each step: ``step``, ``gene``, ``latent``, ``g2``, ``df``, ``cmi`` (nats; does not depend on the number
    of synthetic cells, as ``g2`` does), ``p`` and ``p_adjusted``.

    Raises
    ------
    TypeError
        If it is neither a readable model nor an AnnData.
    KeyError
        If cells have no ``obsm["X_latent"]``.
    ValueError
        If ``n_genes`` or ``n_samples`` is not positive or ``quantile`` not in [0, 1), or there are too few cells.

    Examples
    --------
    >>> import anndata as ad, numpy as np, scgauge
    >>> rng = np.random.default_rng(0)
    >>> z = rng.normal(size=(1000, 2))
    >>> x = np.column_stack([z[:, 1] > 0.1, z[:, 0] + rng.normal(size=1000) > 0, rng.random(1000) > 0.5])
    >>> pairs = ad.AnnData(x.astype("float32"), obsm={"X_latent": z})
    >>> pairs.var_names = ["Sst", "Vip", "noise"]
    >>> scgauge.tl.log_linear_patterns(pairs, n_genes=3, progress=False)[["gene", "latent"]].values.tolist()
    [['Sst', 'Z_1'], ['Vip', 'Z_0']]
    """
    for name, value in (("n_genes", n_genes), ("n_samples", n_samples)):
        if value < 1:
            message = f"{name}={value}; at least 1 is needed."
            raise ValueError(message)
    if not 0 <= quantile < 1:
        message = f"quantile={quantile} is not from 0 to below 1."
        raise ValueError(message)
    draw, genes, latents, n_cells = _source(model_or_pairs, quantile, n_samples, generator(rng))
    n_steps = min(
        n_genes, len(genes), 1 + int(np.log2(max(n_cells, 1) / _PER_STRATUM)) if n_cells >= _PER_STRATUM else 0
    )
    if n_steps < 1:
        message = f"{n_cells} cells are too few for a table; at least {_PER_STRATUM} are needed."
        raise ValueError(message)
    chosen: list[int] = []
    rows = []
    for step in tqdm(range(n_steps), desc="Selecting genes", unit="gene", delay=2, disable=not progress):
        z, x = draw()
        strata = np.zeros(len(z), dtype=np.int64)
        if chosen:
            pattern = np.asarray(x[:, chosen].toarray() if sparse.issparse(x) else x[:, chosen], dtype=np.int64)
            strata = np.unique(pattern @ (1 << np.arange(len(chosen))), return_inverse=True)[1].ravel()
        found = conditional_association(x, z, strata=strata)
        scores = found.g2.copy()
        scores[chosen] = -1
        gene, latent = np.unravel_index(int(np.argmax(scores)), scores.shape)
        g2, df = float(found.g2[gene, latent]), int(found.df[gene, latent])
        p = float(stats.chi2.sf(g2, df)) if df else 1.0
        adjusted = min(1.0, p * (len(genes) - len(chosen)) * len(latents))
        if alpha is not None and adjusted > alpha:
            break
        chosen.append(int(gene))
        rows.append((step + 1, genes[gene], latents[latent], g2, df, float(found.cmi[gene, latent]), p, adjusted))
    columns = ["step", "gene", "latent", "g2", "df", "cmi", "p", "p_adjusted"]
    return pd.DataFrame(rows, columns=columns)


def _source(
    source: Any, quantile: float, n_samples: int, rng: np.random.Generator
) -> tuple[Callable[[], tuple[np.ndarray, Any]], list[str], list[str], int]:
    """Return what draws binary latent points and genes, the names of both, and the number of cells of a draw."""
    if isinstance(source, AnnData):
        check_adata(source, name="model_or_pairs")
        points = check_obsm_key(source, LATENT, argument="model_or_pairs with")
        matrix = as_rows(get_matrix(source))
        pairs = points > 0, above(matrix, quantile_thresholds(matrix, quantile))
        names = [f"Z_{index}" for index in range(points.shape[1])]
        return lambda: pairs, source.var_names.astype(str).tolist(), names, source.n_obs
    adapter = adapt(source)
    thresholds = quantile_thresholds(as_rows(adapter.matrix)[adapter.training_cells()], quantile)

    def draw() -> tuple[np.ndarray, Any]:
        cells = sample(source, n_samples, source="prior", rng=rng, progress=False)
        return cells.obsm[LATENT] > 0, above(as_rows(cells.X), thresholds)

    return draw, adapter.genes.tolist(), adapter.latents, n_samples
