from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import torch
from lightning.pytorch.utilities import rank_zero_warn
from scvi import REGISTRY_KEYS
from scvi.train import TrainingPlan

from scgauge.nn import SparseRows
from scgauge.train._compiled_losses import CompiledLosses
from scgauge.train._epoch_totals import EpochTotals
from scgauge.train._memory_order import in_memory_order

if TYPE_CHECKING:
    from scvi.module.base import LossOutput

    from scgauge.module import CountVAE

#: Longest automatic warm-up of the KL weight, in epochs.
LONGEST_WARMUP = 50
#: Devices whose optimizers are fused in every version of torch that is allowed.
_FUSED_ON = {"cpu", "cuda"}


def warmup_epochs(max_epochs: int) -> int:
    """Epochs over which the KL weight grows from 0 to 1: a quarter of the run, at most `LONGEST_WARMUP`.

    The weight is then 1 for at least three quarters of a full run, and for at least half of a run that stops early
    (which may not happen before twice this number).

    Parameters
    ----------
    max_epochs
        Length of the run.
    """
    return min(LONGEST_WARMUP, max_epochs // 4)


class CountTrainingPlan(TrainingPlan):
    """Training plan of the count models: scvi-tools' plan with a KL warm-up that fits into every run.

    scvi-tools warms up over 400 epochs, however short the run, so that large data are trained with a final weight far
    below 1 and the prior then says little about the cells. Here the warm-up is tied to the run, the weight of every
    epoch is in ``history["kl_weight"]``, early stopping waits until the weight has been 1 for as long as it grew, and
    a model with frozen parameters (a query model) is trained without weight decay, which would move what is frozen.

    Losses are added up on the training device and logged once an epoch, under the names and with the values of
    scvi-tools' plan; logging each step costs more than the step where the network is small. The optimizer is fused
    where torch has that. Gradient clipping works under mixed precision.

    Parameters
    ----------
    module
        The module to train.
    n_epochs_kl_warmup
        Epochs of warm-up; ``"auto"`` takes `warmup_epochs` of the run, ``None`` none (or `n_steps_kl_warmup`).
    weight_decay
        Weight decay; ``None`` is 1e-6, or 0 for a model with frozen parameters.
    compile
        Whether full minibatches are trained on in one compiled graph of fixed shapes (:func:`torch.compile`; on a GPU
        with CUDA graphs). The likelihood is then evaluated at all entries. Pays on a GPU; needs a C compiler.
    compile_kwargs
        Arguments of :func:`torch.compile`.
    **kwargs
        Passed to :class:`scvi.train.TrainingPlan`.

    Raises
    ------
    ValueError
        If `compile` is asked for and the steps of the model have no fixed shapes.
    """

    #: Whether equal numbers of cells make steps of equal shapes, which can be compiled once for a whole run.
    has_fixed_shapes = True

    def __init__(
        self,
        module: CountVAE,
        *,
        n_epochs_kl_warmup: int | Literal["auto"] | None = "auto",
        weight_decay: float | None = None,
        compile: bool = False,
        compile_kwargs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        if compile and not self.has_fixed_shapes:
            message = (
                f"compile=True was given, but the steps of {type(module).__name__} have no fixed shapes. Leave it out."
            )
            raise ValueError(message)
        self._compile_options = (compile_kwargs or {}) if compile else None
        self._compiled: CompiledLosses | None = None
        self._warmup_is_tied = n_epochs_kl_warmup == "auto" and kwargs.get("n_steps_kl_warmup") is None
        if weight_decay is None:
            weight_decay = 1e-6 if all(parameter.requires_grad for parameter in module.parameters()) else 0.0
        epochs = None if n_epochs_kl_warmup == "auto" else n_epochs_kl_warmup
        super().__init__(module, n_epochs_kl_warmup=epochs, weight_decay=weight_decay, **kwargs)
        # A module that was trained or loaded before is in evaluation mode, and Lightning leaves it there.
        module.train()

    def on_fit_start(self) -> None:
        """Fit the warm-up to the length of the run and learn the library prior where it is unknown."""
        super().on_fit_start()
        if self._compile_options is not None:
            self._compiled = CompiledLosses(self.module, self.device, **self._compile_options)
        if self.module.needs_library_prior:
            self._learn_library_prior()
        max_epochs = self.trainer.max_epochs
        if self._warmup_is_tied and max_epochs is not None and max_epochs > 0:
            self.n_epochs_kl_warmup = warmup_epochs(max_epochs)
            loop = self.trainer.fit_loop
            loop.min_epochs = max(loop.min_epochs or 0, min(2 * self.n_epochs_kl_warmup, max_epochs))
        elif self.n_epochs_kl_warmup and max_epochs is not None and 2 * self.n_epochs_kl_warmup > max_epochs:
            rank_zero_warn(
                f"The KL weight grows over {self.n_epochs_kl_warmup} of {max_epochs} epochs, so that it is 1 for less "
                "than half of the run; samples from the prior may not look like cells. "
                "Leave n_epochs_kl_warmup at 'auto' or train longer.",
                category=UserWarning,
            )

    def on_fit_end(self) -> None:
        """Let go of the compiled graph, whose buffers the trained model would keep."""
        super().on_fit_end()
        self._compiled = None

    def on_train_epoch_start(self) -> None:
        """Begin new totals, and keep frozen batch norm, which has zero momentum, on statistics of the reference."""
        super().on_train_epoch_start()
        self._training = EpochTotals(self.device)
        self._epoch_kl_weight = self.kl_weight
        for layer in self.module.modules():
            if isinstance(layer, torch.nn.BatchNorm1d) and layer.momentum == 0:
                layer.eval()

    def on_validation_epoch_start(self) -> None:
        """Begin new totals."""
        self._validation = EpochTotals(self.device)

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> torch.Tensor:
        """Return the loss of a minibatch; what is logged is added up on the device."""
        losses = self._losses(batch)
        self._training.add(losses)
        return losses.loss

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        """Add up the losses of a minibatch."""
        self._validation.add(self._losses(batch))

    def _losses(self, batch: dict[str, Any]) -> LossOutput:
        if "kl_weight" in self._loss_args:
            if self.n_epochs_kl_warmup is None and self.n_steps_kl_warmup:
                self._epoch_kl_weight = self.kl_weight
            self.loss_kwargs["kl_weight"] = self._epoch_kl_weight
        if self._compiled is not None and self.training and self._compiled.takes(batch):
            return self._compiled(batch, self.loss_kwargs)
        return self.forward(batch, loss_kwargs=self.loss_kwargs)[2]

    def on_train_epoch_end(self) -> None:
        """Log the epoch: the KL weight and the means over training cells.

        Raises
        ------
        RuntimeError
            If the loss is not finite: no later epoch would mend that. The message names the minibatch and the part.
        """
        if not self._training.sums[0].isfinite():
            message = (
                f"The training loss is not finite in epoch {self.current_epoch} (learning rate {self.lr}). Train with "
                "a smaller one, plan_kwargs={'lr': 1e-4}, or clip gradients, gradient_clip_val=10. "
                f"{self._training.fault()}"
            )
            raise RuntimeError(message)
        if "kl_weight" in self._loss_args:
            self.log("kl_weight", self._epoch_kl_weight)
        self._log_totals(self._training, "train", prog_bar=True)

    def on_validation_epoch_end(self) -> None:
        """Log the means over validation cells."""
        self._log_totals(self._validation, "validation", prog_bar=False)

    def _log_totals(self, totals: EpochTotals, mode: str, *, prog_bar: bool) -> None:
        n_all = self.n_obs_training if mode == "train" else self.n_obs_validation
        means = totals.means(n_all, reduce=self.trainer.strategy.reduce)
        # The totals are those of all processes already.
        self.log(f"{mode}_loss", means.pop("loss"), prog_bar=prog_bar)
        self.log_dict({f"{name}_{mode}": value for name, value in means.items()})

    def _optimizer_creator_fn(self, optimizer_cls: type) -> Any:
        """Return what builds the optimizer: fused into one kernel where torch has that and Lightning allows it."""
        clips = self._trainer is not None and self.trainer.gradient_clip_val
        # Under mixed precision Lightning refuses to clip for an optimizer that unscales gradients itself.
        may_fuse = not (clips and "mixed" in str(self.trainer.precision))

        def create(parameters: Any) -> torch.optim.Optimizer:
            has_kernel = all(parameter.device.type in _FUSED_ON for parameter in self.module.parameters())
            # Neither True nor False: torch chooses.
            fused = True if may_fuse and has_kernel else None
            chosen = in_memory_order(optimizer_cls) if fused else optimizer_cls
            return chosen(parameters, lr=self.lr, eps=self.eps, weight_decay=self.weight_decay, fused=fused)

        return create

    def _learn_library_prior(self) -> None:
        """Set mean and variance of the log library size of each batch from the training cells."""
        n_batch = self.module.n_batch
        count, total, squares = torch.zeros(3, n_batch, dtype=torch.float64)
        for tensors in self.trainer.datamodule.train_dataloader():
            x = tensors[REGISTRY_KEYS.X_KEY]
            totals = x.totals if isinstance(x, SparseRows) else x.sum(1)
            log_library = totals.double().log().cpu()
            rows = tensors[REGISTRY_KEYS.BATCH_KEY].reshape(-1).long().cpu()
            count.index_add_(0, rows, torch.ones_like(log_library))
            total.index_add_(0, rows, log_library)
            squares.index_add_(0, rows, log_library.square())
        sums = torch.stack((count, total, squares))
        if self.trainer.world_size > 1:
            sums = self.trainer.strategy.reduce(sums.to(self.device), reduce_op="sum").cpu()
        self.module.set_library_prior(*library_prior(*sums))


def library_prior(count: torch.Tensor, total: torch.Tensor, squares: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and variance of the log library size in each batch, from its number of cells, sum and sum of squares.

    A batch of one cell has no variance of its own, and a batch without cells no mean: they take those of all cells.

    Parameters
    ----------
    count, total, squares
        For each batch the number of cells, the sum and the sum of squares of their log library sizes, ``(n_batch,)``.

    Returns
    -------
    Means and variances, ``(1, n_batch)`` each.
    """
    mean_all = total.sum() / count.sum()
    variance_all = squares.sum() / count.sum() - mean_all.square()
    mean = torch.where(count > 0, total / count.clamp(min=1), mean_all)
    variance = torch.where(count > 1, squares / count.clamp(min=1) - mean.square(), variance_all)
    # Cells of one and the same size still need a proper Gaussian.
    return mean.reshape(1, -1), variance.clamp(min=1e-4).reshape(1, -1)
