from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.stats import false_discovery_control, norm

from scgauge.metrics._label_shift import pair_of_labels
from scgauge.metrics._marginals import gene_marginals
from scgauge.metrics._points import Points, as_points

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def mean_decomposition(
    x: Points, y: Points, *, x_labels: ArrayLike | None = None, y_labels: ArrayLike | None = None
) -> pd.DataFrame:
    r"""Divide the difference of the means of two samples into one of proportions and one within labels.

    With the shares :math:`p_k, q_k` and the means :math:`\mu_k, \nu_k` of label :math:`k` in the two samples,

    .. math::

        \bar y - \bar x = \sum_k (q_k - p_k) \frac{\mu_k + \nu_k}{2} + \sum_k \frac{p_k + q_k}{2} (\nu_k - \mu_k) ,

    the decomposition of :cite:t:`Kitagawa55`: what other proportions of labels make of a variable, and what changed
    within labels. A label that one sample lacks has no mean there; its points count for the proportions alone. Standard
    errors are those of independent points; Benjamini and Hochberg adjust within each part.

    Parameters
    ----------
    x
        First sample, ``(n, p)``, dense or sparse.
    y
        Second sample, ``(m, p)``.
    x_labels
        Labels of the first sample, ``(n,)``. Without labels only the part ``"total"`` is returned.
    y_labels
        Labels of the second sample, ``(m,)``.

    Returns
    -------
    Long table: ``variable`` (column number), ``part`` (``"total"``, ``"composition"``, ``"within"`` or ``"label"``),
    ``label`` (for the part "label", the difference of this label), ``difference`` (second less first), ``z``,
    ``pvalue``, ``padj``.

    Raises
    ------
    TypeError
        If a sample is not numeric.
    ValueError
        If samples and labels do not fit together, or labels of one sample only are given.

    Examples
    --------
    >>> import numpy as np, scgauge
    >>> x, y = np.array([[0.0], [1.0], [4.0], [5.0]]), np.array([[0.0], [5.0], [4.0], [6.0]])
    >>> table = scgauge.metrics.mean_decomposition(x, y, x_labels=list("aabb"), y_labels=list("abbb"))
    >>> table["part"].tolist(), table["difference"].tolist()
    (['total', 'composition', 'within', 'label', 'label'], [1.25, 1.125, 0.125, -0.5, 0.5])
    """
    first, second = as_points(x, name="x"), as_points(y, name="y")
    if first.shape[1] != second.shape[1]:
        message = f"`x` has {first.shape[1]} columns and `y` has {second.shape[1]}; both need the same variables."
        raise ValueError(message)
    if (x_labels is None) != (y_labels is None):
        message = "Labels were given for one sample only; pass both `x_labels` and `y_labels`, or neither."
        raise ValueError(message)
    mean_x, error_x = _moments(first)
    mean_y, error_y = _moments(second)
    parts = [_part("total", "", mean_y - mean_x, error_x + error_y)]
    if x_labels is not None and y_labels is not None:
        codes_x, codes_y, names = pair_of_labels(x_labels, y_labels)
        if (len(codes_x), len(codes_y)) != (first.shape[0], second.shape[0]):
            message = (
                f"There are {first.shape[0]} and {second.shape[0]} rows and {len(codes_x)} and {len(codes_y)} labels; "
                "one label for each row is needed."
            )
            raise ValueError(message)
        parts += _by_label(first, second, codes_x, codes_y, names)
    return pd.concat(parts, ignore_index=True)


def _moments(points: Points) -> tuple[np.ndarray, np.ndarray]:
    """Mean and its squared standard error of every column; a single row has no error (NaN)."""
    marginals = gene_marginals(points)
    return marginals.mean, marginals.variance / points.shape[0]


def _by_label(
    first: Points, second: Points, codes_x: np.ndarray, codes_y: np.ndarray, names: np.ndarray
) -> list[pd.DataFrame]:
    n_labels, n_variables = len(names), first.shape[1]
    shares = [np.bincount(codes, minlength=n_labels) / len(codes) for codes in (codes_x, codes_y)]
    centre = np.zeros((n_labels, n_variables))
    within, within_error = np.zeros(n_variables), np.zeros(n_variables)
    labels = []
    for label, name in enumerate(names):
        inside = [points[codes == label] for points, codes in ((first, codes_x), (second, codes_y))]
        moments = [_moments(part) for part in inside if part.shape[0]]
        centre[label] = np.mean([mean for mean, _ in moments], axis=0)
        if len(moments) < 2:
            continue
        (mean_x, error_x), (mean_y, error_y) = moments
        weight = (shares[0][label] + shares[1][label]) / 2
        within += weight * (mean_y - mean_x)
        within_error += weight**2 * np.nan_to_num(error_x + error_y)
        labels.append(_part("label", str(name), mean_y - mean_x, error_x + error_y))
    composition = (shares[1] - shares[0]) @ centre
    # Variance of a mean of label centres under multinomial sampling, of each sample.
    spread = [share @ centre**2 - (share @ centre) ** 2 for share in shares]
    error = spread[0] / len(codes_x) + spread[1] / len(codes_y)
    return [_part("composition", "", composition, error), _part("within", "", within, within_error), *labels]


def _part(part: str, label: str, difference: np.ndarray, squared_error: np.ndarray) -> pd.DataFrame:
    error = np.sqrt(np.maximum(squared_error, 0))
    z = np.divide(difference, error, out=np.where(difference == 0, 0.0, np.nan), where=error > 0)
    pvalue = 2 * norm.sf(np.abs(z))
    padj = np.full(len(z), np.nan)
    tested = np.isfinite(pvalue)
    if tested.any():
        padj[tested] = false_discovery_control(pvalue[tested])
    columns = {"variable": np.arange(len(z)), "part": part, "label": label, "difference": difference}
    return pd.DataFrame({**columns, "z": z, "pvalue": pvalue, "padj": padj})
