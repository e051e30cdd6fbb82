from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from scgauge._core import keys
from scgauge._core.adapter import adapt
from scgauge._core.checks import check_adata, check_obs_key
from scgauge._core.draws import LikelihoodSampler
from scgauge._core.matrix import as_rows, get_matrix
from scgauge._core.rng import RNG, generator
from scgauge._core.store import plain
from scgauge.metrics import energy_distance, gene_marginals
from scgauge.tl._cell_space import CellSpace, kind_of

if TYPE_CHECKING:
    from scgauge._core.matrix import Matrix

#: Principal components for energy distances.
_N_PCS = 20
#: Predictions, the simplest last.
METHODS = ("latent space", "gene space", "no change")


def latent_arithmetic(
    adata: AnnData,
    model: Any,
    *,
    condition_key: str,
    control: str,
    treated: str,
    labels_key: str,
    label: str,
    n_top_genes: int = 100,
    rng: RNG = None,
) -> AnnData:
    r"""Predict how cells of one type respond to a treatment from the response of the others, and score the prediction.

    As in scGen :cite:p:`Lotfollahi19`, the response is one vector of the latent space,

    .. math::

        \delta = \frac1K \sum_{k} (\bar z_{k,\text{treated}} - \bar z_{k,\text{control}}) ,

    over the :math:`K` other labels with cells of both conditions, all with the same weight. Control cells of the label
    are moved by :math:`\delta` and decoded. This prediction is scored against the treated cells of the label, which
    the model must not have seen, beside two predictions that need no model: the same arithmetic in gene space (mean
    difference of log-normalised expression, added to the control cells and cut off at 0) and no change at all; and
    beside two random halves of the treated cells, as good as any prediction can be.

    Parameters
    ----------
    adata
        Cells of all conditions and labels, with the genes and columns that the model was set up with.
    model
        Model trained without the treated cells of ``label``.
    condition_key
        Column of ``adata.obs`` with the condition.
    control
        Name of the condition that is moved.
    treated
        Name of the condition that is predicted.
    labels_key
        Column of ``adata.obs`` with labels (cell types).
    label
        Label whose response is predicted.
    n_top_genes
        Number of genes that differ most between the conditions in cells of the label (Welch's t), scored by themselves.
    rng
        Seed or Generator of the draws.

    Returns
    -------
    Predicted cells, one for each control cell of the label:

    ``predicted.X`` : :class:`scipy.sparse.csr_matrix` or :class:`numpy.ndarray` (dtype ``float32``)
        Draws from the likelihood, at the library size of the control cell.
    ``predicted.obs['source_cell']`` : :class:`pandas.Series`
        Name of the control cell; all other columns are those of the cell, with ``treated`` as condition.
    ``predicted.obsm['X_latent']`` : :class:`numpy.ndarray`
        Latent points.
    ``predicted.uns['latent_arithmetic']`` : :class:`dict`
        ``"params"``: the arguments of this call, ``"n_labels"`` behind the vector. ``"delta"``: the vector,
        ``(n_latent,)``. ``"genes"``: data frame with one row for each gene: ``gene``, means of log-normalised
        expression ``control``, ``treated``, ``latent_space``, ``gene_space`` and whether it is among the ``top`` genes.
        ``"scores"``: data frame with ``method`` (``"latent space"``, ``"gene space"``, ``"no change"``,
        ``"two halves"``), ``statistic`` and ``value``: ``"r2_all"`` and ``"r2_top"`` (squared correlation of the means
        of all and of the top genes), ``"r_change_all"`` and ``"r_change_top"`` (correlation of the changes from
        control), ``"rmse_top"`` (of the means), ``"energy"`` (energy distance to the treated cells in 20 principal
        components). Without treated cells of the label the table is empty.

    Raises
    ------
    TypeError
        If ``adata`` is not an AnnData or scgauge cannot read this class of models.
    RuntimeError
        If the model is not trained.
    KeyError
        If a column does not exist.
    ValueError
        If the model has seen treated cells of the label, there are no control cells of it, or no other label has cells
        of both conditions.

    Examples
    --------
    >>> import scgauge
    >>> adata = scgauge.datasets.simulate_counts(120, 20, n_batches=2, rng=0)
    >>> out = (adata.obs["batch"] == "batch_1") & (adata.obs["group"] == "group_0")
    >>> known = adata[~out].copy()
    >>> scgauge.model.CountVI.setup_anndata(known)
    >>> model = scgauge.model.CountVI(known, n_latent=2)
    >>> model.train(max_epochs=1, enable_progress_bar=False)
    >>> names = {"condition_key": "batch", "control": "batch_0", "treated": "batch_1"}
    >>> predicted = scgauge.tl.latent_arithmetic(adata, model, **names, labels_key="group", label="group_0", rng=0)
    >>> set(predicted.obs["batch"]), set(predicted.obs["group"])
    ({'batch_1'}, {'group_0'})
    """
    check_adata(adata)
    adapter = adapt(model)
    conditions = check_obs_key(adata, condition_key, argument="condition_key").astype(str).to_numpy()
    labels = check_obs_key(adata, labels_key, argument="labels_key").astype(str).to_numpy()
    moved, target, others = _groups(conditions, labels, (str(control), str(treated)), str(label))
    _check_unseen(adata, adapter.model.adata, target, f"{treated} cells of {label}")
    own, seed_rng = generator(rng).spawn(2)
    latent = np.asarray(adapter.encode(adata=adata)[0], dtype=np.float64)
    delta = _balanced_difference(latent, others)
    z = adapter.transform_latent(latent[moved] + delta)
    decoded = adapter.on(adata[moved])
    drawn = LikelihoodSampler(adapter.likelihood, own).draw(decoded.decode(z, decoded.context(np.arange(len(moved)))))
    drawn = drawn.astype(np.float32)
    matrix = as_rows(get_matrix(adata, adapter.model.registry_["setup_args"].get("layer")))
    space = CellSpace(matrix, kind_of(matrix), 2000, _N_PCS, int(seed_rng.integers(2**31)))
    real = space.transform(matrix)
    cells = {
        "latent space": space.transform(drawn),
        "gene space": np.maximum(_dense(real[moved]) + _balanced_difference(real, others), real.min()),
        "no change": real[moved],
    }
    genes = _gene_table(real, moved, target, cells, adata.var_names, n_top_genes)
    halves = seed_rng.permutation(target)
    scores = _scores(space, real, genes, cells, halves) if len(target) > 3 else pd.DataFrame(columns=_COLUMNS)
    params = {
        "condition_key": condition_key, "control": control, "treated": treated, "labels_key": labels_key,
        "label": label, "n_top_genes": n_top_genes, "rng": rng, "n_labels": len(others),
    }  # fmt: skip
    obs = adata.obs.iloc[moved].set_axis([f"predicted_{index}" for index in range(len(moved))]).copy()
    obs[keys.SOURCE_CELL] = adata.obs_names[moved].to_numpy()
    obs[condition_key] = pd.Categorical([str(treated)] * len(moved))
    result = {"params": {k: plain(v) for k, v in params.items()}, "delta": delta, "genes": genes, "scores": scores}
    x = drawn if adapter.likelihood == "normal" else sparse.csr_matrix(drawn)
    return AnnData(x, obs=obs, var=adata.var.copy(), obsm={keys.LATENT: z}, uns={keys.LATENT_ARITHMETIC: result})


