from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from scipy import stats

from scgauge._core.checks import check_adata, check_obs_key, check_unique_names
from scgauge._core.keys import ATTRIBUTION_BY_GROUP
from scgauge._core.matrix import as_rows
from scgauge._core.rng import RNG, generator
from scgauge._core.store import store
from scgauge._core.thresholds import above, quantile_thresholds
from scgauge.metrics import simpson_table
from scgauge.metrics._distances import dense_rows
from scgauge.tl._attribution_run import check_options, explain
from scgauge.tl._group_models import parts_of_one_model, parts_of_own_models

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from anndata import AnnData

    from scgauge.tl._attribution_run import Explanation
    from scgauge.tl._group_models import GroupPart


def attribution_by_group(  # noqa: PLR0913 - four of them are not counted: key_added, copy, rng, progress
    adata: AnnData,
    model: Any,
    *,
    groupby: str,
    target: Any = "latent",
    refit: bool | Callable[[AnnData, int], Any] = False,
    models: Mapping[str, Any] | None = None,
    baseline: Literal["group", "mean"] = "group",
    path: Literal["log1p", "counts"] = "log1p",
    n_steps: int = 50,
    n_top_genes: int = 50,
    min_correlation: float = 0.5,
    rng: RNG = None,
    progress: bool = True,
    key_added: str = ATTRIBUTION_BY_GROUP,
    copy: bool = False,
) -> AnnData | None:
    """Compare explanations of all cells with those of each group; fits one model per group if asked to.

    A gene may raise an output over all cells and lower it within every group (Simpson's paradox): the pooled
    explanation is then about the difference of groups. Integrated gradients :cite:p:`Sundararajan17` of all cells
    start at the mean profile, those of a group at the mean profile of the group.

    Parameters
    ----------
    adata
        Cells to explain, with what the model was set up with.
    model
        Trained model of all cells, of a class that :func:`scgauge.tl.attribute` reads.
    groupby
        Column of ``adata.obs`` with the groups, for example cell types or batches.
    target
        What to explain, as in :func:`scgauge.tl.attribute`; latent dimensions with models per group.
    refit
        Fit a model to the cells of each group: ``True`` repeats the training of ``model`` (a model of scgauge), or a
        function of the cells and a seed that returns a trained model.
    models
        Models of the groups, ``{group: model}``, instead of `refit`. Their latent dimensions are matched with those of
        ``model`` over the cells of the group, one to one, by the largest sum of absolute correlations, and take their
        sign.
    baseline
        ``"group"``, or ``"mean"`` to explain the groups, too, against the mean profile of all cells; models of groups
        always take the mean of their cells.
    path, n_steps
        As in :func:`scgauge.tl.attribute`.
    n_top_genes
        Genes with the largest mean absolute attributions that are looked at for changed signs.
    min_correlation
        Absolute correlation below which latent dimensions of two models are not matched.
    rng
        Seed or Generator of refitted models.
    progress
        Whether to show a progress bar.
    key_added
        Key under which the tables are stored.
    copy
        Whether to work on a copy of ``adata`` and return it.

    Returns
    -------
    Returns ``None`` if ``copy=False``, else returns an ``AnnData`` object. Sets the following field:

    ``adata.uns[key_added]`` : :class:`dict`
        ``"params"``; ``"pooled"``: ``target``, ``gene``, ``mean_abs``, ``signed``, ``effect`` (attribution for each
        unit of the input: whether more of the gene raises the output); ``"by_group"``: the same for each ``group``, and
        ``flips``: whether the sign of the effect is not that of all cells, for genes among the `n_top_genes` of all
        cells or of the group; ``"agreement"``: for each ``group`` and ``target`` the number of cells (``n_cells``), the
        matched latent dimension (``match``, empty if there is none) and its ``correlation``, ``rank_correlation`` of
        mean absolute attributions, ``overlap`` of the `n_top_genes` and ``n_flips``; ``"simpson"``: what
        :func:`scgauge.metrics.simpson_table` says of cells with a ``gene`` above ("first") and not above its median,
        the ``target`` of ``model`` being the outcome, for the `n_top_genes` of all cells.

    Raises
    ------
    TypeError
        If ``adata`` is not an AnnData, a model cannot be read, or ``refit=True`` and the model cannot be trained again.
    KeyError
        If ``groupby``, a class or a gene is unknown, or a group has no model.
    ValueError
        If an option is unknown, groups are fewer than two, genes differ between models, or models per group are asked
        for another target than latent dimensions.

    Examples
    --------
    >>> import scgauge
    >>> adata = scgauge.datasets.simulate_counts(100, 20, n_groups=2, rng=0)
    >>> scgauge.model.CountVI.setup_anndata(adata)
    >>> model = scgauge.model.CountVI(adata, n_latent=2, n_hidden=8)
    >>> model.train(max_epochs=20, enable_progress_bar=False, accelerator="cpu")
    >>> scgauge.tl.attribution_by_group(adata, model, groupby="group", progress=False)
    >>> list(adata.uns["attribution_by_group"])
    ['params', 'pooled', 'by_group', 'agreement', 'simpson']
    """
    check_adata(adata)
    check_unique_names(adata)
    check_options(path=path, n_steps=n_steps, n_references=1)
    labels = check_obs_key(adata, groupby, argument="groupby").astype(str).to_numpy()
    own = bool(refit) or models is not None
    _check(labels, target, baseline, n_top_genes, own=own)
    drawn = generator(rng)
    options: dict[str, Any] = {"path": path, "n_steps": n_steps}
    pooled = explain(adata, model, target=target, rng=drawn, effects=True, progress=progress, **options)
    if own:
        fit = model if refit is True else refit
        more: dict[str, Any] = {"min_correlation": min_correlation, "rng": drawn, "progress": progress, **options}
        parts = parts_of_own_models(adata, pooled, labels, fit=fit, models=models, **more)
    else:
        shared = {"baseline": baseline, "groupby": groupby, "progress": progress, **options}
        parts = parts_of_one_model(explain(adata, model, target=target, rng=drawn, **shared))
    tables = _tables(pooled, parts, n_top_genes)
    result = {
        "params": {
            "model": type(model).__name__,
            "groupby": groupby,
            "target": target if not callable(target) else pooled.targets[0],
            "refit": refit if isinstance(refit, bool) else "function",
            "models": models is not None,
            "baseline": "mean of the group" if own else baseline,
            "n_top_genes": n_top_genes,
            "min_correlation": min_correlation,
            "rng": rng,
            **options,
        },
        **tables,
        "simpson": _simpson(pooled, labels, n_top_genes),
    }
    return store(adata, copy=copy, uns={key_added: result})


