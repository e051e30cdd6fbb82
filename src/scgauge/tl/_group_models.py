"""Explanations of groups of cells by models of their own, brought to the latent space of the model of all cells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm.auto import tqdm

from scgauge._core.stored_rows import take_cells
from scgauge.metrics import match_loadings
from scgauge.tl._attribution_run import explain
from scgauge.tl._refit import fit_again

if TYPE_CHECKING:
    from collections.abc import Mapping

    from anndata import AnnData

    from scgauge.tl._attribution_run import Explanation


@dataclass(frozen=True)
class GroupPart:
    """Explanation of one group.

    Attributes
    ----------
    group, n_cells
        Its name and size.
    mean_abs, signed, effect
        Of each gene and target of the model of all cells, ``(n_genes, n_targets)``; NaN for targets without match.
    match
        Name of the matched target; empty without match.
    correlation
        Correlation of the matched targets over the cells of the group, ``(n_targets,)``.
    """

    group: str
    n_cells: int
    mean_abs: np.ndarray
    signed: np.ndarray
    effect: np.ndarray
    match: list[str]
    correlation: np.ndarray


def parts_of_one_model(found: Explanation) -> list[GroupPart]:
    """Split the explanation of all cells by the same model into its groups."""
    effects = found.sums.effect()
    return [
        GroupPart(
            group,
            int(size),
            found.sums.absolute[code] / size,
            found.sums.signed[code] / size,
            effects[code],
            found.targets,
            np.ones(len(found.targets)),
        )
        for code, (group, size) in enumerate(zip(found.groups, found.sizes, strict=True))
    ]


def parts_of_own_models(
    adata: AnnData,
    pooled: Explanation,
    labels: np.ndarray,
    *,
    fit: Any,
    models: Mapping[str, Any] | None,
    min_correlation: float,
    rng: np.random.Generator,
    progress: bool,
    **options: Any,
) -> list[GroupPart]:
    """Explain each group by its own model, given or fitted, and match its latent dimensions.

    Raises
    ------
    KeyError
        If a group has no model.
    ValueError
        If a model has other genes.
    """
    groups = sorted(set(labels))
    missing = [group for group in groups if models is not None and group not in models]
    if missing:
        message = f"`models` has no model for the group {missing[0]!r}; it has {sorted(models or {})}."
        raise KeyError(message)
    values = pooled.attributor.values(adata.n_obs)
    parts = []
    for group in tqdm(groups, desc="Explaining groups", unit="group", delay=2, disable=not progress):
        rows = labels == group
        cells = take_cells(adata, rows)
        seed = int(rng.integers(2**31))
        model = fit_again(fit, cells, seed) if models is None else models[group]
        found = explain(cells, model, target="latent", rng=rng, effects=True, progress=False, **options)
        parts.append(_matched(group, pooled, found, values[rows], min_correlation))
    return parts


def _matched(
    group: str, pooled: Explanation, found: Explanation, values: np.ndarray, min_correlation: float
) -> GroupPart:
    """Bring the explanation of a group to the targets of the model of all cells, with their signs."""
    order = found.genes.get_indexer(pooled.genes)
    if (order < 0).any() or len(found.genes) != len(pooled.genes):
        lost = pooled.genes.symmetric_difference(found.genes)
        message = f"The model of the group {group!r} and that of all cells differ in the genes {lost.tolist()[:5]}."
        raise ValueError(message)
    matching = match_loadings(values, found.attributor.values(len(values)))
    shape = len(pooled.genes), len(pooled.targets)
    mean_abs, signed, effect = (np.full(shape, np.nan) for _ in range(3))
    names = []
    correlation = matching.correlation.copy()
    for target, partner in enumerate(matching.match):
        if partner < 0 or not abs(correlation[target]) >= min_correlation:
            names.append("")
            continue
        names.append(found.targets[partner])
        sign = np.sign(correlation[target])
        mean_abs[:, target] = found.mean("absolute")[order, partner]
        signed[:, target] = sign * found.mean("signed")[order, partner]
        effect[:, target] = sign * found.sums.effect()[0][order, partner]
    return GroupPart(group, len(values), mean_abs, signed, effect, names, correlation)
