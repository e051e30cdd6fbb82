from __future__ import annotations

from typing import Any

import torch
from lightning.fabric.utilities import move_data_to_device


def to_device(array: Any, device: torch.device | str, dtype: torch.dtype | None = None) -> torch.Tensor:
    """Hand numbers of the host to a device, without waiting for what the device still has to do.

    :func:`torch.as_tensor` would let the host wait, and the device then waits for its next orders. The array may be
    changed or given up afterwards: what is not in pinned memory is copied before this returns.

    Parameters
    ----------
    array
        Array, tensor on the host (or on the device already), or number.
    device
        Where it goes.
    dtype
        Type there.

    Returns
    -------
    Tensor on the device; the array itself where it is there already.
    """
    moved: torch.Tensor = move_data_to_device(torch.as_tensor(array, dtype=dtype), device)
    return moved
