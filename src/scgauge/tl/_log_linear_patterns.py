from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from scipy import stats
from tqdm.auto import tqdm

from scgauge._core.rng import RNG, generator
from scgauge.metrics import conditional_association, homogeneous_association
from scgauge.tl._latent_gene_pairs import check_pairs, pairs_of, patterns_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from scgauge.metrics import ConditionalAssociation

#: Observations that each stratum needs on average.
_PER_STRATUM = 20


def log_linear_patterns(
    model_or_pairs: Any,
    *,
    n_genes: int = 8,
    quantile: float = 0.5,
    n_samples: int = 10_000,
    alpha: float | None = 0.05,
    test: Literal["conditional", "homogeneous"] = "conditional",
    n_permutations: int = 0,
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
        Stop when the p-value, corrected for all pairs of the step (Bonferroni) or that of permutations, is above;
        ``None`` never stops.
    test
        ``"conditional"``, any association given the pattern; ``"homogeneous"``, one that is the same in all patterns
        (:func:`scgauge.metrics.homogeneous_association`): all tables are fitted by iteration, for some hundred genes.
    n_permutations
        Shuffle latent points within strata this many times; each time the largest statistic over all genes and latent
        dimensions is compared. 0 for none.
    rng
        Seed or Generator of the synthetic cells.
    progress
        Whether to show a progress bar.

    Returns
    -------
    One row for each step: ``step``, ``gene``, ``latent``, ``g2``, ``df``, ``cmi`` (nats; does not depend on the number
    of synthetic cells, as ``g2`` does), ``p``, ``p_adjusted``, and ``p_permutation`` if asked for.

    Raises
    ------
    TypeError
        If it is neither a readable model nor an AnnData.
    KeyError
        If cells have no ``obsm["X_latent"]``.
    ValueError
        If ``n_genes`` or ``n_samples`` is not positive, ``quantile`` not in [0, 1), ``test`` unknown,
        ``n_permutations`` negative, or there are too few cells.
    RuntimeError
        If the tables of ``test="homogeneous"`` cannot be fitted.

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
    check_pairs(quantile=quantile, n_genes=n_genes, n_samples=n_samples)
    if test not in _TESTS:
        message = f"test={test!r} was given; choose one of {list(_TESTS)}."
        raise ValueError(message)
    if n_permutations < 0:
        message = f"n_permutations={n_permutations} is negative."
        raise ValueError(message)
    drawn = generator(rng)
    pairs = pairs_of(model_or_pairs, quantile, n_samples, drawn)
    n_steps = 0
    if pairs.n_cells >= _PER_STRATUM:
        n_steps = min(n_genes, len(pairs.genes), 1 + int(np.log2(pairs.n_cells / _PER_STRATUM)))
    if n_steps < 1:
        message = f"{pairs.n_cells} cells are too few for a table; at least {_PER_STRATUM} are needed."
        raise ValueError(message)
    chosen: list[int] = []
    rows: list[dict[str, Any]] = []
    for step in tqdm(range(n_steps), desc="Selecting genes", unit="gene", delay=2, disable=not progress):
        z, x = pairs.draw()
        pattern = patterns_of(x, chosen)
        found = _TESTS[test](x, z, pattern)
        gene, latent = np.unravel_index(int(np.argmax(_open(found.g2, chosen))), found.g2.shape)
        g2, df = float(found.g2[gene, latent]), int(found.df[gene, latent])
        p = float(stats.chi2.sf(g2, df)) if df else 1.0
        row = {"step": step + 1, "gene": pairs.genes[gene], "latent": pairs.latents[latent], "g2": g2, "df": df}
        row |= {"cmi": float(found.cmi[gene, latent]), "p": p}
        row["p_adjusted"] = min(1.0, p * (len(pairs.genes) - len(chosen)) * len(pairs.latents))
        if n_permutations:
            largest = _largest_by_chance(_TESTS[test], x, z, pattern, chosen, n_permutations, drawn)
            row["p_permutation"] = (1 + int((largest >= g2 * (1 - 1e-9)).sum())) / (1 + n_permutations)
        if alpha is not None and row["p_permutation" if n_permutations else "p_adjusted"] > alpha:
            break
        chosen.append(int(gene))
        rows.append(row)
    columns = ["step", "gene", "latent", "g2", "df", "cmi", "p", "p_adjusted"]
    return pd.DataFrame(rows, columns=columns + ["p_permutation"] * bool(n_permutations))


def _strata(pattern: np.ndarray) -> np.ndarray:
    """Code of each cell's pattern, from 0 without gaps."""
    return np.unique(pattern @ (1 << np.arange(pattern.shape[1])), return_inverse=True)[1].ravel()


def _conditional(x: Any, z: np.ndarray, pattern: np.ndarray) -> ConditionalAssociation:
    return conditional_association(x, z, strata=_strata(pattern))


def _homogeneous(x: Any, z: np.ndarray, pattern: np.ndarray) -> ConditionalAssociation:
    return homogeneous_association(x, z, given=pattern)


_TESTS: dict[str, Callable[[Any, np.ndarray, np.ndarray], ConditionalAssociation]] = {
    "conditional": _conditional,
    "homogeneous": _homogeneous,
}


def _open(scores: np.ndarray, chosen: list[int]) -> np.ndarray:
    """Scores of genes that are not taken yet; those of others are -1."""
    left = scores.copy()
    left[chosen] = -1
    return left


def _largest_by_chance(
    test: Callable[[Any, np.ndarray, np.ndarray], ConditionalAssociation],
    x: Any,
    z: np.ndarray,
    pattern: np.ndarray,
    chosen: list[int],
    n_permutations: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Largest statistic over genes and latent dimensions when latent points are shuffled within strata."""
    strata = _strata(pattern)
    cells = np.argsort(strata, kind="stable")
    largest = np.empty(n_permutations)
    for number in range(n_permutations):
        shuffled = np.empty_like(cells)
        shuffled[cells] = cells[np.lexsort((rng.random(len(cells)), strata[cells]))]
        largest[number] = _open(test(x, z[shuffled], pattern).g2, chosen).max()
    return largest
