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
        #: Minibatches until the sum of a part was not finite any more, which it stays; read at the end.
        self.n_finite = torch.zeros(len(self.NAMES), dtype=torch.int64, device=device)

    @torch.no_grad()
    def add(self, losses: LossOutput) -> None:
        """Add the losses of a minibatch."""
        n_cells = losses.n_obs_minibatch
        sums = (losses.loss * n_cells, losses.reconstruction_loss_sum, losses.kl_local_sum, losses.kl_global_sum)
        self.sums += torch.stack([part.reshape(()) for part in sums])
        self.n_finite += self.sums.isfinite()
        for name, value in (losses.extra_metrics or {}).items():
            if not isinstance(value, torch.Tensor) or value.dim() == 0:
                self.extra[name] = self.extra.get(name, 0.0) + value * n_cells
        self.n_cells += n_cells
        self.n_batches += 1

    def fault(self) -> str:
        """Say which minibatch was the first whose loss was not finite, and what of it."""
        n_finite = dict(zip(self.NAMES, self.n_finite.tolist(), strict=True))
        number = min(n_finite.values())
        bad = {name for name, n in n_finite.items() if n == number}
        # What a module leaves out, scvi-tools fills with 0 times the loss.
        parts: list[str] = [name for name in ("reconstruction_loss", "kl_local") if name in bad]
        parts = parts or sorted(bad & {"kl_global"})
        cause = " and ".join(parts) or "loss"
        where = f"minibatch {number} (from 0) of {self.n_batches}"
        before = ": weights or data had become so before" if len(parts) == 2 else ""
        return f"Not finite from {where} on: {cause}{before}."

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
