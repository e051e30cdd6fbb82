from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from scgauge._core.compat import shares_cells

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn


def check_processes(arguments: Mapping[str, Any], *, alone: str | None) -> None:
    """Raise ValueError, before any process starts, if several processes would train a model wrongly.

    Parameters
    ----------
    arguments
        Arguments of ``train`` by name.
    alone
        Why the model is trained by one process; ``None`` if several can share the cells.

    Raises
    ------
    ValueError
        If several devices or nodes are asked for without ``strategy="ddp"``, or of a model that is trained by one.
    """
    strategy = arguments.get("strategy") or "auto"
    n_devices, n_nodes = _n_devices(arguments.get("devices", 1)), arguments.get("num_nodes") or 1
    shared = shares_cells(strategy)
    if alone is not None and (shared or n_devices * n_nodes > 1):
        message = f"{alone} It is trained by one process: leave out `strategy`, and pass devices=1."
        raise ValueError(message)
    if strategy == "auto" and n_devices * n_nodes > 1:
        message = (
            f"devices={arguments.get('devices', 1)!r}, num_nodes={n_nodes} were given without a strategy, so that each "
            "process would go over all cells. Pass strategy='ddp' to share them, or devices=1."
        )
        raise ValueError(message)


def _n_devices(devices: Any) -> int:
    """Return the number of devices that an argument of Lightning stands for; of ``"auto"`` scvi-tools takes one."""
    if isinstance(devices, list | tuple):
        return len(devices)
    if isinstance(devices, str) and "," in devices:
        return len([part for part in devices.split(",") if part.strip()])
    if devices in (-1, "-1"):
        return max(1, torch.cuda.device_count())
    return int(devices) if isinstance(devices, int) or str(devices).isdigit() else 1


def is_shared() -> bool:
    """Whether several processes train together at this moment."""
    return torch.distributed.is_available() and torch.distributed.is_initialized()


def all_rows(part: torch.Tensor) -> torch.Tensor:
    """Rows of all processes, in the order of the processes; each has as many of them."""
    parts = [torch.empty_like(part) for _ in range(torch.distributed.get_world_size())]
    if part.numel():
        torch.distributed.all_gather(parts, part.contiguous())
    return torch.cat(parts)


def take_from_first(module: nn.Module) -> None:
    """Give all processes the parameters and buffers of the first."""
    for tensor in (*module.parameters(), *module.buffers()):
        torch.distributed.broadcast(tensor.detach(), 0)
