from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import pyro
import torch
from scvi import REGISTRY_KEYS
from scvi.train import LowLevelPyroTrainingPlan

from scgauge.train._plan import warmup_epochs

if TYPE_CHECKING:
    from scgauge.module import BayesianLDVAE


#: Learning rate at the end of a run, as a share of that at its start.
LAST_LEARNING_RATE = 0.05


class BayesianTrainingPlan(LowLevelPyroTrainingPlan):
    """Training plan of models with Pyro: mean loss of a cell, and a KL warm-up that fits into every run.

    Divergences are computed in closed form where there is one, which makes gradients less noisy. In the second half of
    the run the learning rate falls to a twentieth: steps that stay large would scatter the posterior means by as much
    as their posterior allows, and intervals would cover too little. The KL weight of every epoch is in
    ``history["kl_weight"]``.

    Parameters
    ----------
    module
        The module to train.
    lr
        Learning rate of Adam.
    n_epochs_kl_warmup
        Epochs of warm-up of the divergence of latent points; ``"auto"`` takes a quarter of the run, 50 at most.
    **kwargs
        Passed to :class:`scvi.train.LowLevelPyroTrainingPlan`.
    """

    def __init__(
        self,
        module: BayesianLDVAE,
        *,
        lr: float = 5e-3,
        n_epochs_kl_warmup: int | Literal["auto"] | None = "auto",
        **kwargs: Any,
    ) -> None:
        self._warmup_is_tied = n_epochs_kl_warmup == "auto"
        kwargs.setdefault("loss_fn", pyro.infer.TraceMeanField_ELBO())
        kwargs["optim_kwargs"] = {"lr": lr, **(kwargs.get("optim_kwargs") or {})}
        epochs = None if n_epochs_kl_warmup == "auto" else n_epochs_kl_warmup
        super().__init__(module, n_epochs_kl_warmup=epochs, **kwargs)
        # A module that was trained or loaded before is in evaluation mode, and Lightning leaves it there.
        module.train()

    @property
    def n_obs_training(self) -> int | None:
        """Number of training cells, by which minibatches are scaled up."""
        return self._n_obs_training

    @n_obs_training.setter
    def n_obs_training(self, n_obs: int) -> None:
        self._n_obs_training = n_obs
        self.module.n_obs = n_obs

    def on_fit_start(self) -> None:
        """Fit the warm-up to the length of the run."""
        super().on_fit_start()
        max_epochs = self.trainer.max_epochs
        if self._warmup_is_tied and max_epochs is not None and max_epochs > 0:
            self.n_epochs_kl_warmup = warmup_epochs(max_epochs)

    def configure_optimizers(self) -> dict[str, Any]:
        """Return the optimiser and the schedule of its learning rate."""
        optimizer = super().configure_optimizers()
        max_epochs = self.trainer.max_epochs or 0
        if max_epochs <= 0:  # a run that is limited by steps or time has no second half to be known
            return {"optimizer": optimizer}

        def share(epoch: int) -> float:
            left = 1 - max(0.0, 2 * epoch / max_epochs - 1)
            return LAST_LEARNING_RATE + (1 - LAST_LEARNING_RATE) * left

        return {"optimizer": optimizer, "lr_scheduler": torch.optim.lr_scheduler.LambdaLR(optimizer, share)}

    def _loss(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Negative ELBO of all training cells, estimated from a minibatch, for each cell."""
        args, kwargs = self.module._get_fn_args_from_batch(batch)
        # A check of each number would take a sixth of the step, and wait for a GPU; what is wrong shows in the loss.
        with pyro.validation_enabled(is_validate=False):
            loss = self.differentiable_loss_fn(
                self.module.model, self.module.guide, *args, kl_weight=self.kl_weight, **kwargs
            )
        return loss / (self._n_obs_training or len(args[0]))

    def training_step(self, batch: dict[str, torch.Tensor], batch_idx: int) -> dict[str, torch.Tensor]:
        """Return the loss of a minibatch.

        Raises
        ------
        RuntimeError
            If the loss is not finite: no later step would mend that. The message names the minibatch.
        """
        loss = self._loss(batch)
        if not loss.isfinite():
            message = (
                f"The training loss is not finite in epoch {self.current_epoch}, minibatch {batch_idx} (from 0). Train "
                "with a smaller learning rate, plan_kwargs={'lr': 1e-4}, or clip gradients, gradient_clip_val=10."
            )
            raise RuntimeError(message)
        n_cells = len(batch[REGISTRY_KEYS.X_KEY])
        self.log("kl_weight", self.kl_weight, on_step=False, on_epoch=True, batch_size=n_cells, sync_dist=True)
        self.training_step_outputs.append({"loss": loss.detach()})
        return {"loss": loss}

    def on_train_epoch_end(self) -> None:
        """Log the mean over the minibatches of all processes."""
        losses = torch.stack([output["loss"] for output in self.training_step_outputs])
        self.log("elbo_train", losses.mean(), prog_bar=True, sync_dist=True)
        self.training_step_outputs.clear()

    def validation_step(self, batch: dict[str, torch.Tensor], batch_idx: int) -> None:
        """Log the loss of validation cells, with the divergence of the loadings shared out as in training."""
        n_cells = len(batch[REGISTRY_KEYS.X_KEY])
        loss = self._loss(batch)
        self.log("elbo_validation", loss, on_step=False, on_epoch=True, batch_size=n_cells, sync_dist=True)
