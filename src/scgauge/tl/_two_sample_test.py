from __future__ import annotations

from typing import TYPE_CHECKING, Any

from anndata import AnnData

from scgauge._core.checks import check_adata, check_obsm_key, check_same_genes
from scgauge._core.matrix import as_rows, get_matrix
from scgauge.metrics import two_sample_test as compare_arrays

if TYPE_CHECKING:
    from scgauge._core.rng import RNG
    from scgauge.metrics._points import Points
    from scgauge.metrics._two_sample import Method, Statistic, TwoSampleResult


def two_sample_test(
    x: Points | AnnData,
    y: Points | AnnData,
    *,
    use_rep: str | None = None,
    layer: str | None = None,
    statistic: Statistic = "energy",
    method: Method = "auto",
    n_permutations: int = 199,
    device: str = "cpu",
    rng: RNG = None,
    progress: bool = True,
) -> TwoSampleResult:
    """Test whether two sets of cells have the same distribution, with the energy or a Cramér statistic.

    The test behind it, its statistics and their formulas: :func:`scgauge.metrics.two_sample_test`
    :cite:p:`Szekely13,Baringhaus04`. It sees any difference between the distributions in the space it is given. In
    raw counts that space is ruled by library size and a few genes; principal components of log-normalised counts,
    learnt on one data set and applied to both, show more.

    A small p-value says that the sets differ, not by how much: with enough cells every model fails. Compare the
    statistic with that of two real samples of the same sizes, as :func:`scgauge.tl.synthetic_quality` does.

    Parameters
    ----------
    x
        First set: array ``(n, p)`` as for :func:`scgauge.metrics.two_sample_test`, or an AnnData.
    y
        Second set, of the same kind.
    use_rep
        For AnnData, the key in ``obsm`` of both, in the same coordinates. If ``None``, the genes.
    layer
        For AnnData without ``use_rep``, the layer of both to read; ``X`` if ``None``.
    statistic
        ``"energy"``, ``"cramer"`` (half of it), ``"bahr"``, ``"log"``, ``"frac_a"`` or ``"frac_b"``.
    method
        ``"exact"``, ``"sliced"`` (100 random lines; ``"energy"`` and ``"cramer"`` only), or ``"auto"``: sliced where
        it can be and a set has more than 30,000 cells, else exact.
    n_permutations
        Number of random permutations; with 0 the p-value is NaN.
    device
        Where the exact statistic is computed: ``"cpu"`` or a device of torch with float64, for example ``"cuda"``.
    rng
        Seed or Generator of permutations and lines.
    progress
        Whether to show a progress bar if the test takes longer than two seconds.

    Returns
    -------
    :class:`scgauge.metrics.TwoSampleResult`: ``statistic``, ``pvalue``, ``n``, ``m``, ``method``, ``error``,
    ``kernel`` and ``null``, the statistics of the permuted cells.

    Raises
    ------
    TypeError
        If one of the two is an AnnData and the other is not, or an array is not numeric.
    KeyError
        If ``use_rep`` or ``layer`` does not exist.
    ValueError
        If the two have different genes or numbers of columns; if values are not finite; if an argument is unknown or
        out of range.

    Examples
    --------
    >>> import scgauge
    >>> x = scgauge.datasets.simulate_counts(80, 20, rng=0)
    >>> y = scgauge.datasets.simulate_counts(60, 20, rng=1)
    >>> result = scgauge.tl.two_sample_test(x, y, rng=0)
    >>> result.n, result.m, result.method, result.pvalue
    (80, 60, 'exact', 0.005)
    """
    first, second = _points(x, y, use_rep, layer)
    return compare_arrays(
        first,
        second,
        statistic=statistic,
        method=method,
        n_permutations=n_permutations,
        device=device,
        rng=rng,
        progress=progress,
    )


def _points(x: Any, y: Any, use_rep: str | None, layer: str | None) -> tuple[Any, Any]:
    if not isinstance(x, AnnData) and not isinstance(y, AnnData):
        if use_rep is not None or layer is not None:
            message = "`use_rep` and `layer` name parts of an AnnData; for arrays leave them out."
            raise ValueError(message)
        return x, y
    check_adata(x, name="x")
    check_adata(y, name="y")
    if use_rep is not None:
        return check_obsm_key(x, use_rep), check_obsm_key(y, use_rep)
    y = check_same_genes(x, y, names=("x", "y"))
    return as_rows(get_matrix(x, layer)), as_rows(get_matrix(y, layer))
