r"""Fields that are affine in the state, :math:`\dot z = A z + c`: they have a closed solution."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn.functional import softplus

if TYPE_CHECKING:
    from torch import Tensor

#: Slowest decay of a stable system, per unit of scaled time.
_SLOWEST_DECAY = 1e-3


class _AffineField(nn.Module):
    """Common part: the derivative follows from the system of a cell.

    Parameters
    ----------
    n_latent
        Dimension of the state.
    stable
        Whether every real part of the spectrum is negative, so that forecasts stay bounded.
    """

    n_theta: int
    theta_names: list[str]

    def __init__(self, n_latent: int, *, stable: bool = False) -> None:
        super().__init__()
        self.n_latent, self.stable = n_latent, stable

    def system(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        """Return matrices ``(n, n_latent, n_latent)`` and offsets ``(n, n_latent)`` of parameters ``(n, n_theta)``."""
        raise NotImplementedError

    def forward(self, t: Tensor, z: Tensor, theta: Tensor) -> Tensor:
        """Return the derivative ``(n, n_latent)`` at times ``(n, 1)`` and states ``(n, n_latent)``."""
        matrix, offset = self.system(theta)
        return torch.einsum("nij,nj->ni", matrix, z) + offset

    def _names(self, letter: str, *, square: bool) -> list[str]:
        axis = range(1, self.n_latent + 1)
        return [f"{letter}{i}{j}" for i in axis for j in axis] if square else [f"{letter}{i}" for i in axis]

    def _matrix(self, theta: Tensor) -> Tensor:
        """Matrix of free parameters ``(n, n_latent ** 2)``, or the stable one that they describe."""
        free = theta.unflatten(-1, (self.n_latent, self.n_latent))
        if not self.stable:
            return free
        # S - Q Q^T - eps I with a skew S: the symmetric part is negative definite, hence every real part negative.
        upper = free.triu(1)
        lower = free.tril()
        eye = torch.eye(self.n_latent, dtype=theta.dtype, device=theta.device)
        return upper - upper.mT - lower @ lower.mT - _SLOWEST_DECAY * eye


class Drift(_AffineField):
    r"""Constant velocity, :math:`\dot z = c`."""

    def __init__(self, n_latent: int, *, stable: bool = False) -> None:
        super().__init__(n_latent, stable=stable)
        self.n_theta, self.theta_names = n_latent, self._names("c", square=False)

    def system(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        """Return the system, see `Affine`."""
        return theta.new_zeros(len(theta), self.n_latent, self.n_latent), theta


class DiagonalLinear(_AffineField):
    r"""Growth or decay of each dimension by itself, :math:`\dot z = \operatorname{diag}(a) z`."""

    def __init__(self, n_latent: int, *, stable: bool = False) -> None:
        super().__init__(n_latent, stable=stable)
        self.n_theta, self.theta_names = n_latent, self._names("a", square=False)

    def system(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        """Return the system, see `Affine`."""
        rate = -softplus(theta) - _SLOWEST_DECAY if self.stable else theta
        return torch.diag_embed(rate), torch.zeros_like(theta)


class Linear(_AffineField):
    r"""Linear system, :math:`\dot z = A z`."""

    def __init__(self, n_latent: int, *, stable: bool = False) -> None:
        super().__init__(n_latent, stable=stable)
        self.n_theta, self.theta_names = n_latent**2, self._names("a", square=True)

    def system(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        """Return the system, see `Affine`."""
        return self._matrix(theta), theta.new_zeros(len(theta), self.n_latent)


class Affine(_AffineField):
    r"""Linear system with inflow, :math:`\dot z = A z + c`."""

    def __init__(self, n_latent: int, *, stable: bool = False) -> None:
        super().__init__(n_latent, stable=stable)
        self.n_theta = n_latent**2 + n_latent
        self.theta_names = self._names("a", square=True) + self._names("c", square=False)

    def system(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        """Return matrices ``(n, n_latent, n_latent)`` and offsets ``(n, n_latent)`` of parameters ``(n, n_theta)``."""
        square = self.n_latent**2
        return self._matrix(theta[:, :square]), theta[:, square:]