def _check(labels: np.ndarray, target: Any, baseline: str, n_top_genes: int, *, own: bool) -> None:
    if len(set(labels)) < 2:
        message = f"There is one group, {labels[0]!r}; at least two are needed. Choose another `groupby`."
        raise ValueError(message)
    if baseline not in {"group", "mean"}:
        message = f"baseline={baseline!r} was given; choose 'group' or 'mean'."
        raise ValueError(message)
    if n_top_genes < 1:
        message = f"n_top_genes={n_top_genes}; at least 1 is needed."
        raise ValueError(message)
    if own and (callable(target) or isinstance(target, dict) or (isinstance(target, str) and target != "latent")):
        message = f"target={target!r} was given with models per group; only latent dimensions can be matched."
        raise ValueError(message)


def _largest(mean_abs: np.ndarray, n_genes: int) -> np.ndarray:
    """Mark the genes with the largest values of each target, ``(n_genes, n_targets)``."""
    ranks = np.argsort(np.argsort(-mean_abs, axis=0, kind="stable"), axis=0, kind="stable")
    return (ranks < n_genes) & np.isfinite(mean_abs)


def _long(pooled: Explanation, **values: np.ndarray) -> dict[str, Any]:
    """Columns of values ``(n_genes, n_targets)``, one row for each target and gene."""
    n_genes, n_targets = len(pooled.genes), len(pooled.targets)
    target, gene = (index.ravel() for index in np.indices((n_targets, n_genes)))
    names = {
        "target": pd.Categorical.from_codes(target, pooled.targets),
        "gene": pd.Categorical.from_codes(gene, pooled.genes),
    }
    return names | {name: part.T.ravel() for name, part in values.items()}


def _tables(pooled: Explanation, parts: list[GroupPart], n_top_genes: int) -> dict[str, pd.DataFrame]:
    """Tables of genes and of the agreement of groups with all cells."""
    mean_abs, effect = pooled.mean("absolute"), pooled.sums.effect()[0]
    top = _largest(mean_abs, n_top_genes)
    genes, rows = [], []
    groups = [part.group for part in parts]
    for code, part in enumerate(parts):
        of_group = _largest(part.mean_abs, n_top_genes)
        flips = (np.sign(part.effect) * np.sign(effect) < 0) & (top | of_group)
        columns = _long(pooled, mean_abs=part.mean_abs, signed=part.signed, effect=part.effect, flips=flips)
        group = pd.Categorical.from_codes(np.full(flips.size, code), groups)
        genes.append(pd.DataFrame({"group": group, **columns}))
        for index, target in enumerate(pooled.targets):
            correlation = overlap = np.nan
            if part.match[index]:
                if np.ptp(part.mean_abs[:, index]) > 0 and np.ptp(mean_abs[:, index]) > 0:
                    correlation = float(stats.spearmanr(mean_abs[:, index], part.mean_abs[:, index]).statistic)
                overlap = float((top & of_group)[:, index].sum() / top[:, index].sum())
            shared = (part.group, target, part.n_cells, part.match[index], part.correlation[index])
            rows.append((*shared, correlation, overlap, int(flips[:, index].sum())))
    names = ["group", "target", "n_cells", "match", "correlation", "rank_correlation", "overlap", "n_flips"]
    return {
        "pooled": pd.DataFrame(_long(pooled, mean_abs=mean_abs, signed=pooled.mean("signed"), effect=effect)),
        "by_group": pd.concat(genes, ignore_index=True),
        "agreement": pd.DataFrame(rows, columns=names),
    }


def _simpson(pooled: Explanation, labels: np.ndarray, n_top_genes: int) -> pd.DataFrame:
    """Compare outputs of cells with and without much of a gene, in all cells and within groups."""
    top = _largest(pooled.mean("absolute"), n_top_genes)
    wanted = np.flatnonzero(top.any(1))
    matrix = as_rows(pooled.attributor.adapter.matrix)[:, wanted]
    high = dense_rows(above(matrix, quantile_thresholds(matrix, 0.5)), np.arange(len(labels))) > 0
    values = pooled.attributor.values(len(labels))
    tables = []
    for target, gene in zip(*np.nonzero(top.T), strict=True):
        split = high[:, np.searchsorted(wanted, gene)]
        if split.all() or not split.any():
            continue
        table = simpson_table(values[:, target], np.where(split, "above", "not above"), stratum=labels)
        table.insert(0, "gene", pooled.genes[gene])
        table.insert(0, "target", pooled.targets[target])
        tables.append(table)
    if not tables:
        return pd.DataFrame({"target": [], "gene": []})
    return pd.concat(tables, ignore_index=True)
