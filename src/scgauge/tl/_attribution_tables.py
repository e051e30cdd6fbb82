"""Tables of what attributions sum to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import stats

from scgauge._core.sampling import stratified_rows
from scgauge.tl._attribution_sums import Sums

if TYPE_CHECKING:
    from scgauge.tl._attribution_sums import Attributor

#: Cells explained with shuffled weights; genes of a target in the table.
_NULL_CELLS, _TOP_GENES = 50, 50


def completeness_table(attributor: Attributor) -> pd.DataFrame:
    """Completeness error of each target; missing where nothing was integrated."""
    found = attributor.completeness
    none = attributor.baselines is None
    return pd.DataFrame(
        {
            "target": attributor.target.names,
            "error": np.nan if none else found.relative,
            "largest_change": np.nan if none else found.change,
            "n_steps": 0 if none else found.n_steps,
        }
    )


def null_cells(n_obs: int, rng: np.random.Generator) -> np.ndarray:
    """Draw the cells that are also explained with shuffled weights."""
    return stratified_rows(np.zeros(n_obs, dtype=int), _NULL_CELLS, rng)


def randomised_table(
    attributor: Attributor, cells: np.ndarray, true: np.ndarray, rng: np.random.Generator
) -> tuple[pd.DataFrame, np.ndarray]:
    """Attributions of some cells against those of the same network with shuffled weights.

    Parameters
    ----------
    attributor
        What explains the cells.
    cells
        The cells.
    true
        Their mean absolute attributions, ``(n_genes, n_targets)``.
    rng
        Source of the shuffled weights.

    Returns
    -------
    Table of the targets, and mean absolute attributions with shuffled weights, ``(n_genes, n_targets)``; NaN for what
    does not read the model.
    """
    names = attributor.target.names
    table = pd.DataFrame({"target": names, "spearman": np.nan, "null": np.nan})
    if not attributor.target.reads_model:
        return table, np.full(true.shape, np.nan)
    sums = Sums.zeros(1, *true.shape)
    for target, block in enumerate(attributor.randomised(rng).attributions(cells)):
        sums.add(block, np.zeros(len(block), dtype=int), target)
    shuffled = sums.absolute[0] / len(cells)
    for target in range(len(names)):
        if np.ptp(true[:, target]) > 0 and np.ptp(shuffled[:, target]) > 0:
            table.loc[target, "spearman"] = stats.spearmanr(true[:, target], shuffled[:, target]).statistic
    table["null"] = np.quantile(shuffled, 0.95, axis=0)
    return table, shuffled


def top_genes_table(
    mean_abs: np.ndarray, signed: np.ndarray, nulls: np.ndarray, genes: pd.Index, names: list[str]
) -> pd.DataFrame:
    """Genes of each target with the largest mean absolute attribution, largest first."""
    n_genes = min(_TOP_GENES, len(genes))
    tables = []
    for target, name in enumerate(names):
        largest = np.argpartition(-mean_abs[:, target], n_genes - 1)[:n_genes]
        order = largest[np.lexsort((largest, -mean_abs[largest, target]))]
        tables.append(
            pd.DataFrame(
                {
                    "target": name,
                    "rank": np.arange(1, n_genes + 1),
                    "gene": genes[order].to_numpy(dtype=object),
                    "mean_abs": mean_abs[order, target],
                    "signed": signed[order, target],
                    "null": nulls[order, target],
                }
            )
        )
    return pd.concat(tables, ignore_index=True)


def by_group_table(sums: Sums, sizes: np.ndarray, genes: pd.Index, groups: list[str], names: list[str]) -> pd.DataFrame:
    """Means over the cells of each group; text as categories, as every name stands many times."""
    shape = (len(groups), len(names), len(genes))
    group, target, gene = (index.ravel() for index in np.indices(shape))
    columns = {
        "group": pd.Categorical.from_codes(group, groups),
        "target": pd.Categorical.from_codes(target, names),
        "gene": pd.Categorical.from_codes(gene, genes),
    }
    for name, values in (("mean_abs", sums.absolute), ("signed", sums.signed)):
        columns[name] = (values / sizes[:, None, None]).transpose(0, 2, 1).ravel()
    columns["effect"] = sums.effect().transpose(0, 2, 1).ravel()
    return pd.DataFrame(columns)
