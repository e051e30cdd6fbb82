from __future__ import annotations

from typing import Any

import torch

#: Devices whose copies have to be waited for, as Lightning has it.
_WAITED_FOR = {"cpu", "mps"}


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
    """
    queued = torch.device(device).type not in _WAITED_FOR
    return torch.as_tensor(array, dtype=dtype).to(device, non_blocking=queued)
