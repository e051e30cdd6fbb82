from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn.functional import softplus

if TYPE_CHECKING:
    from torch import Tensor


class LotkaVolterra(nn.Module):
    r"""Prey and predator, for each pair of latent dimensions.

    With the positive coordinates :math:`u = \log(1 + e^z)`,

    .. math::

        \dot u_1 = \alpha u_1 - \beta u_1 u_2, \qquad \dot u_2 = \delta u_1 u_2 - \gamma u_2 ,

    and :math:`\dot z = \dot u / \sigma(z)`. The parameters are exponentials of `theta`, hence positive. Those named in
    `fixed` are known and not learned.

    Parameters
    ----------
    n_latent
        Dimension of the state, an even number.
    fixed
        Values of known parameters by name (``"alpha"``, ``"beta"``, ``"gamma"``, ``"delta"``), per unit of the time
        that the field is given.
    """

    names = ("alpha", "beta", "gamma", "delta")
    #: First value of the parameters (logarithms): about one turn in the time from the first to the last observation.
    first_theta = math.log(2 * math.pi)

    def __init__(self, n_latent: int, *, fixed: dict[str, float] | None = None) -> None:
        super().__init__()
        if n_latent % 2:
            message = f"n_latent={n_latent} was given; Lotka-Volterra needs pairs of dimensions, an even number."
            raise ValueError(message)
        unknown = sorted(set(fixed or {}) - set(self.names))
        if unknown or any(not value > 0 for value in (fixed or {}).values()):
            message = f"fixed={fixed!r} was given; known parameters are positive numbers by name, {list(self.names)}."
            raise ValueError(message)
        self.n_latent, self.n_pairs = n_latent, n_latent // 2
        self.fixed = dict(fixed or {})
        self.learned = [name for name in self.names if name not in self.fixed]
        self.n_theta = len(self.learned) * self.n_pairs
        suffixes = [""] if self.n_pairs == 1 else [str(pair) for pair in range(1, self.n_pairs + 1)]
        self.theta_names = [f"log_{name}{suffix}" for suffix in suffixes for name in self.learned]

    def parameters_of(self, theta: Tensor) -> dict[str, Tensor]:
        """Return the positive parameters by name, ``(n, n_pairs)`` each."""
        rows = theta.unflatten(-1, (self.n_pairs, len(self.learned))).exp()
        found = {name: rows[..., index] for index, name in enumerate(self.learned)}
        return found | {name: torch.full_like(rows[..., 0], value) for name, value in self.fixed.items()}

    def forward(self, t: Tensor, z: Tensor, theta: Tensor) -> Tensor:
        """Return the derivative ``(n, n_latent)`` at times ``(n, 1)`` and states ``(n, n_latent)``."""
        p = self.parameters_of(theta)
        prey, predator = softplus(z).unflatten(-1, (self.n_pairs, 2)).unbind(-1)
        met = prey * predator
        velocity = torch.stack((p["alpha"] * prey - p["beta"] * met, p["delta"] * met - p["gamma"] * predator), -1)
        return velocity.flatten(-2) / torch.sigmoid(z).clamp(min=1e-12)
