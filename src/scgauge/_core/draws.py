"""Draws from a decoded likelihood with numpy Generators.

Each kind of random number has a stream of its own that is read cell by cell in order, so that the same seed gives
the same cells whatever the number of cells decoded at once.
"""

from __future__ import annotations

import numpy as np

#: Inverse dispersions above this are Poisson to float precision; the gamma law there is its mean.
_POISSON_ABOVE = 1e9


class LikelihoodSampler:
    """Draws of data given the parameters that a decoder returns.

    Parameters
    ----------
    likelihood
        One of ``"zinb"``, ``"nb"``, ``"poisson"``, ``"bernoulli"``, ``"normal"``.
    rng
        Generator whose children are the streams.
    """

    def __init__(self, likelihood: str, rng: np.random.Generator) -> None:
        self.likelihood = likelihood
        self._rate, self._data, self._zeros = rng.spawn(3)

    def draw(self, parameters: dict[str, np.ndarray]) -> np.ndarray:
        """Draw one value for each cell and gene, ``(n_cells, n_genes)``.

        Parameters
        ----------
        parameters
            ``"mean"``, ``"dispersions"`` and ``"dropout"`` as `likelihood_parameters` names them.

        Raises
        ------
        FloatingPointError
            If a decoded mean is not finite.
        """
        mean = parameters["mean"]
        if not np.isfinite(mean).all():
            message = (
                f"{int((~np.isfinite(mean)).sum())} decoded means are not finite: the model has diverged or the "
                "library sizes are beyond reason. Train again, with a lower learning rate."
            )
            raise FloatingPointError(message)
        if self.likelihood == "normal":
            return self._data.normal(mean, parameters["dispersions"])
        if self.likelihood == "bernoulli":
            return (self._data.random(mean.shape) < mean).astype(float)
        if self.likelihood == "poisson":
            return self._data.poisson(mean).astype(float)
        theta = parameters["dispersions"]
        is_poisson = theta > _POISSON_ABOVE
        shape = np.where(is_poisson, 1.0, theta)
        rate = np.where(is_poisson, mean, self._rate.standard_gamma(shape) * (mean / shape))
        counts = self._data.poisson(rate).astype(float)
        if self.likelihood == "zinb":
            counts[self._zeros.random(mean.shape) < parameters["dropout"]] = 0
        return counts
