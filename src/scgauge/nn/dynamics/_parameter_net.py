from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from torch import Tensor

#: Spread of the first values of shared parameters.
_SPREAD = 0.1


class ParameterNet(nn.Module):
    r"""Parameters of the dynamics of each individual, :math:`\theta_i = \theta_{k(i)} + g(y_i)`.

    :math:`\theta_k` is shared by a group; the network :math:`g` of the baseline variables :math:`y_i` starts at zero,
    so that individuals differ only where the data ask for it. In training a share of the baseline variables is hidden
    from it at random, so that it cannot recognise single individuals by variables that say nothing.

    Parameters
    ----------
    n_theta
        Number of parameters of the field.
    n_baseline
        Number of baseline variables, 0 for none.
    n_groups
        Number of groups.
    n_hidden
        Width of the hidden layer of :math:`g`.
    dropout
        Share of the baseline variables that is hidden in training.
    first
        First value of the shared parameters, but for a small random part.
    """

    mean: Tensor
    sd: Tensor

    def __init__(
        self,
        n_theta: int,
        *,
        n_baseline: int = 0,
        n_groups: int = 1,
        n_hidden: int = 32,
        dropout: float = 0.0,
        first: float = 0.0,
    ) -> None:
        super().__init__()
        self.n_theta, self.n_baseline, self.n_groups = n_theta, n_baseline, n_groups
        self.shared = nn.Parameter(first + _SPREAD * torch.randn(n_groups, n_theta))
        self.hide = nn.Dropout(dropout)
        # Baseline variables are measured in any unit.
        self.register_buffer("mean", torch.zeros(n_baseline))
        self.register_buffer("sd", torch.ones(n_baseline))
        self.network = None
        if n_baseline and n_theta:
            last = nn.Linear(n_hidden, n_theta)
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)
            self.network = nn.Sequential(nn.Linear(n_baseline, n_hidden), nn.Tanh(), last)

    def individual(self, baseline: Tensor) -> Tensor:
        """Return :math:`g(y_i)`, ``(n, n_theta)``."""
        if self.network is None:
            return baseline.new_zeros(len(baseline), self.n_theta)
        return self.network(self.hide((baseline - self.mean) / self.sd))

    def learn_scale(self, baseline: Tensor) -> None:
        """Standardise by the means and standard deviations of some rows, ``(n, n_baseline)``."""
        if not self.n_baseline:
            return
        # On the CPU: not every device has 64 bits.
        sd, mean = torch.std_mean(baseline.cpu().double(), 0, correction=0)
        self.mean.copy_(mean)
        # A constant is one up to rounding.
        self.sd.copy_(torch.where(sd > 1e-6 * mean.abs(), sd, 1.0))

    def forward(self, group: Tensor, baseline: Tensor | None = None) -> Tensor:
        """Return the parameters of each individual.

        Parameters
        ----------
        group
            Weights of the groups, ``(n, n_groups)``; rows sum to 1.
        baseline
            Baseline variables, ``(n, n_baseline)``.

        Returns
        -------
        Parameters, ``(n, n_theta)``.
        """
        theta = group @ self.shared
        return theta if baseline is None else theta + self.individual(baseline)

    def shrinkage(self, baseline: Tensor) -> Tensor:
        """Return the mean square of what individuals add to their group, a scalar."""
        if self.network is None:
            return baseline.new_zeros(())
        return self.individual(baseline).square().sum(-1).mean()

    def group_lasso(self) -> Tensor:
        """Return the sum over baseline variables of the norm of their weights, which selects variables; a scalar."""
        if self.network is None:
            return self.shared.new_zeros(())
        weight = self.network.get_submodule("0").get_parameter("weight")
        return weight.square().sum(0).clamp(min=1e-12).sqrt().sum()