#: Columns of the scores.
_COLUMNS = ["method", "statistic", "value"]


def _groups(
    conditions: np.ndarray, labels: np.ndarray, names: tuple[str, str], label: str
) -> tuple[np.ndarray, np.ndarray, list[tuple[np.ndarray, np.ndarray]]]:
    """Control and treated cells of the label, and of each other label that has both."""
    moved, target = (np.flatnonzero((conditions == name) & (labels == label)) for name in names)
    if not len(moved):
        message = f"There are no cells with the condition {names[0]!r} and the label {label!r} to start from."
        raise ValueError(message)
    others = []
    for other in np.unique(labels[labels != label]):
        pair = tuple(np.flatnonzero((conditions == name) & (labels == other)) for name in names)
        if len(pair[0]) and len(pair[1]):
            others.append((pair[0], pair[1]))
    if not others:
        message = f"No label other than {label!r} has cells of both conditions {list(names)}; one at least is needed."
        raise ValueError(message)
    return moved, target, others


def _check_unseen(adata: AnnData, seen: AnnData | None, target: np.ndarray, what: str) -> None:
    n_seen = 0 if seen is None else int(adata.obs_names[target].isin(seen.obs_names).sum())
    if n_seen:
        message = (
            f"The model was given {n_seen} of the {len(target)} {what}, which are to be predicted. Train it without "
            "them, or give those cells of `adata` other names if they are others."
        )
        raise ValueError(message)


