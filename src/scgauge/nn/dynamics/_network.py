"""Fields whose shape a network learns; beyond the training times they come to rest instead of running away."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn.functional import softplus

if TYPE_CHECKING:
    from torch import Tensor

#: Raw value whose softplus is the first decay rate, about 0.05.
_FIRST_DECAY = -3.0


class _LearnedField(nn.Module):
    """Common part: what the network sees and what happens outside of the scaled times 0 to 1.

    Nothing is known of the field before the first and after the last training time. There it keeps the shape that it
    had at the end, and its speed falls by the factor e every `memory` of scaled time, so that a forecast moves on by
    at most ``speed * memory``.

    Parameters
    ----------
    n_latent
        Dimension of the state.
    n_hidden
        Width of the hidden layers.
    n_context
        Parameters of a group or an individual that the network also sees.
    """

    memory: Tensor
    horizon: Tensor

    def __init__(self, n_latent: int, *, n_hidden: int = 64, n_context: int = 0) -> None:
        super().__init__()
        self.n_latent, self.n_hidden, self.n_theta = n_latent, n_hidden, n_context
        self.n_seen = n_latent + 1 + n_context
        self.theta_names = [f"context{index}" for index in range(1, n_context + 1)]
        self.register_buffer("memory", torch.tensor(0.25))
        self.register_buffer("horizon", torch.tensor(1.0))

    def _seen(self, t: Tensor, z: Tensor, theta: Tensor) -> Tensor:
        # Times are centred like the latent points.
        return torch.cat((z, 4 * t.clamp(min=0).minimum(self.horizon) - 2, theta), dim=-1)

    def _pace(self, t: Tensor) -> Tensor:
        outside = (t - self.horizon).clamp(min=0) + (-t).clamp(min=0)
        return torch.exp(-outside / self.memory)


class Neural(_LearnedField):
    r"""Network with a decaying linear part, :math:`\dot z = g(z, t, \theta) - \lambda z`.

    The last hidden activation is bounded, and so is :math:`g`: no trajectory escapes.

    Parameters are those of every learned field.
    """

    def __init__(self, n_latent: int, **size: int) -> None:
        super().__init__(n_latent, **size)
        n_hidden = self.n_hidden
        self.network = nn.Sequential(
            nn.Linear(self.n_seen, n_hidden),
            nn.SiLU(),
            nn.Linear(n_hidden, n_hidden),
            nn.SiLU(),
            nn.Linear(n_hidden, n_hidden),
            nn.Tanh(),
            nn.Linear(n_hidden, n_latent),
        )
        self.raw_decay = nn.Parameter(torch.full((n_latent,), _FIRST_DECAY))

    def forward(self, t: Tensor, z: Tensor, theta: Tensor) -> Tensor:
        """Return the derivative ``(n, n_latent)`` at times ``(n, 1)`` and states ``(n, n_latent)``."""
        velocity = self.network(self._seen(t, z, theta)) - softplus(self.raw_decay) * z
        return velocity * self._pace(t)


class Potential(_LearnedField):
    r"""Descent in a landscape, :math:`\dot z = -\nabla_z V(z, t, \theta)`, with a bowl :math:`\lambda |z|^2 / 2` in V.

    Parameters are those of every learned field.
    """

    def __init__(self, n_latent: int, **size: int) -> None:
        super().__init__(n_latent, **size)
        n_hidden = self.n_hidden
        self.first = nn.Linear(self.n_seen, n_hidden)
        self.second = nn.Linear(n_hidden, n_hidden)
        self.last = nn.Linear(n_hidden, 1, bias=False)
        self.raw_decay = nn.Parameter(torch.full((n_latent,), _FIRST_DECAY))

    def potential(self, t: Tensor, z: Tensor, theta: Tensor) -> Tensor:
        """Return the height of the landscape, ``(n,)``."""
        h = softplus(self.second(softplus(self.first(self._seen(t, z, theta)))))
        return self.last(h)[:, 0] + (softplus(self.raw_decay) * z.square()).sum(-1) / 2

    def forward(self, t: Tensor, z: Tensor, theta: Tensor) -> Tensor:
        """Return the derivative ``(n, n_latent)`` at times ``(n, 1)`` and states ``(n, n_latent)``."""
        # The gradient by hand: it is needed where autograd is off, too.
        a = self.first(self._seen(t, z, theta))
        b = self.second(softplus(a))
        back = (self.last.weight * torch.sigmoid(b)) @ self.second.weight * torch.sigmoid(a)
        slope = back @ self.first.weight[:, : self.n_latent] + softplus(self.raw_decay) * z
        return -slope * self._pace(t)


class LocalLinear(_LearnedField):
    r"""Affine system that changes with place and time, :math:`\dot z = A(z, t) z + c(z, t)`.

    :math:`A = U V^\top - \operatorname{diag}(d)` with few columns in :math:`U` and :math:`V` and positive :math:`d`.

    Parameters are those of every learned field, and

    Parameters
    ----------
    n_latent
        Dimension of the state.
    rank
        Columns of :math:`U` and :math:`V`.
    **size
        Further arguments of every learned field.
    """

    def __init__(self, n_latent: int, *, rank: int = 2, **size: int) -> None:
        super().__init__(n_latent, **size)
        n_hidden = self.n_hidden
        self.rank = min(rank, n_latent)
        self.network = nn.Sequential(
            nn.Linear(self.n_seen, n_hidden),
            nn.SiLU(),
            nn.Linear(n_hidden, n_hidden),
            nn.Tanh(),
            nn.Linear(n_hidden, 2 * n_latent * self.rank + 2 * n_latent),
        )

    def local_system(self, t: Tensor, z: Tensor, theta: Tensor) -> tuple[Tensor, Tensor]:
        """Return matrices ``(n, n_latent, n_latent)`` and offsets ``(n, n_latent)`` at times and states."""
        size = self.n_latent * self.rank
        u, v, decay, offset = self.network(self._seen(t, z, theta)).split(
            (size, size, self.n_latent, self.n_latent), dim=-1
        )
        u, v = (part.unflatten(-1, (self.n_latent, self.rank)) for part in (u, v))
        pace = self._pace(t)
        matrix = u @ v.mT / self.n_latent - torch.diag_embed(softplus(decay + _FIRST_DECAY))
        return matrix * pace[:, None], offset * pace

    def forward(self, t: Tensor, z: Tensor, theta: Tensor) -> Tensor:
        """Return the derivative ``(n, n_latent)`` at times ``(n, 1)`` and states ``(n, n_latent)``."""
        matrix, offset = self.local_system(t, z, theta)
        return torch.einsum("nij,nj->ni", matrix, z) + offset
