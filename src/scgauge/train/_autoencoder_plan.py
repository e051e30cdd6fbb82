from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from scgauge.train._plan import CountTrainingPlan

if TYPE_CHECKING:
    from scgauge.module import AutoencoderModule
    from scgauge.train._epoch_totals import EpochTotals

#: Learning rate at the end of a run, as a share of that at its start.
LAST_LEARNING_RATE = 0.01


class AutoencoderPlan(CountTrainingPlan):
    r"""Training plan of autoencoders: Adam with a proximal step for exact zeros, and steps that become small.

    After each step of Adam with preconditioner :math:`d = \sqrt{\hat v} + \epsilon`, penalised weights are moved by

    .. math::

        w \leftarrow \operatorname{sign}(w) \max(|w| - \eta \lambda / d, 0),

    the proximal operator of :math:`\lambda \lVert W \rVert_1` in the metric of the step :cite:p:`Parikh14`. With a
    threshold of :math:`\eta \lambda` instead, weights of small gradients would be kept whatever the penalty. In the
    second half of the run the learning rate falls to a hundredth, without which minibatches would keep weights moving.

    Parameters
    ----------
    module
        The module to train.
    lr
        Learning rate of Adam.
    weight_decay
        Weight decay.
    **kwargs
        Passed to :class:`CountTrainingPlan`.
    """

    def __init__(
        self, module: AutoencoderModule, *, lr: float = 1e-3, weight_decay: float = 0.0, **kwargs: Any
    ) -> None:
        kwargs["n_epochs_kl_warmup"] = None
        super().__init__(module, lr=lr, weight_decay=weight_decay, **kwargs)

    def configure_optimizers(self) -> dict[str, Any]:
        """Return the optimiser and the schedule of its learning rate."""
        configured = super().configure_optimizers()
        max_epochs = self.trainer.max_epochs or 0
        if max_epochs <= 0 or self.reduce_lr_on_plateau:
            # A run that is limited by steps or time has no second half to be known.
            return configured

        def share(epoch: int) -> float:
            left = 1 - max(0.0, 2 * epoch / max_epochs - 1)
            return LAST_LEARNING_RATE + (1 - LAST_LEARNING_RATE) * left

        schedule = torch.optim.lr_scheduler.LambdaLR(configured["optimizer"], share)
        return {"optimizer": configured["optimizer"], "lr_scheduler": schedule}

    def on_train_batch_end(self, *args: Any) -> None:
        """Pull penalised weights to zero."""
        super().on_train_batch_end(*args)
        parameters = self.module.sparse_parameters()
        if parameters:
            optimizer = self.optimizers()
            proximal_step(getattr(optimizer, "optimizer", optimizer), parameters, self.module.sparsity)

    def _log_totals(self, totals: EpochTotals, mode: str, *, prog_bar: bool) -> None:
        """Log the loss and the error of reconstruction; there is no divergence and no bound."""
        means = totals.means(None, reduce=self.trainer.strategy.reduce)
        self.log(f"{mode}_loss", means.pop("loss"), prog_bar=prog_bar)
        absent = {"elbo", "kl_local", "kl_global"}
        self.log_dict({f"{name}_{mode}": value for name, value in means.items() if name not in absent})


@torch.no_grad()
def proximal_step(optimizer: torch.optim.Optimizer, parameters: list[torch.nn.Parameter], weight: float) -> None:
    """Apply the proximal operator of an L1 penalty in the metric of Adam's last step.

    Parameters
    ----------
    optimizer
        Adam, after its step.
    parameters
        Parameters to pull to zero.
    weight
        Weight of the penalty in the loss.
    """
    wanted = {id(parameter) for parameter in parameters}
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            state = optimizer.state.get(parameter, {})
            if id(parameter) not in wanted or "exp_avg_sq" not in state:
                continue
            correction = 1 - group["betas"][1] ** float(state["step"])
            scale = (state["exp_avg_sq"] / correction).sqrt() + group["eps"]
            threshold = group["lr"] * weight / scale
            parameter.copy_(parameter.sign() * (parameter.abs() - threshold).clamp(min=0))
