from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.preprocessing import StandardScaler
from tqdm.auto import tqdm

from scgauge._core.adapter import adapt
from scgauge._core.checks import check_adata, check_counts, check_obs_key
from scgauge._core.matrix import as_rows, get_matrix
from scgauge._core.optional import later
from scgauge._core.rng import RNG, generator
from scgauge._core.stored_rows import take_cells
from scgauge.tl._cell_space import Cells, CellSpace
from scgauge.tl._refit import fit_again
from scgauge.tl._sample import sample

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from anndata import AnnData

#: What is added to the few cells of the rare label.
_ADDED = ("nothing", "class weights", "copies", "synthetic cells", "real cells")


def augmentation_gain(
    adata: AnnData,
    *,
    fit: Callable[[AnnData, int], Any] | Any,
    labels_key: str,
    label: str,
    sizes: Sequence[int] | None = None,
    n_added: int = 200,
    n_repeats: int = 3,
    layer: str | None = None,
    rng: RNG = None,
    progress: bool = True,
) -> pd.DataFrame:
    r"""Train models on few cells of a label and test whether synthetic ones help a classifier to find real ones.

    In each repeat half of the cells are held out. Of the other half few cells of the label are kept, a model is trained
    on these and all cells of other labels, and cells of the label are drawn from the aggregate posterior of the few. A
    logistic regression on 20 principal components of the training cells then learns to tell the label from the rest:

    * with nothing added; with class weights; with copies of the few cells: what needs no model;
    * with ``n_added`` synthetic cells;
    * with up to ``n_added`` further real cells of the label: what more data would give.

    Synthetic cells help if they do better than weights and copies, not if they do better than nothing.

    Parameters
    ----------
    adata
        Cells with counts.
    fit
        Trained model of scgauge, which is trained again in the same way, or a function that takes cells and a seed and
        returns a trained model.
    labels_key
        Column of ``adata.obs`` with labels.
    label
        The label that is made rare.
    sizes
        Numbers of cells of the label that are kept; if ``None``, 10 and 30, or a sixth and a half of the cells of a
        label that has fewer than 60.
    n_added
        Number of cells that are added.
    n_repeats
        Number of repeats with other halves.
    layer
        Layer with the counts; ``X`` if ``None``.
    rng
        Seed or Generator.
    progress
        Whether to show a progress bar.

    Returns
    -------
    Long table: ``repeat``, ``n_kept``, ``added`` (``"nothing"``, ``"class weights"``, ``"copies"``,
    ``"synthetic cells"``, ``"real cells"``), ``statistic`` on held-out real cells (``"average_precision"``,
    ``"auc"``, ``"f1"`` at the probability 1/2), ``value``.

    Raises
    ------
    TypeError
        If ``adata`` is not an AnnData, or ``fit`` cannot be trained again or read.
    KeyError
        If ``labels_key`` or the layer does not exist.
    ValueError
        If the label does not occur, has fewer than twice the largest size of cells, the data are no counts, or a number
        is out of range.

    Examples
    --------
    >>> import scgauge
    >>> adata = scgauge.datasets.simulate_counts(200, 30, rng=0)
    >>> scgauge.model.CountVI.setup_anndata(adata)
    >>> model = scgauge.model.CountVI(adata, n_latent=2)
    >>> model.train(max_epochs=1, enable_progress_bar=False)
    >>> table = scgauge.tl.augmentation_gain(
    ...     adata, fit=model, labels_key="group", label="group_1", sizes=[5], n_repeats=1, rng=0, progress=False
    ... )
    >>> table.loc[table["statistic"] == "auc", "added"].tolist()
    ['nothing', 'class weights', 'copies', 'synthetic cells', 'real cells']
    """
    check_adata(adata)
    check_counts(adata, layer)
    names = check_obs_key(adata, labels_key, argument="labels_key").astype(str).to_numpy()
    rare = names == str(label)
    if not rare.any() or rare.all():
        message = f"{int(rare.sum())} of {adata.n_obs} cells have the label {label!r}; found {sorted(set(names))[:10]}."
        raise ValueError(message)
    largest = int(rare.sum()) // 2
    if sizes is None:
        sizes = sorted({max(2, min(10, largest // 3)), min(30, largest)})
    if not len(sizes) or min(sizes) < 2 or max(sizes) > largest or n_added < 1 or n_repeats < 1:
        message = (
            f"sizes={list(sizes)}, n_added={n_added} and n_repeats={n_repeats} were given; sizes from 2 to {largest} "
            f"(half of the cells with the label {label!r}) and positive numbers are needed."
        )
        raise ValueError(message)
    rows: list[tuple] = []
    own = generator(rng)
    tasks = [(repeat, size) for repeat in range(n_repeats) for size in sizes]
    split: np.ndarray = np.zeros(0)
    for repeat, size in tqdm(tasks, desc="Augmenting", unit="model", disable=not progress):
        if size == sizes[0]:
            split = _halves(rare, own)
        others, pool = (own.permutation(np.flatnonzero((split == 0) & (rare == is_rare))) for is_rare in (False, True))
        kept = np.concatenate([others, pool[:size]])
        cells = take_cells(adata, kept)
        model = fit_again(fit, cells, int(own.integers(2**31)))
        adapt(model)
        few = np.arange(len(others), len(kept))
        synthetic = sample(model, n_added, source="aggregate", indices=few, rng=own, progress=False)
        matrix = as_rows(get_matrix(adata, layer))
        scores = _scores(
            matrix[kept],
            np.arange(len(kept)) >= len(others),
            {"synthetic cells": as_rows(synthetic.X), "real cells": matrix[pool[size : size + n_added]]},
            (matrix[split == 1], rare[split == 1]),
            own,
        )
        rows += [(repeat, int(size), added, *score) for added in _ADDED for score in scores[added]]
    return pd.DataFrame(rows, columns=["repeat", "n_kept", "added", "statistic", "value"])


def _halves(rare: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Half of each cell, 0 to train and 1 to test; the rare label is divided evenly."""
    half = np.empty(len(rare), dtype=int)
    for is_rare in (False, True):
        cells = rng.permutation(np.flatnonzero(rare == is_rare))
        half[cells] = np.arange(len(cells)) % 2
    return half


def _scores(
    train: Any,
    is_rare: np.ndarray,
    more: dict[str, Any],
    test: tuple[Any, np.ndarray],
    rng: np.random.Generator,
) -> dict[str, list[tuple[str, float]]]:
    """Scores of a classifier on real cells with each kind of cells added."""
    space = CellSpace(train, "counts", 2000, 20, int(rng.integers(2**31)))
    points, test_points = Cells(train, space).points, Cells(test[0], space).points
    n_added = max(len(part) if not sparse.issparse(part) else part.shape[0] for part in more.values())
    copies = rng.choice(np.flatnonzero(is_rare), n_added)
    added = {"nothing": points[:0], "class weights": points[:0], "copies": points[copies]}
    for name, matrix in more.items():
        added[name] = Cells(matrix, space).points if matrix.shape[0] else points[:0]
    scores = {}
    for name, extra in added.items():
        weights = "balanced" if name == "class weights" else None
        classifier = later("sklearn.pipeline").make_pipeline(
            StandardScaler(), LogisticRegression(C=1.0, max_iter=1000, class_weight=weights)
        )
        classifier.fit(np.concatenate([points, extra]), np.concatenate([is_rare, np.ones(len(extra), dtype=bool)]))
        probability = classifier.predict_proba(test_points)[:, 1]
        hit = test[1] & (probability > 0.5)
        found = int((probability > 0.5).sum()) + int(test[1].sum())
        scores[name] = [
            ("average_precision", float(average_precision_score(test[1], probability))),
            ("auc", float(roc_auc_score(test[1], probability))),
            ("f1", 2 * float(hit.sum()) / found),
        ]
    return scores
