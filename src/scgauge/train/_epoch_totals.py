from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

    from scvi.module.base import LossOutput


class EpochTotals:
    """Losses of an epoch, added up where they are computed and read once, at its end.

    Parameters
    ----------
    device
        Device of the losses.
    """

    NAMES = ("loss", "reconstruction_loss", "kl_local", "kl_global")

    def __init__(self, device: torch.device) -> None:
        # A million float32 losses would lose digits; Apple's devices know nothing longer.
        self.dtype = torch.float32 if device.type == "mps" else torch.float64
        self.sums = torch.zeros(len(self.NAMES), dtype=self.dtype, device=device)
        self.extra: dict[str, Any] = {}
        self.n_cells = self.n_batches = 0

    @torch.no_grad()
    def add(self, losses: LossOutput) -> None:
        """Add the losses of a minibatch."""
        n_cells = losses.n_obs_minibatch
        sums = (losses.loss * n_cells, losses.reconstruction_loss_sum, losses.kl_local_sum, losses.kl_global_sum)
        self.sums += torch.stack([part.detach().reshape(()) for part in sums])
        for name, value in (losses.extra_metrics or {}).items():
            if not isinstance(value, torch.Tensor) or value.dim() == 0:
                self.extra[name] = self.extra.get(name, 0.0) + value * n_cells
        self.n_cells += n_cells
        self.n_batches += 1

    def means(self, n_all: int | None, *, reduce: Callable[..., torch.Tensor]) -> dict[str, torch.Tensor]:
        """Return means over cells (``kl_global`` over minibatches), and the negative ELBO.

        Parameters
        ----------
        n_all
            Number of cells of the whole set, which share the global divergence; ``None`` counts as one.
        reduce
            Adds up over processes.
        """
        numbers = torch.tensor([self.n_cells, self.n_batches], dtype=self.dtype, device=self.sums.device)
        extra = [torch.as_tensor(value, dtype=self.dtype, device=self.sums.device) for value in self.extra.values()]
        totals = reduce(torch.cat((self.sums, numbers, torch.stack(extra) if extra else numbers[:0])), reduce_op="sum")
        loss, reconstruction, kl_local, kl_global, n_cells, n_batches = totals[:6]
        kl_global = kl_global / n_batches
        means = {
            "loss": loss / n_cells,
            "elbo": (reconstruction + kl_local) / n_cells + kl_global / max(n_all or 1, 1),
            "reconstruction_loss": reconstruction / n_cells,
            "kl_local": kl_local / n_cells,
            "kl_global": kl_global,
        }
        means |= {name: total / n_cells for name, total in zip(self.extra, totals[6:], strict=True)}
        return {name: value.float() for name, value in means.items()}
