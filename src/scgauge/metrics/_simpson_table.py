from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scgauge.metrics._points import as_dense, as_groups

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def simpson_table(outcome: ArrayLike, treatment: ArrayLike, *, stratum: ArrayLike) -> pd.DataFrame:
    """Compare the effect of a treatment in all data with its effect in each stratum (Simpson's paradox).

    Agreement in all strata is no proof of a cause: another division of the data may disagree.

    Parameters
    ----------
    outcome
        Outcome of each observation, ``(n,)`` numbers; 0 and 1 give rates.
    treatment
        Which of two treatments each observation got, ``(n,)``.
    stratum
        Stratum of each observation, ``(n,)``.

    Returns
    -------
    One row for all data (``scope`` "pooled") and one for each stratum: ``scope``, ``stratum``, ``first`` and
    ``second``, the treatments in the order of their names (or categories), ``mean_first`` and ``mean_second``,
    ``n_first``, ``n_second``, ``difference`` (first less second) and ``agrees``: whether its sign is that of all data.
    A stratum without one of the treatments has no difference (NaN) and does not disagree.

    Raises
    ------
    ValueError
        If there are not two treatments, lengths differ, a label is missing or an outcome is not finite.

    Examples
    --------
    >>> import scgauge
    >>> cured = [1, 1, 0, 1, 0, 0, 0, 1]
    >>> drug = ["A", "A", "A", "B", "B", "A", "B", "B"]
    >>> table = scgauge.metrics.simpson_table(cured, drug, stratum=["s"] * 4 + ["t"] * 4)
    >>> table["first"][0], table["mean_first"].round(2).tolist()
    ('A', [0.5, 0.67, 0.0])
    """
    values = as_dense(outcome, name="outcome")
    if values.ndim != 1 or not len(values) or not np.isfinite(values).all():
        message = f"`outcome` needs one finite number for each observation; found the shape {values.shape}."
        raise ValueError(message)
    arms, arm_names = as_groups(treatment, len(values), name="treatment")
    strata, names = as_groups(stratum, len(values), name="stratum")
    if len(arm_names) != 2:
        message = f"`treatment` has {len(arm_names)} values, {arm_names.tolist()[:5]}; two are needed."
        raise ValueError(message)
    everything = np.ones(len(values), dtype=bool)
    parts = [("pooled", "", everything)] + [("stratum", str(name), strata == code) for code, name in enumerate(names)]
    rows = []
    for scope, name, inside in parts:
        groups = [values[inside & (arms == arm)] for arm in (0, 1)]
        first, second = (float(group.mean()) if len(group) else np.nan for group in groups)
        rows.append((scope, name, *map(str, arm_names), first, second, len(groups[0]), len(groups[1]), first - second))
    columns = ["scope", "stratum", "first", "second", "mean_first", "mean_second", "n_first", "n_second", "difference"]
    table = pd.DataFrame(rows, columns=columns)
    difference = table["difference"]
    table["agrees"] = difference.isna() | (np.sign(difference) == np.sign(difference.iloc[0]))
    return table
