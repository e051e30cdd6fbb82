from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from scvi import REGISTRY_KEYS

from scgauge.nn import SparseRows

if TYPE_CHECKING:
    from scvi.module.base import BaseModuleClass, LossOutput


class CompiledLosses:
    """Forward pass and loss of full minibatches as one compiled graph, whose shapes do not depend on the counts.

    Sparse minibatches become dense on their device before. What changes from epoch to epoch enters as a tensor, so that
    one graph serves the whole run. On a GPU it is recorded (CUDA graphs), since kernels of this size take less time
    than their launch.

    Parameters
    ----------
    module
        The module to train.
    device
        Device of the minibatches.
    **options
        Arguments of :func:`torch.compile`.
    """

    def __init__(self, module: BaseModuleClass, device: torch.device, **options: Any) -> None:
        def losses(tensors: dict[str, torch.Tensor], loss_kwargs: dict[str, Any]) -> LossOutput:
            return module.forward(tensors, loss_kwargs=loss_kwargs)[2]

        # torch compiles one code for a few models only, then gives up: each training gets a code of its own.
        losses.__code__ = losses.__code__.replace()
        if device.type == "cuda" and not {"mode", "backend", "options"} & set(options):
            options["mode"] = "reduce-overhead"
        self._compiled = torch.compile(losses, **{"fullgraph": True, "dynamic": False} | options)
        self._device = device
        self._size: int | None = None

    def takes(self, batch: dict[str, Any]) -> bool:
        """Whether a minibatch is full, which the first one of a run is; a last one may not be."""
        n_cells = len(batch[REGISTRY_KEYS.X_KEY])
        self._size = self._size or n_cells
        return n_cells == self._size

    def __call__(self, batch: dict[str, Any], loss_kwargs: dict[str, Any]) -> LossOutput:
        """Return the losses of a full minibatch."""
        x = batch[REGISTRY_KEYS.X_KEY]
        if isinstance(x, SparseRows):
            batch = batch | {REGISTRY_KEYS.X_KEY: x.to_dense()}
        if "kl_weight" in loss_kwargs:
            weight = torch.as_tensor(loss_kwargs["kl_weight"], dtype=torch.float32, device=self._device)
            loss_kwargs = loss_kwargs | {"kl_weight": weight}
        if self._device.type == "cuda":
            torch.compiler.cudagraph_mark_step_begin()
        return self._compiled(batch, loss_kwargs)
