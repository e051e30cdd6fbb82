from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor


def layer_jacobian_norm(weight: Tensor, pre: Tensor, activation: Callable[[Tensor], Tensor]) -> Tensor:
    r"""Squared Frobenius norm of the Jacobian of one layer :math:`h = \varphi(W x + b)`, in closed form.

    .. math::

        \lVert J \rVert_F^2 = \sum_j \varphi'(a_j)^2 \sum_i W_{ji}^2, \qquad a = W x + b.

    Parameters
    ----------
    weight
        :math:`W`, ``(n_out, n_in)``.
    pre
        Pre-activations :math:`a`, ``(n_cells, n_out)``.
    activation
        :math:`\varphi`, applied entry by entry.

    Returns
    -------
    Norm of each cell, ``(n_cells,)``, with its gradient.
    """
    with torch.enable_grad():
        at = pre if pre.requires_grad else pre.detach().requires_grad_()
        (slope,) = torch.autograd.grad(activation(at).sum(), at, create_graph=True)
    return slope.square() @ weight.square().sum(1)


def hutchinson_jacobian_norm(z: Tensor, x: Tensor, *, n_probes: int = 1) -> Tensor:
    r"""Unbiased estimate of the squared Frobenius norm of :math:`\partial z / \partial x`.

    :math:`\lVert J \rVert_F^2 = \operatorname{E}_v \lVert v^\top J \rVert^2` for :math:`v` of independent signs: one
    backward pass for each probe, whatever the depth of the network.

    Parameters
    ----------
    z
        Outputs, ``(n_cells, n_out)``, computed from `x` cell by cell.
    x
        Inputs that require gradients, ``(n_cells, n_in)``.
    n_probes
        Number of random vectors for each cell.

    Returns
    -------
    Estimate of each cell, ``(n_cells,)``, with its gradient.
    """
    total = x.new_zeros(len(x))
    for _ in range(n_probes):
        signs = torch.randint(0, 2, z.shape, device=z.device).to(z.dtype) * 2 - 1
        (product,) = torch.autograd.grad(z, x, grad_outputs=signs, create_graph=True)
        total = total + product.square().sum(1)
    return total / n_probes
