from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse

from scgauge._core.checks import check_adata, check_finite, check_obs_key, check_obsm_key, check_same_genes
from scgauge._core.matrix import as_rows, get_matrix
from scgauge._core.rng import RNG, generator
from scgauge._core.short_repr import short_repr
from scgauge.metrics import mean_decomposition
from scgauge.tl._cell_space import CellSpace, kind_of
from scgauge.tl._shift_names import name_shifts, questions_of
from scgauge.tl._shift_tests import N_FOLDS, expression, labels_given_expression, proportions, within_labels

if TYPE_CHECKING:
    from anndata import AnnData

    from scgauge._core.matrix import Matrix


#: Principal components of both sets together, if no representation is given.
_N_PCS = 20


@dataclass(frozen=True)
class DistributionShift:
    """What differs between two sets of cells; see :func:`distribution_shift`.

    Attributes
    ----------
    shifts
        One row for each kind of shift: ``shift`` ("covariate", "prior", "concept"), ``found``, ``pvalue``, ``effect``,
        ``effect_size`` (what the effect is) and ``reading``.
    tests
        One row for each test: ``question`` ("P(x)", "P(y)", "P(x|y)", "P(y|x)"), ``label`` (empty for all cells),
        ``statistic`` (its name), ``value``, ``chance`` (what to expect without a difference; NaN if unknown),
        ``pvalue``, ``padj`` (Benjamini and Hochberg over the labels of a question; NaN for all cells), ``effect``,
        ``effect_size``, ``n_x`` and ``n_y``.
    questions
        One row for each question: ``question``, ``pvalue`` and ``padj`` (Holm over the questions), ``differs``.
    genes
        One row for each gene, part and label: ``gene``, ``part`` ("total", "composition", "within", "label"),
        ``label``, ``difference`` of the mean log-normalised expression (second less first), ``z``, ``pvalue``,
        ``padj``.
    params
        Arguments of the call, and numbers of cells.
    """

    shifts: pd.DataFrame
    tests: pd.DataFrame
    questions: pd.DataFrame
    genes: pd.DataFrame
    params: dict[str, Any]

    __repr__ = short_repr


