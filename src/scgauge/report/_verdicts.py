"""When a check is passed: the thresholds of all verdicts, and the sentences that say so.

They are conventions, named as such on the page. ``benchmarks/verdicts.py`` measures how real cells, Poisson copies and
independent-genes copies score.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from scgauge.report._section import Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

#: Worst family of the scoreboard: up to the first like real cells, from the second like a wrong copy.
SCOREBOARD = (0.2, 0.6)
#: Trustworthiness and continuity of an embedding: from the first good, below the second bad.
EMBEDDING = (0.9, 0.8)
#: Relative rise of the held-out loss above its minimum that counts as learning by heart, and the relative fall over
#: the last tenth of the epochs that counts as too short a training.
OVERFIT, UNFINISHED = 0.01, 0.005
#: Rank correlation of attributions with those of shuffled weights: up to the first the weights matter, from the second
#: they hardly do; and the completeness error above which attributions do not add up.
RANDOMISED, COMPLETENESS = (0.5, 0.8), 0.05
#: Distance of carried cells to later cells, over that of cells that stay: up to the first good, from the second bad.
DYNAMICS = (0.5, 1.0)

#: How a family of the scoreboard is called in a sentence.
FAMILIES = {
    "genes": "single genes",
    "cells": "cell totals",
    "pairs": "pairs of genes",
    "joint": "whole profiles",
}


def training(history: pd.Series | None) -> Verdict:
    """Judge a curve of the held-out negative ELBO."""
    if history is None or len(history) < 2:
        return Verdict(
            "unknown",
            "The loss of held-out cells was not recorded in training, so that learning by heart cannot be told. Train "
            "with train_size=0.9 and check_val_every_n_epoch=1.",
        )
    # Means over a twentieth of the epochs: with few cells held out, single epochs go up and down by chance.
    smooth = history.rolling(max(1, len(history) // 20), min_periods=1).mean()
    least, last = smooth.min(), smooth.iloc[-1]
    before = smooth.iloc[max(0, len(smooth) - 1 - max(1, len(smooth) // 10))]
    if last > least * (1 + OVERFIT):
        return Verdict(
            "caution",
            f"The loss of held-out cells rose by {100 * (last / least - 1):.1f} % after its best epoch: the model has "
            "begun to learn its cells by heart. Train with early_stopping=True.",
        )
    if before > last * (1 + UNFINISHED):
        return Verdict(
            "caution",
            f"The loss of held-out cells still fell by {100 * (before / last - 1):.1f} % over the last tenth of the "
            "epochs: training may have been too short.",
        )
    return Verdict("good", "Training has converged, and cells that were held out fit as well at the end as at best.")


def synthetic(overall: pd.Series) -> Verdict:
    """Judge synthetic cells by their families of scores (0 as real cells, 1 as a wrong copy)."""
    known = overall.reindex(list(FAMILIES)).dropna()
    if known.empty:
        return Verdict("unknown", "There are too few cells to tell synthetic cells from wrong copies.")
    worst = known.idxmax()
    good, bad = SCOREBOARD
    if known[worst] <= good:
        return Verdict("good", "Synthetic cells of this model cannot be told from real cells in anything that matters.")
    right = [FAMILIES[name] for name in known.index if known[name] <= good]
    kept = f" Right are {_listed(right)}." if right else ""
    if known[worst] < bad:
        return Verdict(
            "caution",
            f"Synthetic cells resemble real cells, but differ in {FAMILIES[worst]} (score {known[worst]:.2f}; 0 is as "
            f"real cells, 1 as a copy that has them wrong).{kept}",
        )
    return Verdict(
        "bad",
        f"Synthetic cells are wrong in {FAMILIES[worst]} (score {known[worst]:.2f}; 0 is as real cells, 1 as a copy "
        f"that has them wrong on purpose).{kept}",
    )


def memory(*, copies: bool) -> Verdict:
    """Judge whether synthetic cells are copies."""
    if copies:
        return Verdict("bad", "Synthetic cells lie closer to training cells than real cells do: some are copies.")
    return Verdict("good", "There is no sign that synthetic cells are copies of training cells.")


def embedding(trust: pd.DataFrame, k: int) -> Verdict:
    """Judge embeddings by their `trustworthiness`, `continuity` and `recall` at k neighbours, one row for each."""
    lowest = trust[["trustworthiness", "continuity"]].min(axis=1)
    basis = lowest.idxmin()
    row = trust.loc[basis]
    name = basis.removeprefix("X_")
    kept = f"{row['recall'] * k:.1f} of the {k} nearest neighbours of a cell are kept"
    good, bad = EMBEDDING
    if lowest[basis] >= good:
        return Verdict("good", f"Who is near whom can be read from the picture ({name}: {kept}), distances cannot.")
    if lowest[basis] >= bad:
        return Verdict("caution", f"The picture ({name}) misplaces part of the cells: {kept}.")
    return Verdict("bad", f"The picture ({name}) does not show who is near whom: {kept}.")


def explanation(randomised: pd.Series, completeness: float) -> Verdict:
    """Judge attributions by their rank correlation with those of shuffled weights, one value for each latent."""
    known = randomised.abs().dropna()
    if completeness > COMPLETENESS:
        return Verdict("bad", f"Attributions do not add up (error {100 * completeness:.1f} %): take more steps.")
    if known.empty:
        return Verdict("unknown", "Too few genes to compare with shuffled weights.")
    good, bad = RANDOMISED
    median = known.median()
    found = f"median rank correlation with a model of shuffled weights {median:.2f}"
    if median <= good:
        return Verdict("good", f"The genes named below come from what the model has learnt ({found}).")
    if median < bad:
        return Verdict("caution", f"Part of the ranking of genes comes from expression alone ({found}).")
    return Verdict("bad", f"The ranking of genes would be much the same without training ({found}).")


def dynamics(rows: Sequence[Mapping[str, float]]) -> Verdict:
    """Judge dynamics by the distances of followed cells and of cells that stay, to the cells of each later time."""
    shares = [row["followed"] / row["no change"] for row in rows if row["no change"] > 0]
    if not shares:
        return Verdict("unknown", "There is no later time to compare with.")
    found = f"{100 * (1 - max(shares)):.0f} % of the distance at the worst of {len(shares)} later times"
    good, bad = DYNAMICS
    if max(shares) <= good:
        return Verdict("good", f"The dynamics carry the first cells to where later cells lie ({found}).")
    if max(shares) < bad:
        return Verdict("caution", f"The dynamics carry the first cells only part of the way ({found}).")
    return Verdict("bad", f"At the worst of {len(shares)} later times the dynamics are no better than no change.")


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