def _balanced_difference(values: Matrix, others: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Difference of means of treated and control cells, averaged over labels with equal weights."""
    differences = [np.asarray(values[b].mean(axis=0) - values[a].mean(axis=0)).ravel() for a, b in others]
    return np.mean(differences, axis=0)


def _dense(matrix: Matrix) -> np.ndarray:
    return np.asarray(matrix.toarray() if sparse.issparse(matrix) else matrix, dtype=np.float64)


def _gene_table(
    real: Matrix,
    moved: np.ndarray,
    target: np.ndarray,
    cells: dict[str, Matrix],
    names: pd.Index,
    n_top_genes: int,
) -> pd.DataFrame:
    """Means of every gene, and which genes differ most between the conditions."""
    first = gene_marginals(real[moved])
    table = pd.DataFrame({"gene": names.astype(str), "control": first.mean})
    table["treated"] = np.nan
    table["top"] = False
    if len(target) > 1 and len(moved) > 1:
        second = gene_marginals(real[target])
        error = np.sqrt(first.variance / len(moved) + second.variance / len(target))
        t = np.divide(second.mean - first.mean, error, out=np.zeros_like(error), where=error > 0)
        table["treated"] = second.mean
        table.loc[np.argsort(-np.abs(t), kind="stable")[:n_top_genes], "top"] = True
    for method in ("latent space", "gene space"):
        table[method.replace(" ", "_")] = gene_marginals(cells[method]).mean
    return table


def _scores(
    space: CellSpace, real: Matrix, genes: pd.DataFrame, cells: dict[str, Matrix], halves: np.ndarray
) -> pd.DataFrame:
    """Score every prediction, and one half of the treated cells as a prediction of the other."""
    middle = len(halves) // 2
    means = {method: gene_marginals(matrix).mean for method, matrix in cells.items()}
    compared = {method: (mean, genes["treated"].to_numpy()) for method, mean in means.items()}
    compared["two halves"] = gene_marginals(real[halves[:middle]]).mean, gene_marginals(real[halves[middle:]]).mean
    points = {method: _points(space, matrix) for method, matrix in cells.items()}
    seen = _points(space, real[halves])
    top, control = genes["top"].to_numpy(), genes["control"].to_numpy()
    rows = []
    for method, (predicted, observed) in compared.items():
        for name, inside in (("all", np.ones(len(top), dtype=bool)), ("top", top)):
            rows.append((method, f"r2_{name}", _correlation(predicted[inside], observed[inside]) ** 2))
            change = (predicted - control)[inside], (observed - control)[inside]
            rows.append((method, f"r_change_{name}", _correlation(*change)))
        rows.append((method, "rmse_top", float(np.sqrt(np.mean((predicted - observed)[top] ** 2)))))
        pair = (seen[:middle], seen[middle:]) if method == "two halves" else (points[method], seen)
        rows.append((method, "energy", energy_distance(*pair) if min(map(len, pair)) > 1 else np.nan))
    return pd.DataFrame(rows, columns=_COLUMNS)


def _points(space: CellSpace, log_normalised: Matrix) -> np.ndarray:
    return space.pca.transform(_dense(log_normalised[:, space.genes]))


def _correlation(x: np.ndarray, y: np.ndarray) -> float:
    """Pearson correlation; NaN where one side does not vary (no change at all)."""
    if len(x) < 2 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return float("nan")
    return float(np.corrcoef(x, y)[0, 1])