def distribution_shift(
    x: AnnData,
    y: AnnData,
    *,
    labels_key: str | None = None,
    use_rep: str | None = None,
    layer: str | None = None,
    n_top_genes: int = 2000,
    n_permutations: int = 499,
    alpha: float = 0.05,
    rng: RNG = None,
    progress: bool = True,
) -> DistributionShift:
    r"""Find out what differs between two sets of cells: expression, proportions of labels, or what labels mean.

    Four questions are tested :cite:p:`MorenoTorres12`:

    * :math:`P(x)`, expression: energy test :cite:p:`Szekely13` and a classifier of the sets :cite:p:`LopezPaz17`;
    * :math:`P(y)`, labels: their proportions (:func:`scgauge.metrics.label_shift`);
    * :math:`P(x|y)`, cells of the same label (:func:`scgauge.metrics.conditional_shift`);
    * :math:`P(y|x)`, labels of cells with the same expression: the loss of a classifier beyond what importance
      weights explain (:func:`scgauge.metrics.excess_loss`).

    A shift is the simplest change that the answers (Holm-adjusted, at level ``alpha``) allow:

    * **prior**: :math:`P(y)` differs and :math:`P(x|y)` does not. Other proportions explain all;
    * **covariate**: :math:`P(x)` differs and :math:`P(y|x)` does not, and it is no prior shift;
    * **concept**: both :math:`P(y|x)` and :math:`P(x|y)` differ. Neither proportions nor position explain the labels.
      Sets that overlap by less than 5 % have no cells of which this could be asked.

    "Does not differ" means that no difference was found with these numbers of cells: read the effects. The genes that
    carry the shift are divided into what proportions of labels explain and what differs within labels
    (:func:`scgauge.metrics.mean_decomposition`).

    Parameters
    ----------
    x
        First set of cells, from which labels are learnt (reference, training data).
    y
        Second set, with the same genes.
    labels_key
        Column of ``obs`` of both with labels. Without it only :math:`P(x)` is tested.
    use_rep
        Key in ``obsm`` of both with a representation in the same coordinates. If ``None``, 20 principal
        components of both sets together (of one set alone they would overfit it, and any other set would seem to
        differ).
    layer
        Layer to read, ``X`` if ``None``. Counts are log-normalised, anything else is taken as it is.
    n_top_genes
        Number of genes, by variance over both sets, for components and for the table of genes.
    n_permutations
        Number of permutations of each test.
    alpha
        Level of the familywise error over the four questions.
    rng
        Seed or Generator.
    progress
        Whether to show a progress bar for tests that take longer than two seconds.

    Returns
    -------
    Frozen dataclass :class:`DistributionShift` with the tables ``shifts``, ``tests``, ``questions`` and ``genes`` and
    the dictionary ``params``.

    Raises
    ------
    TypeError
        If ``x`` or ``y`` is not an AnnData.
    KeyError
        If ``labels_key``, ``use_rep`` or ``layer`` does not exist.
    ValueError
        If genes differ, values are not finite, labels are missing, a set has fewer than ten cells, or an argument is
        out of range.

    Examples
    --------
    >>> import scgauge
    >>> adata = scgauge.datasets.simulate_counts(300, 40, rng=0)
    >>> few = (adata.obs["group"] != "group_0") | (adata.obs_names.str[-1] < "3")
    >>> result = scgauge.tl.distribution_shift(adata[:150], adata[150:][few[150:]], labels_key="group", rng=0)
    >>> result.shifts.set_index("shift")["found"].to_dict()
    {'covariate': False, 'prior': True, 'concept': False}
    """
    y = _check(x, y, n_permutations, alpha)
    labels = None
    if labels_key is not None:
        labels = tuple(
            check_obs_key(cells, labels_key, argument="labels_key").to_numpy().astype(str) for cells in (x, y)
        )
    given = None if use_rep is None else (check_obsm_key(x, use_rep), check_obsm_key(y, use_rep))
    for cells in (x, y):
        check_finite(cells, layer)
    space_rng, *rngs = generator(rng).spawn(5)
    pooled = _stack(as_rows(get_matrix(x, layer)), as_rows(get_matrix(y, layer)))
    space = CellSpace(pooled, kind_of(pooled), n_top_genes, _N_PCS, int(space_rng.integers(2**31)))
    values = space.transform(pooled)[:, space.genes]
    if given is None:
        scores = space.pca.transform(np.asarray(values.toarray() if sparse.issparse(values) else values, dtype=float))
        given = scores[: x.n_obs], scores[x.n_obs :]
    tests = [expression(*given, n_permutations, rngs[:2], progress=progress)]
    if labels is not None and len(np.unique(np.concatenate(labels))) > 1:
        tests.append(proportions(labels[0], labels[1], n_permutations, rngs[2]))
        tests.append(within_labels(*given, labels, n_permutations, rngs[2], progress=progress))
        tests.append(labels_given_expression(*given, labels, rngs[3]))
    table = pd.concat(tests, ignore_index=True)
    questions = questions_of(table, alpha)
    genes = mean_decomposition(
        values[: x.n_obs],
        values[x.n_obs :],
        x_labels=None if labels is None else labels[0],
        y_labels=None if labels is None else labels[1],
    )
    genes.insert(0, "gene", x.var_names.astype(str).to_numpy()[space.genes][genes.pop("variable")])
    params = {
        "labels_key": labels_key, "use_rep": use_rep, "layer": layer, "n_top_genes": len(space.genes),
        "n_pcs": given[0].shape[1], "n_permutations": n_permutations, "alpha": alpha, "rng": rng,
        "n_x": x.n_obs, "n_y": y.n_obs,
    }  # fmt: skip
    return DistributionShift(name_shifts(questions, table), table, questions, genes, params)


def _check(x: AnnData, y: AnnData, n_permutations: int, alpha: float) -> AnnData:
    for name, cells in (("x", x), ("y", y)):
        check_adata(cells, name=name)
        if cells.n_obs < 2 * N_FOLDS:
            message = f"`{name}` has {cells.n_obs} cells; at least {2 * N_FOLDS} are needed."
            raise ValueError(message)
    if n_permutations < 1 or not 0 < alpha < 1:
        message = f"n_permutations={n_permutations} and alpha={alpha} must be at least 1 and between 0 and 1."
        raise ValueError(message)
    return check_same_genes(x, y, names=("x", "y"))


def _labels(adata: AnnData, key: str) -> np.ndarray:
    return check_obs_key(adata, key, argument="labels_key").to_numpy().astype(str)


def _stack(first: Matrix, second: Matrix) -> Matrix:
    if sparse.issparse(first) or sparse.issparse(second):
        return sparse.vstack([sparse.csr_matrix(first), sparse.csr_matrix(second)], format="csr")
    return np.concatenate([first, second])
