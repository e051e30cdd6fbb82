from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from tqdm.auto import tqdm

from scgauge._core.checks import check_adata, check_finite, check_obs_key, check_same_genes
from scgauge._core.keys import SYNTHETIC_QUALITY
from scgauge._core.rng import RNG, generator
from scgauge._core.store import store
from scgauge.tl._cell_space import Cells, CellSpace, kind_of
from scgauge.tl._comparison import Comparison, overall, too_few
from scgauge.tl._split_real import rows_in_order, split_real

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData

#: Principal components of the space in which cells are compared.
_N_PCS = 30
_COLUMNS = [
    "group", "family", "property", "statistic", "value", "se", "floor", "floor_se", "ceiling", "ceiling_se", "scaled",
    "yardstick",
]  # fmt: skip


def synthetic_quality(  # noqa: PLR0913 - ten without `key_added`, `copy`, `rng` and `progress`
    real: AnnData,
    synthetic: AnnData,
    *,
    holdout: AnnData | None = None,
    model: Any = None,
    groupby: str | None = None,
    layer: str | None = None,
    n_top_genes: int | Sequence[str] = 500,
    n_splits: int = 5,
    rng: RNG = None,
    progress: bool = True,
    key_added: str = SYNTHETIC_QUALITY,
    copy: bool = False,
) -> AnnData | None:
    r"""Score synthetic cells against real ones, each property between a floor and a ceiling.

    Synthetic cells, training cells and a wrong copy of the training cells are each compared with the same real cells
    that were held out, in parts of one size:

    * the *floor* is what real training cells score, the best that can be hoped for with so many cells;
    * the *ceiling* is what a copy scores that has the property wrong: independent genes
      (:func:`scgauge.metrics.independent_copy`), Poisson counts (:func:`scgauge.metrics.poisson_copy`), or shuffled
      names of genes for their means;
    * ``scaled`` :math:`= (\text{value} - \text{floor}) / (\text{ceiling} - \text{floor})`: 0 as good as real cells, 1
      as bad as the copy, above 1 worse. It is NaN where ceiling and floor differ by less than three standard errors,
      since nothing can be said then with so few cells.

    Four families of properties: single *genes* (mean, variance, dispersion, mean-variance trend, zeros), *cells*
    (library size, detected genes, zeros; after :cite:t:`Soneson18`), *pairs* of genes (correlation, covariance, partial
    correlation, log odds ratio :cite:p:`Nussberger21`), and the *joint* distribution (energy distance
    :cite:p:`Szekely13`, classifiers :cite:p:`LopezPaz17`, density and coverage :cite:p:`Naeem20`, mixing of nearest
    neighbours :cite:p:`Schilling86`). Normalisation, genes, thresholds and principal components are learnt on one half
    of the training cells, the other half is compared. Draw the result with :func:`scgauge.pl.synthetic_quality`.

    Parameters
    ----------
    real
        Real cells: those that the model was trained on, or all of its cells together with ``model``.
    synthetic
        Synthetic cells of any origin with the same genes; data in ``X``.
    holdout
        Real cells that the model has not seen.
    model
        The model behind the synthetic cells, set up with ``real``: its training cells are the training cells, all
        others are held out. Without ``holdout`` and ``model`` a random half of ``real`` stands in for cells held out,
        which a model that has memorised its cells passes.
    groupby
        Column of ``real.obs`` with groups to be scored on their own, too. Where ``synthetic.obs`` lacks the column, a
        classifier that was fitted on the real training cells labels the synthetic ones.
    layer
        Layer of ``real`` and ``holdout`` to read, ``X`` if ``None``. Counts (log-normalised where the comparison needs
        it), zeros and ones, or other values that are taken as they are.
    n_top_genes
        Number of genes, the most variable of the training cells, for pairs and for the joint distribution, or their
        names.
    n_splits
        Number of parts in which each set of cells is compared, from which standard errors come. Parts have at most
        1500 cells.
    rng
        Seed or Generator.
    progress
        Whether to show a progress bar if it takes longer than two seconds.
    key_added
        Key in ``synthetic.uns`` under which the result is stored.
    copy
        Whether to work on a copy of ``synthetic`` and return it.

    Returns
    -------
    Returns ``None`` if ``copy=False``, else returns an ``AnnData`` object. Sets the following fields:

    ``synthetic.uns[key_added]`` : :class:`dict`
        ``"params"``: the arguments, ``"kind"`` of the data, ``"holdout"`` (where the cells held out come from),
        ``"n_cells"`` of a part, ``"n_reference"``, ``"labels"`` (``"given"`` or ``"predicted"``) and
        ``"skipped_groups"``, those with too few cells.
        ``"scores"``: data frame with the columns ``group`` (empty for all cells), ``family``, ``property``,
        ``statistic``, ``value``, ``se``, ``floor``, ``floor_se``, ``ceiling``, ``ceiling_se``, ``scaled`` and
        ``yardstick``, the copy behind the ceiling. The p-value of the energy test is not scaled.
        ``"overall"``: data frame with the mean of ``scaled`` for each ``group`` and ``family``, and over families as
        family ``"all"``; values below 0 count as 0 and above 2 as 2.
        ``"features"``: data frame of the genes that tell synthetic from real cells best in a logistic regression:
        ``group``, ``gene``, ``weight`` (positive where synthetic cells have more).

    Raises
    ------
    TypeError
        If one of the data sets is not an AnnData, or scgauge cannot read the model.
    KeyError
        If ``layer``, ``groupby`` or a gene of ``n_top_genes`` does not exist.
    ValueError
        If genes differ, values are not finite, or cells held out are among the real ones; if both ``holdout`` and
        ``model`` are given, or the model does not belong to ``real``; if there are too few cells or genes, or
        ``n_splits`` is less than 2.

    Examples
    --------
    >>> import scgauge
    >>> adata = scgauge.datasets.simulate_counts(400, 20, rng=0)
    >>> real, other = adata[:300].copy(), adata[300:].copy()
    >>> scgauge.tl.synthetic_quality(real, other, n_splits=2, rng=0)
    >>> other.uns["synthetic_quality"]["scores"]["property"].nunique()
    16
    """
    check_adata(real, name="real")
    check_adata(synthetic, name="synthetic")
    split_rng, space_rng, run_rng = generator(rng).spawn(3)
    train, reference, source = split_real(real, holdout, model, split_rng)
    candidates = check_same_genes(real, synthetic)
    for adata, where in ((train, layer), (reference, layer), (candidates, None)):
        check_finite(adata, where)
    genes = _top_genes(real, n_top_genes)
    if n_splits < 2:
        message = f"n_splits={n_splits} was given; standard errors need at least 2."
        raise ValueError(message)
    matrices = {name: rows_in_order(*pair) for name, pair in (
        ("train", (train, layer)), ("reference", (reference, layer)), ("synthetic", (candidates, None)))}  # fmt: skip
    kind = kind_of(matrices["train"])
    # Principal components fit the very cells that they were learnt on better than any others: half of the training
    # cells teach the space, the other half are compared.
    order = space_rng.permutation(len(train))
    learn, compare = np.sort(order[: len(train) // 2]), np.sort(order[len(train) // 2 :])
    space = CellSpace(matrices["train"][learn], kind, genes, _N_PCS, int(space_rng.integers(2**31)))
    all_train = Cells(matrices["train"], space)
    sets = {name: Cells(matrix, space) for name, matrix in matrices.items()} | {"train": all_train.take(compare)}
    labels, labels_are = _labels(groupby, (train, reference, candidates), all_train, sets["synthetic"])
    if labels is not None:
        labels["train"] = labels["train"][compare]
    scored = _score_groups(sets, labels, n_splits, run_rng, progress=progress)
    table, features = scored.pop("scores"), scored.pop("features")
    params = {
        "groupby": groupby, "layer": layer, "n_top_genes": len(space.genes), "n_splits": n_splits, "rng": rng,
        "kind": kind, "holdout": source, "labels": labels_are, **scored,
    }  # fmt: skip
    result = {
        "params": params,
        "scores": table,
        "overall": overall(table),
        "features": features.assign(gene=real.var_names[space.genes[features["gene"]]].astype(str)),
    }
    return store(synthetic, copy=copy, uns={key_added: result})


def _score_groups(
    sets: dict[str, Cells],
    labels: dict[str, np.ndarray] | None,
    n_splits: int,
    rng: np.random.Generator,
    *,
    progress: bool,
) -> dict[str, Any]:
    """Scores and telling genes of all cells and of each group, the groups with too few cells, and sizes of a part."""
    groups = [""] if labels is None else ["", *np.unique(labels["train"])]
    tables, features, skipped = [], [], []
    sizes: dict[str, int] = {}
    for group in tqdm(groups, desc="Scoring", unit="group", delay=2, disable=not progress):
        chosen = sets if group == "" else {name: sets[name].take(labels[name] == group) for name in sets}  # type: ignore[index]
        comparison = Comparison.of(chosen, n_splits, rng.spawn(1)[0])
        if comparison is None and group == "":
            raise ValueError(too_few(chosen, n_splits))
        if comparison is None:
            skipped.append(group)
            continue
        sizes = sizes or {"n_cells": comparison.n, "n_reference": len(comparison.reference)}
        tables.append(comparison.table().assign(group=group))
        features.append(comparison.features().assign(group=group))
    return {
        "scores": pd.concat(tables, ignore_index=True)[_COLUMNS],
        "features": pd.concat(features, ignore_index=True)[["group", "gene", "weight"]],
        "skipped_groups": skipped,
        **sizes,
    }


def _top_genes(real: AnnData, n_top_genes: int | Sequence[str]) -> int | np.ndarray:
    if isinstance(n_top_genes, int | np.integer):
        if min(n_top_genes, real.n_vars) < 3:
            message = f"n_top_genes={n_top_genes} of {real.n_vars} genes were asked for; at least 3 are needed."
            raise ValueError(message)
        return int(n_top_genes)
    names = [str(name) for name in n_top_genes]
    unknown = [name for name in names if name not in real.var_names]
    if unknown:
        message = f"{len(unknown)} of `n_top_genes` are not in real.var_names, for example {unknown[0]!r}."
        raise KeyError(message)
    if len(set(names)) < 3:
        message = f"n_top_genes={names} names fewer than the 3 genes that are needed."
        raise ValueError(message)
    return np.unique(real.var_names.get_indexer(names))


def _labels(
    groupby: str | None, data: tuple[AnnData, AnnData, AnnData], train_cells: Cells, synthetic_cells: Cells
) -> tuple[dict[str, np.ndarray] | None, str]:
    """Group of every cell, and whether those of the synthetic cells were given or predicted."""
    if groupby is None:
        return None, "none"
    train, reference, synthetic = data
    labels = {
        name: check_obs_key(adata, groupby, argument="groupby").astype(str).to_numpy()
        for name, adata in (("train", train), ("reference", reference))
    }
    if groupby in synthetic.obs:
        labels["synthetic"] = check_obs_key(synthetic, groupby, argument="groupby").astype(str).to_numpy()
        return labels, "given"
    if len(np.unique(labels["train"])) == 1:
        labels["synthetic"] = np.repeat(labels["train"][:1], len(synthetic_cells))
        return labels, "predicted"
    scale = train_cells.points.std(axis=0).clip(1e-12)
    classifier = LogisticRegression(max_iter=1000).fit(train_cells.points / scale, labels["train"])
    labels["synthetic"] = classifier.predict(synthetic_cells.points / scale).astype(str)
    return labels, "predicted"
