from __future__ import annotations

import numpy as np
import torch

from scgauge._core.optional import need
from scgauge.metrics._points import Points, as_dense_points


def sinkhorn_divergence(x: Points, y: Points, *, blur: float = 0.05) -> float:
    r"""Sinkhorn divergence between two samples: optimal transport with entropy, without its bias.

    :math:`S = \mathrm{OT}_\varepsilon(X, Y) - \tfrac12 \mathrm{OT}_\varepsilon(X, X) - \tfrac12
    \mathrm{OT}_\varepsilon(Y, Y)` with the cost :math:`|x-y|^2/2` and :math:`\varepsilon = \mathrm{blur}^2`
    :cite:p:`Feydy19`, by geomloss. It is 0 for equal samples, which :math:`\mathrm{OT}_\varepsilon` is not, and half
    the squared Wasserstein-2 distance for a small blur. Time and memory grow with the product of the sizes.

    Parameters
    ----------
    x
        First sample, ``(n, p)``.
    y
        Second sample, ``(m, p)``.
    blur
        Length below which differences are smoothed, in the units of the data.

    Returns
    -------
    The divergence, in squared units of the data.

    Raises
    ------
    TypeError
        If a sample is sparse, an AnnData or not numeric.
    ValueError
        If a sample is not 2-D, is empty or has values that are not finite, the numbers of columns differ, or ``blur``
        is not positive.
    ImportError
        If geomloss is not installed.

    Examples
    --------
    >>> import numpy as np, scgauge
    >>> x, y = np.array([[0.0], [2.0]]), np.array([[1.0], [3.0]])
    >>> round(scgauge.metrics.sinkhorn_divergence(x, y, blur=0.01), 3)
    0.5
    """
    first, second = (as_dense_points(points, name=name) for points, name in ((x, "x"), (y, "y")))
    if first.shape[1] != second.shape[1]:
        message = f"`x` has {first.shape[1]} columns and `y` has {second.shape[1]}; both need the same variables."
        raise ValueError(message)
    if not blur > 0:
        message = f"blur={blur} was given; it must be positive."
        raise ValueError(message)
    geomloss = need("geomloss", extra="ot", purpose="Sinkhorn divergences")
    loss = geomloss.SamplesLoss("sinkhorn", p=2, blur=blur, scaling=0.9, backend="tensorized")
    left, right = (torch.as_tensor(np.ascontiguousarray(part, dtype=np.float64)) for part in (first, second))
    return max(0.0, float(loss(left, right)))
