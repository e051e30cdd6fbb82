"""One pass over cells: attributions summed for groups of cells, and what is kept of each cell."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from scipy import sparse
from tqdm.auto import tqdm

from scgauge._core.adapter import adapt
from scgauge._core.checks import check_obs_key
from scgauge.metrics._distances import dense_rows
from scgauge.metrics._points import as_groups
from scgauge.tl._attribution_baseline import drawn_baselines, given_baselines, mean_baselines
from scgauge.tl._attribution_sums import Attributor, Sums
from scgauge.tl._attribution_target import resolve_target

if TYPE_CHECKING:
    from anndata import AnnData
    from torch import Tensor

    from scgauge._core.model_protocol import Adapter
    from scgauge.tl._attribution_baseline import Baselines

#: Completeness error above which more nodes are used, and a warning is given in the end.
_TOLERANCE = 0.01
#: Genes of a cell kept by store="top".
_GENES_PER_CELL = 50
#: Variance of a latent mean over cells under which the dimension says nothing about cells.
_INACTIVE = 0.01
#: Cells over which that variance is taken.
_CELLS_OF_SPREAD = 500
_KNOWN = {
    "method": ("ig", "saliency", "input_x_gradient", "expected_gradients"),
    "path": ("log1p", "counts"),
    "store": ("mean", "top", "layer"),
}


@dataclass(frozen=True)
class Explanation:
    """What one pass over the cells gives.

    Attributes
    ----------
    attributor
        What made the attributions.
    sums
        Their sums over the cells of each group.
    layers
        What is kept of each cell.
    positions
        Positions of the model's genes among those of the data.
    groups, sizes
        Names of the groups and their numbers of cells.
    remembered
        Mean absolute attributions over the cells to remember alone, ``(n_genes, n_targets)``.
    """

    attributor: Attributor
    sums: Sums
    layers: dict[str, Any]
    positions: np.ndarray
    groups: list[str]
    sizes: np.ndarray
    remembered: np.ndarray

    @property
    def targets(self) -> list[str]:
        """Names of the targets."""
        return self.attributor.target.names

    @property
    def genes(self) -> pd.Index:
        """Names of the model's genes."""
        return self.attributor.adapter.genes

    def mean(self, part: str) -> np.ndarray:
        """Mean over all cells of "absolute" or "signed" attributions, ``(n_genes, n_targets)``."""
        return getattr(self.sums, part).sum(0) / self.sizes.sum()


def check_options(*, n_steps: int, n_references: int, **options: str) -> None:
    """Raise ValueError for an unknown option or a number that is not positive."""
    for name, value in options.items():
        if value not in _KNOWN[name]:
            message = f"{name}={value!r} was given; choose one of {list(_KNOWN[name])}."
            raise ValueError(message)
    for name, number in (("n_steps", n_steps), ("n_references", n_references)):
        if number < 1:
            message = f"{name}={number}; at least 1 is needed."
            raise ValueError(message)


def explain(  # noqa: PLR0913 - the arguments of the public function
    adata: AnnData,
    model: Any,
    *,
    target: Any,
    rng: np.random.Generator,
    key: str = "",
    method: str = "ig",
    baseline: Any = "mean",
    path: str = "log1p",
    n_steps: int = 50,
    n_references: int = 10,
    groupby: str | None = None,
    store: str = "mean",
    effects: bool = False,
    remember: np.ndarray | None = None,
    progress: bool = True,
) -> Explanation:
    """Explain all cells; see :func:`scgauge.tl.attribute`. Warns of what makes the result doubtful.

    `effects` are summed for groups in any case; `remember` are cells whose mean is also wanted by itself.
    """
    trained = adapt(model)
    genes = model_genes(adata, trained)
    codes, groups = np.zeros(adata.n_obs, dtype=int), np.array(["all"])
    if groupby is not None:
        labels = check_obs_key(adata, groupby, argument="groupby")
        codes, groups = as_groups(labels, adata.n_obs, name=f"adata.obs[{groupby!r}]")
    adapter = trained.on(adata if np.array_equal(genes, np.arange(adata.n_vars)) else adata[:, genes])
    resolved = resolve_target(adapter, target, rng)
    straight = path if adapter.encoder_network().reads_log else "input"
    baselines = _baselines(adapter, baseline, method, codes, groupby, n_references, (adata.n_vars, genes), rng)
    attributor = Attributor(adapter, resolved, method, straight, baselines, n_steps, _TOLERANCE)
    _warn_inactive(adapter, resolved.names, target)
    sums = Sums.zeros(len(groups), len(genes), len(resolved.names), effects=effects or groupby is not None)
    some = np.zeros(adata.n_obs, dtype=bool)
    some[np.empty(0, dtype=int) if remember is None else remember] = True
    remembered = Sums.zeros(1, len(genes), len(resolved.names))
    layers = _sum(attributor, (sums, remembered), codes, some, store, key, genes, adata.shape, progress=progress)
    _warn_incomplete(attributor)
    sizes = np.bincount(codes, minlength=len(groups)).astype(float)
    apart = remembered.absolute[0] / max(1, some.sum())
    return Explanation(attributor, sums, layers, genes, [str(group) for group in groups], sizes, apart)


def model_genes(adata: AnnData, adapter: Adapter) -> np.ndarray:
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
    into: tuple[Sums, Sums],
    codes: np.ndarray,
    some: np.ndarray,
    kept: str,
    key: str,
    genes: np.ndarray,
    shape: tuple[int, int],
    *,
    progress: bool,
) -> dict[str, Any]:
    """Pass over all cells: add to the sums of groups and of `some` cells, and return what is kept of each cell."""
    sums, remembered = into
    names = attributor.target.names
    parts: dict[str, list[Any]] = {name: [] for name in names} if kept != "mean" else {}
    with tqdm(total=len(codes), desc="Attributing", unit="cell", delay=2, disable=not progress) as bar:
        for cells, values in attributor.blocks(len(codes)):
            difference = attributor.difference(cells) if sums.effects else None
            for target, block in enumerate(values):
                sums.add(block, codes[cells], target, difference)
                if some[cells].any():
                    rows = np.flatnonzero(some[cells])
                    remembered.add(block[rows], np.zeros(len(rows), dtype=int), target)
                if kept == "layer":
                    dense = np.full((len(block), shape[1]), np.nan, dtype=np.float32)
                    dense[:, genes] = block.cpu().numpy()
                    parts[names[target]].append(dense)
                elif kept == "top":
                    parts[names[target]].append(_largest(block, genes, shape[1]))
            bar.update(len(cells))
    join = np.concatenate if kept == "layer" else lambda blocks: sparse.vstack(blocks, format="csr")
    return {f"{key}_{name}": join(blocks) for name, blocks in parts.items()}


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
        warnings.warn(message, UserWarning, stacklevel=4)


def _warn_inactive(adapter: Adapter, names: list[str], target: Any) -> None:
    if isinstance(target, dict) or callable(target) or names == ["elbo"]:
        return
    network, cells = adapter.encoder_network(), np.arange(min(adapter.matrix.shape[0], _CELLS_OF_SPREAD))
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
        warnings.warn(message, UserWarning, stacklevel=4)
