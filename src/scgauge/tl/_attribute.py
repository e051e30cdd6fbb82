from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
import torch
from scipy import sparse
from tqdm.auto import tqdm

from scgauge._core.adapter import adapt
from scgauge._core.checks import check_adata, check_obs_key
from scgauge._core.keys import IG
from scgauge._core.rng import RNG, generator
from scgauge._core.store import store as write
from scgauge.metrics._distances import dense_rows
from scgauge.metrics._points import as_groups
from scgauge.tl._attribution_baseline import drawn_baselines, given_baselines, mean_baselines
from scgauge.tl._attribution_sums import Attributor, Sums
from scgauge.tl._attribution_tables import by_group_table, completeness_table, randomised_table, top_genes_table
from scgauge.tl._attribution_target import resolve_target

if TYPE_CHECKING:
    from collections.abc import Callable

    from anndata import AnnData
    from numpy.typing import ArrayLike
    from torch import Tensor

    from scgauge._core.model_protocol import Adapter
    from scgauge.tl._attribution_baseline import Baselines

Method = Literal["ig", "saliency", "input_x_gradient", "expected_gradients"]
_METHODS = ("ig", "saliency", "input_x_gradient", "expected_gradients")
_STORES = ("mean", "top", "layer")
#: Completeness error above which more nodes are used, and a warning is given in the end.
_TOLERANCE = 0.01
#: Genes of a cell kept by store="top".
_GENES_PER_CELL = 50
#: Variance of a latent mean over cells under which the dimension says nothing about cells.
_INACTIVE = 0.01


