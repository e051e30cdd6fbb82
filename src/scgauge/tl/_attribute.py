from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from scgauge._core.checks import check_adata, check_unique_names
from scgauge._core.keys import IG
from scgauge._core.rng import RNG, generator
from scgauge._core.store import store as write
from scgauge.tl._attribution_run import check_options, explain
from scgauge.tl._attribution_tables import (
    by_group_table,
    completeness_table,
    null_cells,
    randomised_table,
    top_genes_table,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from anndata import AnnData
    from numpy.typing import ArrayLike
    from torch import Tensor

Method = Literal["ig", "saliency", "input_x_gradient", "expected_gradients"]


def attribute(  # noqa: PLR0913 - four of them are not counted: key_added, copy, rng, progress
    adata: AnnData,
    model: Any,
    *,
    target: Literal["latent", "elbo"] | int | list[int] | dict[str, Any] | Callable[[Tensor], Tensor] = "latent",
    method: Method = "ig",
    baseline: Literal["mean", "zero", "group"] | ArrayLike = "mean",
    path: Literal["log1p", "counts"] = "log1p",
    n_steps: int = 50,
    n_references: int = 10,
    groupby: str | None = None,
    store: Literal["mean", "top", "layer"] = "mean",
    rng: RNG = None,
    progress: bool = True,
    key_added: str = IG,
    copy: bool = False,
) -> AnnData | None:
    r"""Attribute latent dimensions, classes or decoded genes to the genes that the encoder reads.

    Integrated gradients :cite:p:`Sundararajan17` divide the difference of an output between a cell and a baseline
    among genes. If the path is straight in log counts, gradients are integrated in the first hidden layer and
    multiplied by its weights once, for all targets together: the same numbers as integrating over genes, at a
    fraction of the cost. Latent dimensions, classes and decoded genes are functions of the posterior mean; library
    size, batch and covariates are held at the values of the cell.

    Parameters
    ----------
    adata
        Cells to explain, with what the model was set up with. Genes beyond those of the model get NaN.
    model
        Trained model: :class:`~scgauge.model.CountVI`, :class:`~scgauge.model.LinearVI`, :class:`scvi.model.SCVI`,
        :class:`scvi.model.LinearSCVI`, :class:`scvi.model.SCANVI` or a subclass.
    target
        ``"latent"`` for all latent dimensions, their numbers from 0, ``{"class": name or names}`` for the logits of
        labels of a SCANVI, ``{"gene": name or names}`` for the decoded mean (summed over the genes), ``"elbo"`` for
        the evidence lower bound of a cell (without the part of a latent library), averaged over a few draws with the
        same noise for all cells, or a differentiable function of the data, ``(n_cells, n_genes)`` to ``(n_cells,)``.
    method
        ``"ig"``; ``"expected_gradients"`` :cite:p:`Erion21`, integrated gradients averaged over cells drawn as
        baselines; ``"saliency"`` :cite:p:`Simonyan14`, the gradient at the cell; ``"input_x_gradient"``, the gradient
        times the input.
    baseline
        ``"mean"``: the mean profile at the library size of the cell; ``"zero"``: no counts; ``"group"``: the mean
        profile of the group of the cell in ``groupby``; or profiles in the scale of the data, ``(n_genes,)`` or
        ``(n_references, n_genes)``, over which attributions are averaged. Expected gradients draw their cells from all
        (``"mean"``) or from the group (``"group"``).
    path
        Whether paths and gradients are straight in log counts or in counts. Models that read no log counts take their
        input in both cases.
    n_steps
        Nodes of the quadrature. They are doubled, up to 1600, until the completeness error is below 1 %.
    n_references
        Cells that ``"expected_gradients"`` draws.
    groupby
        Column of ``adata.obs``; means are also given for each group.
    store
        ``"mean"`` keeps means over cells; ``"top"`` also the 50 largest attributions of each cell in sparse layers;
        ``"layer"`` all of them in dense ones.
    rng
        Seed or Generator of shuffled weights and drawn cells.
    progress
        Whether to show a progress bar.
    key_added
        Key under which results are stored.
    copy
        Whether to work on a copy of ``adata`` and return it.

    Returns
    -------
    Returns ``None`` if ``copy=False``, else returns an ``AnnData`` object. Sets the following fields:

    ``adata.varm[key_added]`` : :class:`numpy.ndarray`
        Mean absolute attribution over cells, ``(n_genes, n_targets)``.
    ``adata.varm[f"{key_added}_signed"]`` : :class:`numpy.ndarray`
        Mean attribution over cells, ``(n_genes, n_targets)``.
    ``adata.uns[key_added]`` : :class:`dict`
        ``"params"``; ``"names"`` of the targets; ``"completeness"``: for each ``target`` the largest difference
        between the sum of a cell's attributions and the change of the output, divided by the largest change
        (``error``), and the nodes used (``n_steps``); ``"top_genes"``: ``target``, ``rank``, ``gene``, ``mean_abs``,
        ``signed`` and ``null``, the mean absolute attribution of the gene when the weights of the encoder are shuffled
        :cite:p:`Adebayo18`, over up to 50 cells; ``"randomised"``: of these cells, for each ``target``, the rank
        correlation of shuffled and true attributions (``spearman``) and the 95th percentile over genes (``null``), all
        missing for a function that does not read the model; with ``groupby``, ``"by_group"``: ``group``, ``target``,
        ``gene``, ``mean_abs``, ``signed`` and ``effect``, the attribution for each unit by which the input differs from
        the baseline (for gradients their mean): whether more of the gene raises the output.

    With ``store="top"`` or ``"layer"`` also the layers ``f"{key_added}_{target}"``.

    Raises
    ------
    TypeError
        If ``adata`` is not an AnnData, or the model cannot be read or has no classifier for a class.
    KeyError
        If a class, gene or ``groupby`` is unknown.
    ValueError
        If an option is unknown, genes of the model are missing or ``baseline="group"`` has no ``groupby``.

    Warns
    -----
    UserWarning
        If the completeness error stays above 1 %, or latent dimensions hardly differ between cells.

    Examples
    --------
    >>> import scgauge
    >>> adata = scgauge.datasets.simulate_counts(100, 20, rng=0)
    >>> scgauge.model.CountVI.setup_anndata(adata)
    >>> model = scgauge.model.CountVI(adata, n_latent=2, n_hidden=8)
    >>> model.train(max_epochs=20, enable_progress_bar=False, accelerator="cpu")
    >>> scgauge.tl.attribute(adata, model, rng=0, progress=False)
    >>> adata.varm["ig"].shape
    (20, 2)
    >>> bool((adata.uns["ig"]["completeness"]["error"] < 0.01).all())
    True
    """
    check_adata(adata)
    check_unique_names(adata)
    check_options(method=method, path=path, store=store, n_steps=n_steps, n_references=n_references)
    drawn = generator(rng)
    given: dict[str, Any] = {
        "method": method,
        "path": path,
        "n_steps": n_steps,
        "n_references": n_references,
        "groupby": groupby,
        "store": store,
    }
    null = drawn.spawn(1)[0]
    cells = null_cells(adata.n_obs, null)
    seen: dict[str, Any] = {"key": key_added, "progress": progress, "remember": cells}
    found = explain(adata, model, target=target, rng=drawn, baseline=baseline, **given, **seen)
    attributor, targets, genes = found.attributor, found.targets, found.genes
    randomised, nulls = randomised_table(attributor, cells, found.remembered, null)
    mean_abs, signed = found.mean("absolute"), found.mean("signed")
    result = {
        "params": {
            "model": type(model).__name__,
            "target": target if not callable(target) else targets[0],
            "baseline": baseline if isinstance(baseline, str) else "given",
            **given,
            "path": attributor.path,
            "rng": rng,
        },
        "names": targets,
        "completeness": completeness_table(attributor),
        "randomised": randomised,
        "top_genes": top_genes_table(mean_abs, signed, nulls, genes, targets),
    }
    if groupby is not None:
        result["by_group"] = by_group_table(found.sums, found.sizes, genes, found.groups, targets)
    varm = {key_added: mean_abs, f"{key_added}_signed": signed}
    varm = {key: _with_all_genes(values, found.positions, adata.n_vars) for key, values in varm.items()}
    return write(adata, copy=copy, varm=varm, layers=found.layers, uns={key_added: result})


def _with_all_genes(values: np.ndarray, genes: np.ndarray, n_vars: int) -> np.ndarray:
    """Spread the rows of the model's genes over all genes of the data; others are NaN."""
    if np.array_equal(genes, np.arange(n_vars)):
        return values
    full = np.full((n_vars, values.shape[1]), np.nan)
    full[genes] = values
    return full
