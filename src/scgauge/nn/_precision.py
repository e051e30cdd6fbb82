"""Numbers that keep their precision and their range where the layers before give less of either."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

#: Logarithms of variances and dispersions beyond this do not fit into float32 with their squares.
LARGEST_LOG = 30.0


def full_precision(x: Tensor) -> Tensor:
    """Return a tensor of a 16-bit type as float32, any other as it is."""
    return x.float() if x.dtype in {torch.float16, torch.bfloat16} else x


def limited(log: Tensor) -> Tensor:
    """Return logarithms within `LARGEST_LOG` on both sides; gradients pass as if nothing were limited, and lead back.

    Inputs of no common scale (a covariate in the thousands) drive a first step to exponentials that overflow.
    """
    excess = log - log.clamp(-LARGEST_LOG, LARGEST_LOG)
    return log - excess.detach()