def attribute(  # noqa: PLR0913 - four of them are not counted: key_added, copy, rng, progress
    adata: AnnData,
    model: Any,
    *,
    target: Literal["latent"] | int | list[int] | dict[str, Any] | Callable[[Tensor], Tensor] = "latent",
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
    fraction of the cost. Targets are functions of the posterior mean; library size, batch and covariates are held at
    the values of the cell.

    Parameters
    ----------
    adata
        Cells to explain, with what the model was set up with. Genes beyond those of the model get NaN.
    model
        Trained model: :class:`~scgauge.model.CountVI`, :class:`scvi.model.SCVI`, :class:`scvi.model.LinearSCVI`,
        :class:`scvi.model.SCANVI` or a subclass.
    target
        ``"latent"`` for all latent dimensions, their numbers from 0, ``{"class": name or names}`` for the logits of
        labels of a SCANVI, ``{"gene": name or names}`` for the decoded mean (summed over the genes), or a
        differentiable function of the data, ``(n_cells, n_genes)`` to ``(n_cells,)``.
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
        ``signed``; ``"randomised"``: what up to 50 cells give when the weights of the encoder are shuffled
        :cite:p:`Adebayo18`, for each ``target`` the rank correlation with the true attributions of these cells
        (``spearman``) and the 95th percentile over genes (``null``); with ``groupby``, ``"by_group"``: ``group``,
        ``target``, ``gene``, ``mean_abs``, ``signed``.

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
    for name, value, known in (
        ("method", method, _METHODS),
        ("path", path, ("log1p", "counts")),
        ("store", store, _STORES),
    ):
        if value not in known:
            message = f"{name}={value!r} was given; choose one of {list(known)}."
            raise ValueError(message)
    for name, number in (("n_steps", n_steps), ("n_references", n_references)):
        if number < 1:
            message = f"{name}={number}; at least 1 is needed."
            raise ValueError(message)
    trained = adapt(model)
    genes = _model_genes(adata, trained)
    codes, groups = np.zeros(adata.n_obs, dtype=int), np.array(["all"])
    if groupby is not None:
        labels = check_obs_key(adata, groupby, argument="groupby")
        codes, groups = as_groups(labels, adata.n_obs, name=f"adata.obs[{groupby!r}]")
    drawn = generator(rng)
    adapter = trained.on(adata if np.array_equal(genes, np.arange(adata.n_vars)) else adata[:, genes])
    network = adapter.encoder_network()
    resolved = resolve_target(adapter, target)
    straight = path if network.reads_log else "input"
    baselines = _baselines(adapter, baseline, method, codes, groupby, n_references, (adata.n_vars, genes), drawn)
    attributor = Attributor(adapter, resolved, method, straight, baselines, n_steps, _TOLERANCE)
    _warn_inactive(adapter, resolved.names, target)
    sums, layers = _sum(attributor, codes, len(groups), store, key_added, genes, adata.shape, progress=progress)
    _warn_incomplete(attributor)
    sizes = np.bincount(codes, minlength=len(groups)).astype(float)
    result = {
        "params": {
            "model": type(model).__name__,
            "target": target if not callable(target) else resolved.names[0],
            "method": method,
            "baseline": baseline if isinstance(baseline, str) else "given",
            "path": straight,
            "n_steps": n_steps,
            "groupby": groupby,
            "store": store,
            "n_references": n_references,
            "rng": rng,
        },
        "names": resolved.names,
        "completeness": completeness_table(attributor),
        "randomised": randomised_table(attributor, adata.n_obs, drawn),
    }
    mean_abs, signed = (part.sum(0) / len(codes) for part in (sums.absolute, sums.signed))
    names = adata.var_names[genes].astype(str)
    result["top_genes"] = top_genes_table(mean_abs, signed, names, resolved.names)
    if groupby is not None:
        result["by_group"] = by_group_table(sums, sizes, names, [str(group) for group in groups], resolved.names)
    varm = {key_added: mean_abs, f"{key_added}_signed": signed}
    varm = {key: _with_all_genes(values, genes, adata.n_vars) for key, values in varm.items()}
    return write(adata, copy=copy, varm=varm, layers=layers, uns={key_added: result})


def _model_genes(adata: AnnData, adapter: Adapter) -> np.ndarray:
    """Positions of the genes of the model among those of the data."""
    positions = pd.Index(adata.var_names.astype(str)).get_indexer(adapter.genes)
    missing = adapter.genes[positions < 0]
    if len(missing):
        message = (
            f"`adata` lacks {len(missing)} of the {len(adapter.genes)} genes of the model, for example {missing[0]!r}. "
            "Pass cells with all genes that the model was trained on."
        )
        raise ValueError(message)
    return positions


def _baselines(
    adapter: Adapter,
    baseline: Any,
    method: str,
    codes: np.ndarray,
    groupby: str | None,
    n_references: int,
    genes: tuple[int, np.ndarray],
    rng: np.random.Generator,
) -> Baselines | None:
    if method in {"saliency", "input_x_gradient"}:
        return None
    if not isinstance(baseline, str):
        return given_baselines(baseline, *genes)
    if baseline == "group" and groupby is None:
        message = "baseline='group' was given without groups. Name a column of adata.obs with `groupby=`."
        raise ValueError(message)
    if baseline == "zero" and method == "ig":
        return lambda _: [np.zeros((1, len(adapter.genes)))]
    if baseline not in {"mean", "group"}:
        message = f"baseline={baseline!r} was given for method={method!r}; choose 'mean', 'group' or pass profiles."
        raise ValueError(message)
    groups = codes if baseline == "group" else np.zeros_like(codes)
    if method == "expected_gradients":
        return drawn_baselines(adapter.matrix, groups, n_references, rng)
    return mean_baselines(adapter.matrix, groups, counts=adapter.likelihood not in {"normal", "bernoulli"})


def _sum(
    attributor: Attributor,
    codes: np.ndarray,
    n_groups: int,
    kept: str,
    key: str,
    genes: np.ndarray,
    shape: tuple[int, int],
    *,
    progress: bool,
) -> tuple[Sums, dict[str, Any]]:
    """Pass over all cells: sums for each group, and what is kept of each cell."""
    names = attributor.target.names
    sums = Sums.zeros(n_groups, len(genes), len(names))
    parts: dict[str, list[Any]] = {name: [] for name in names} if kept != "mean" else {}
    with tqdm(total=len(codes), desc="Attributing", unit="cell", delay=2, disable=not progress) as bar:
        for cells, values in attributor.blocks(len(codes)):
            for target, block in enumerate(values):
                sums.add(block, codes[cells], target)
                if kept == "layer":
                    dense = np.full((len(block), shape[1]), np.nan, dtype=np.float32)
                    dense[:, genes] = block.cpu().numpy()
                    parts[names[target]].append(dense)
                elif kept == "top":
                    parts[names[target]].append(_largest(block, genes, shape[1]))
            bar.update(len(cells))
    join = np.concatenate if kept == "layer" else lambda blocks: sparse.vstack(blocks, format="csr")
    return sums, {f"{key}_{name}": join(blocks) for name, blocks in parts.items()}


def _largest(block: Tensor, genes: np.ndarray, n_vars: int) -> sparse.csr_matrix:
    """Largest attributions of each cell, by absolute value."""
    columns = torch.topk(block.abs(), min(_GENES_PER_CELL, block.shape[1]), dim=1).indices
    values = block.gather(1, columns).cpu().numpy()
    starts = np.arange(0, values.size + 1, values.shape[1])
    matrix = sparse.csr_matrix((values.ravel(), genes[columns.cpu().numpy().ravel()], starts), (len(block), n_vars))
    matrix.sort_indices()
    return matrix


def _warn_incomplete(attributor: Attributor) -> None:
    worst = float(attributor.completeness.relative.max())
    if worst > _TOLERANCE:
        message = (
            f"Attributions miss {100 * worst:.1f} % of the largest change of an output with "
            f"{attributor.completeness.n_steps} steps; see uns[key]['completeness']."
        )
        warnings.warn(message, UserWarning, stacklevel=3)


def _warn_inactive(adapter: Adapter, names: list[str], target: Any) -> None:
    if isinstance(target, dict) or callable(target):
        return
    network, cells = adapter.encoder_network(), np.arange(min(adapter.matrix.shape[0], 2000))
    z = []
    for some in np.array_split(cells, -(-len(cells) // 256)):
        x = torch.as_tensor(dense_rows(adapter.matrix, some), dtype=torch.float32, device=network.weight.device)
        with torch.no_grad():
            covariates = network.covariates(adapter.context(some))
            z.append(network.rest(network.first(network.inputs(x), covariates), covariates).cpu().numpy())
    spread = dict(zip(adapter.latents, np.concatenate(z).var(0), strict=True))
    inactive = [name for name in names if spread[name] < _INACTIVE]
    if inactive and len(cells) > 1:
        message = f"The latent dimensions {inactive} hardly differ between cells: their attributions mean little."
        warnings.warn(message, UserWarning, stacklevel=3)


def _with_all_genes(values: np.ndarray, genes: np.ndarray, n_vars: int) -> np.ndarray:
    """Spread the rows of the model's genes over all genes of the data; others are NaN."""
    if np.array_equal(genes, np.arange(n_vars)):
        return values
    full = np.full((n_vars, values.shape[1]), np.nan)
    full[genes] = values
    return full
