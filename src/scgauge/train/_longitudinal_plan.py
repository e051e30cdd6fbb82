from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from scvi import REGISTRY_KEYS

from scgauge._core.registry_keys import BASELINE_KEY
from scgauge.nn import SparseRows
from scgauge.train._plan import CountTrainingPlan
from scgauge.train._similar_subjects import similar_subjects

if TYPE_CHECKING:
    from scgauge.module import LongitudinalVAE

#: Share of the run in which the learning rate rises, and in which visits come to predict those farther away.
_WARMUP, _GROWTH = 0.1, 0.6
#: How much faster than other parameters the logarithms of the noise of a measurement and of the diffusion are learned:
#: from where they start it is a long way for the steps of Adam. The noise is so for closed-form fields only: others
#: settle in wrong dynamics where small noise binds the codes to their own visits before the field has found its way.
_NOISE_SPEED = 5.0
#: Reach of a visit in the first epoch, in scaled time.
_FIRST_REACH = 0.1


class LongitudinalPlan(CountTrainingPlan):
    """Training plan for individuals with visits at irregular times.

    Autoencoder, dynamics and the network of the individual parameters are trained together. First only visits close in
    time predict each other, later all: long ways of a field that is still wrong have many wrong solutions. The
    learning rate rises, then falls to zero along a cosine.

    A module that was trained before goes on from where it is: it keeps its scales, noise and misfit, and all visits
    predict each other from the first epoch on.

    Parameters
    ----------
    module
        The module to train.
    n_similar
        If given, each minibatch is one individual with this number of individuals most similar to it (itself
        included), and kernel weights, renewed each epoch (see :func:`~scgauge.train.similar_subjects`). ``None`` draws
        minibatches at random.
    bandwidth
        Width of the tricube kernel, in units of the latent space.
    consistency_weight
        Weight of the squared distance between carried and own latent points.
    alignment_weight
        Weight of the squared distance between the encodings of several instruments (:func:`scgauge.nn.misalignment`).
    shrinkage
        Weight of the squared size of what baseline variables add to the parameters of the dynamics.
    lr
        Highest learning rate.
    **kwargs
        Passed to :class:`CountTrainingPlan`.
    """

    has_fixed_shapes = False

    def __init__(
        self,
        module: LongitudinalVAE,
        *,
        n_similar: int | None = None,
        bandwidth: float = 1.0,
        consistency_weight: float = 1.0,
        alignment_weight: float = 1.0,
        shrinkage: float = 1e-3,
        lr: float = 1e-2,
        **kwargs: Any,
    ) -> None:
        if n_similar is not None and (not isinstance(n_similar, int) or n_similar < 2):
            message = f"n_similar={n_similar!r} was given; an integer of at least 2 is needed."
            raise ValueError(message)
        given = {
            "bandwidth": bandwidth, "consistency_weight": consistency_weight, "alignment_weight": alignment_weight,
            "shrinkage": shrinkage,
        }  # fmt: skip
        for name, value in given.items():
            if not value >= 0 or (name == "bandwidth" and value == 0):
                message = f"{name}={value!r} was given; a {'positive' if name == 'bandwidth' else 'non-negative'} "
                raise ValueError(message + "number is needed.")
        super().__init__(module, lr=lr, **kwargs)
        self.n_similar, self.bandwidth = n_similar, bandwidth
        module.consistency_weight, module.alignment_weight = consistency_weight, alignment_weight
        module.shrinkage_weight = shrinkage
        module.similar_history = []
        #: Whether the module was trained before this run; ``None`` until that is known.
        self.goes_on: bool | None = None

    def on_fit_start(self) -> None:
        """Learn the scales of items and baseline variables from the training visits."""
        super().on_fit_start()
        if self.goes_on is None:
            self.goes_on = self.module.has_learned
        if not self.goes_on:
            self._learn_scales()
        # Lightning counts the minibatches next.
        self.trainer.datamodule.by_similarity = self.n_similar is not None

    def _learn_scales(self) -> None:
        items, baseline = [], []
        for tensors in self.trainer.datamodule.train_dataloader():
            x = tensors[REGISTRY_KEYS.X_KEY]
            if self.module.gene_likelihood == "normal":
                items.append(x.to_dense() if isinstance(x, SparseRows) else x)
            if self.module.n_baseline:
                baseline.append(tensors[BASELINE_KEY])
        if items:
            values = torch.cat(items).double()
            mean = values.nanmean(0)
            sd = (values - mean).square().nanmean(0).sqrt()
            self.module.set_scale(mean.nan_to_num(0.0).float(), sd.nan_to_num(1.0).float())
        if self.module.n_baseline:
            self.module.parameter_net.learn_scale(torch.cat(baseline))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep who was similar to whom, and whether the module was trained before."""
        checkpoint["goes_on"] = self.goes_on
        checkpoint["similar_history"] = [torch.as_tensor(chosen) for chosen in self.module.similar_history]

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take it back."""
        self.goes_on = bool(checkpoint.get("goes_on"))
        self.module.similar_history = [chosen.numpy() for chosen in checkpoint.get("similar_history", ())]

    def on_train_epoch_start(self) -> None:
        """Set the learning rate and the reach of the epoch; renew the similar individuals."""
        super().on_train_epoch_start()
        share = self.trainer.current_epoch / max(self.trainer.max_epochs or 1, 1)
        rising = min(1.0, (share + 0.01) / _WARMUP)
        falling = (1 + math.cos(math.pi * max(0.0, share - _WARMUP) / (1 - _WARMUP))) / 2
        for group in self.optimizers().param_groups:
            group["lr"] = group.get("speed", 1.0) * self.lr * rising * max(falling, 0.01)
        self.module.reach = 1.0 if self.goes_on else min(1.0, max(_FIRST_REACH, share / _GROWTH))
        if self.n_similar is None:
            return
        loader = self.trainer.datamodule.loader
        loader.similar = similar_subjects(self.module, loader, n_similar=self.n_similar, bandwidth=self.bandwidth)
        self.module.similar_history.append(loader.similar[0])

    def _optimizer_creator_fn(self, optimizer_cls: type) -> Any:
        """Return what builds the optimizer, with a group of its own for noise and diffusion."""
        create = super()._optimizer_creator_fn(optimizer_cls)

        def with_fast_noise(parameters: Any) -> torch.optim.Optimizer:
            module = self.module
            fast = [module.log_diffusion]
            if hasattr(module.field, "system") and module.gene_likelihood == "normal":
                fast += [noise for noise in (module.px_r, module.log_misfit) if noise is not None]
            known = {id(parameter) for parameter in fast}
            others = [parameter for parameter in parameters if id(parameter) not in known]
            return create([{"params": others}, {"params": fast, "speed": _NOISE_SPEED}])

        return with_fast_noise

    def on_train_end(self) -> None:
        """Visits reach all others again; the noise is fitted to where the codes have come to."""
        self.module.reach = 1.0
        datamodule = self.trainer.datamodule
        datamodule.by_similarity = False
        self.module.fit_noise(datamodule.train_dataloader())
