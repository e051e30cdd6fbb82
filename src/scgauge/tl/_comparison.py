"""Parts of synthetic cells, training cells and wrong copies, each scored against the same cells held out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from scgauge.metrics import classifier_two_sample, independent_copy, poisson_copy
from scgauge.metrics import two_sample_test as compare_points
from scgauge.tl._cell_space import Cells
from scgauge.tl._fidelity import scores

#: Permutations of the energy test.
_N_PERMUTATIONS = 199
#: Most cells of a part or of the reference, and fewest for which anything is said.
MOST, FEWEST = 1500, 20
#: Genes named per group as those that give synthetic cells away.
_N_FEATURES = 50
#: Where ceiling and floor differ by less than this many standard errors nothing is scaled.
_SEPARATION = 3
#: Score above which a statistic counts no worse in the means of families: one alone should not decide them.
_WORST = 2


@dataclass
class Comparison:
    """Parts of synthetic and training cells and of wrong copies, each against the same real cells held out."""

    parts: dict[str, list[Cells]]
    reference: Cells
    n: int
    seed: int

    @classmethod
    def of(cls, sets: dict[str, Cells], n_splits: int, seed_rng: np.random.Generator) -> Comparison | None:
        """Divide the cells; ``None`` if there are too few."""
        n = min(MOST, *(len(sets[name]) // n_splits for name in ("train", "synthetic")))
        if n < FEWEST or len(sets["reference"]) < FEWEST:
            return None
        rng, synthetic_rng = seed_rng.spawn(2)  # floor and ceiling do not depend on the synthetic cells
        train, space = sets["train"].matrix, sets["train"].space
        copies = {
            "independent": Cells(independent_copy(train, rng=rng), space),
            "shuffled": Cells(train[:, rng.permutation(train.shape[1])], space),
        }
        if space.kind == "counts":
            copies["poisson"] = Cells(poisson_copy(train, rng=rng), space)
        reference = sets["reference"].take(np.sort(rng.permutation(len(sets["reference"]))[:MOST]))
        parts = {}
        for name, cells in {"synthetic": sets["synthetic"], "train": sets["train"], **copies}.items():
            order = (synthetic_rng if name == "synthetic" else rng).permutation(len(cells))
            parts[name] = [cells.take(np.sort(order[start * n : (start + 1) * n])) for start in range(n_splits)]
        return cls(parts, reference, n, int(rng.integers(2**31)))

    def _summary(self, name: str, yardstick: str | None = None) -> pd.DataFrame:
        """Mean and standard error over the parts of every property."""
        values = pd.DataFrame([scores(part, self.reference, yardstick, self.seed) for part in self.parts[name]])
        values.columns = pd.MultiIndex.from_tuples(values.columns, names=["family", "property", "statistic"])
        return pd.DataFrame({"value": values.mean(), "se": values.std(ddof=1) / np.sqrt(len(values))})

    def table(self) -> pd.DataFrame:
        """Scores between floor and ceiling."""
        table = self._summary("synthetic").join(self._summary("train").add_prefix("floor_"))
        ceilings = [
            self._summary(name, name).add_prefix("ceiling_").assign(yardstick=name)
            for name in self.parts
            if name not in {"synthetic", "train"}
        ]
        table = table.join(pd.concat(ceilings))
        table = table.rename(columns={"floor_value": "floor", "ceiling_value": "ceiling"}).reset_index()
        span = table["ceiling"] - table["floor"]
        clear = span.abs() >= _SEPARATION * np.hypot(table["floor_se"], table["ceiling_se"])
        table["scaled"] = ((table["value"] - table["floor"]) / span.where(span != 0)).where(clear)
        return pd.concat([table, pd.DataFrame([self._pvalues()])], ignore_index=True)

    def _pvalues(self) -> dict[str, Any]:
        """Permutation p-values of the energy test of the first parts against the reference."""
        row: dict[str, Any] = {"family": "joint", "property": "energy", "statistic": "p-value"}
        for column, name in (("value", "synthetic"), ("floor", "train"), ("ceiling", "independent")):
            points = self.parts[name][0].points
            test = compare_points(points, self.reference.points, n_permutations=_N_PERMUTATIONS, rng=self.seed)
            row[column] = test.pvalue
        return row | dict.fromkeys(("se", "floor_se", "ceiling_se", "scaled"), np.nan) | {"yardstick": "independent"}

    def features(self) -> pd.DataFrame:
        """Positions of the genes with the largest weights in a logistic regression of synthetic against real cells."""
        weights = np.mean(
            [
                classifier_two_sample(self.reference.top, part.top, rng=self.seed).weights
                for part in self.parts["synthetic"]
            ],
            axis=0,
        )
        order = np.argsort(-np.abs(weights), kind="stable")[:_N_FEATURES]
        return pd.DataFrame({"gene": order, "weight": weights[order]})


def overall(table: pd.DataFrame) -> pd.DataFrame:
    """Mean of the scaled scores of each property, then of each family, then of all, after limiting them."""
    clipped = table.assign(scaled=table["scaled"].clip(0, _WORST)).dropna(subset="scaled")
    by_property = clipped.groupby(["group", "family", "property"], sort=False)["scaled"].mean()
    by_family = by_property.groupby(level=["group", "family"], sort=False).mean().reset_index()
    of_all = by_family.groupby("group", sort=False)["scaled"].mean().reset_index().assign(family="all")
    return pd.concat([by_family, of_all], ignore_index=True)[["group", "family", "scaled"]]


def too_few(sets: dict[str, Cells], n_splits: int) -> str:
    found = ", ".join(f"{len(cells)} {name}" for name, cells in sets.items())
    return (
        f"Found {found} cells (half of the training cells teach the space). {FEWEST} reference cells and {FEWEST} for "
        f"each of n_splits={n_splits} parts of the others are needed. Draw more synthetic cells, hold out "
        "more, or lower n_splits."
    )
