from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from scgauge._core.adapter import adapt
from scgauge._core.short_repr import short_repr
from scgauge.metrics import match_loadings
from scgauge.model._factors import can_rotate, factors_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scgauge.model._factors import Rotation


@dataclass(frozen=True)
class FactorMatching:
    """Factors of several runs, matched with those of the first.

    Attributes
    ----------
    matches
        One row for each run but the first and each factor of the first: ``run`` (its position), ``factor``, ``match``
        (the factor of the run; empty if it has fewer), ``correlation`` (over genes, signed).
    stability
        One row for each factor of the first run, in its order: ``factor``, ``mean``, ``median``, ``min`` and ``max`` of
        the absolute correlation over the other runs; 0 where a run has no such factor.
    rotation
        Rotation of the models before matching.
    """

    matches: pd.DataFrame
    stability: pd.DataFrame
    rotation: str | None

    __repr__ = short_repr


def match_factors(models: Sequence[Any], *, rotation: Rotation | None = "varimax") -> FactorMatching:
    """Match the factors of several runs one to one and measure how stable each factor is.

    Train the same model with several seeds, or on several parts of the data, and see which factors come back: pairs
    are chosen so that the sum of absolute correlations of their loadings is largest
    (:func:`scgauge.metrics.match_loadings`). The normal prior leaves factors free up to a rotation
    :cite:p:`Svensson20`; without `rotation` even equal models match badly.

    Parameters
    ----------
    models
        At least two: trained models with a linear decoder, or data frames of loadings, ``(n_genes, n_factors)``, which
        are taken as they are. The first is the reference.
    rotation
        ``"varimax"``, ``"svd"`` or ``None``; not applied to masked and non-negative models, whose factors are not free.

    Returns
    -------
    Matches and stability. Draw them with :func:`scgauge.pl.factor_stability`.

    Raises
    ------
    TypeError
        If a model has no linear decoder.
    RuntimeError
        If a model is not trained.
    ValueError
        If there are fewer than two runs or they have different genes.

    Examples
    --------
    >>> import numpy as np, pandas as pd, scgauge
    >>> one = pd.DataFrame(np.eye(4)[:, :2], index=list("abcd"), columns=["Z_0", "Z_1"])
    >>> other = -one.iloc[::-1][["Z_1", "Z_0"]].set_axis(["first", "second"], axis=1)
    >>> found = scgauge.tl.match_factors([one, other])
    >>> found.matches[["factor", "match", "correlation"]].round(3).to_numpy().tolist()
    [['Z_0', 'second', -1.0], ['Z_1', 'first', -1.0]]
    """
    runs = list(models)
    if len(runs) < 2:
        message = f"Found {len(runs)} run; matching needs at least 2."
        raise ValueError(message)
    tables = [_loadings(run, rotation) for run in runs]
    reference = tables[0]
    rows = []
    for number, table in enumerate(tables[1:], start=1):
        lost = reference.index.symmetric_difference(table.index)
        if len(lost):
            message = f"Run {number} and the first differ in {len(lost)} genes, for example {lost[0]!r}."
            raise ValueError(message)
        found = match_loadings(reference, table.loc[reference.index])
        names = np.array([*table.columns.astype(str), ""], dtype=object)[found.match]
        rows.append(
            pd.DataFrame(
                {
                    "run": number,
                    "factor": reference.columns.astype(str),
                    "match": names,
                    "correlation": found.correlation,
                }
            )
        )
    matches = pd.concat(rows, ignore_index=True)
    strength = matches.assign(strength=matches["correlation"].abs().fillna(0.0))
    grouped = strength.groupby("factor", sort=False)["strength"].agg(["mean", "median", "min", "max"])
    used = rotation if any(not isinstance(run, pd.DataFrame) for run in runs) else None
    return FactorMatching(matches=matches, stability=grouped.reset_index(), rotation=used)


def _loadings(run: Any, rotation: Rotation | None) -> pd.DataFrame:
    if isinstance(run, pd.DataFrame):
        return run.set_axis(run.index.astype(str))
    adapter = adapt(run)
    free = "loadings" not in adapter.capabilities or can_rotate(adapter)
    return factors_of(adapter, rotation=rotation if free else None, order=None).loadings
