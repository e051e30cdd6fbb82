from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from torch import Tensor

#: Smallest share of a group in a snapshot.
_SMALLEST_SHARE = 1e-8


class GroupMixture(nn.Module):
    r"""Where the groups of cells lie at each training time: one normal distribution for each group and snapshot.

    .. math::

        p(z \mid t) = \sum_k \pi_{kt} \, \mathcal{N}(z; \mu_{kt}, \Sigma_{kt}), \qquad
        r_k(z, t) = \frac{\pi_{kt} \, \mathcal{N}(z; \mu_{kt}, \Sigma_{kt})}{p(z \mid t)}

    Between two snapshots shares, means and covariances lie on the straight line between theirs; before the first and
    after the last they stay. Until they have been fitted all groups are the same.

    Parameters
    ----------
    n_groups
        Number of groups.
    n_times
        Number of snapshots.
    n_latent
        Dimension of the latent points.
    """

    mean: Tensor
    covariance: Tensor
    share: Tensor

    def __init__(self, n_groups: int, n_times: int, n_latent: int) -> None:
        super().__init__()
        self.n_groups = n_groups
        double = torch.float64
        self.register_buffer("mean", torch.zeros(n_times, n_groups, n_latent, dtype=double))
        self.register_buffer("covariance", torch.eye(n_latent, dtype=double).repeat(n_times, n_groups, 1, 1))
        self.register_buffer("share", torch.full((n_times, n_groups), 1 / n_groups, dtype=double))

    def set(self, mean: Tensor, covariance: Tensor, share: Tensor) -> None:
        """Set means ``(n_times, n_groups, n_latent)``, covariances and shares ``(n_times, n_groups)``."""
        self.mean.copy_(mean)
        self.covariance.copy_(covariance)
        self.share.copy_(share)

    def log_joint(self, z: Tensor, t: Tensor, times: Tensor) -> Tensor:
        r"""Return :math:`\log \pi_{kt} \mathcal{N}(z; \mu_{kt}, \Sigma_{kt})`.

        Parameters
        ----------
        z
            Latent points, ``(n, n_latent)``.
        t
            Their times, ``(n,)``.
        times
            Times of the snapshots on the same scale, sorted, ``(n_times,)``.

        Returns
        -------
        Logarithms, ``(n, n_groups)``, double precision.
        """
        z, t, times = z.double(), t.double(), times.double()
        result = z.new_empty(len(z), self.n_groups)
        for time in t.unique():
            here = t == time
            after = int(torch.searchsorted(times, time).clamp(1, len(times) - 1))
            weight = ((time - times[after - 1]) / (times[after] - times[after - 1])).clamp(0, 1)
            mean, covariance, share = (
                torch.lerp(part[after - 1], part[after], weight) for part in (self.mean, self.covariance, self.share)
            )
            factor = torch.linalg.cholesky(covariance)
            offset = (z[here][:, None] - mean).permute(1, 2, 0)  # (n_groups, n_latent, n_here)
            scaled = torch.linalg.solve_triangular(factor, offset, upper=False)
            log_volume = factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
            constant = share.clamp(min=_SMALLEST_SHARE).log() - log_volume - z.shape[1] / 2 * math.log(2 * math.pi)
            result[here] = (constant[:, None] - scaled.square().sum(1) / 2).T
        return result

    def probability(self, z: Tensor, t: Tensor, times: Tensor) -> Tensor:
        """Return the probability of each group, ``(n, n_groups)``; arguments as for `log_joint`."""
        return self.log_joint(z, t, times).softmax(-1)
