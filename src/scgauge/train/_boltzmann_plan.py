from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import torch
from scvi import REGISTRY_KEYS

from scgauge.nn import SparseRows
from scgauge.train._autoencoder_plan import AutoencoderPlan

if TYPE_CHECKING:
    from torch import Tensor

    from scgauge.module import BoltzmannModule


class BoltzmannPlan(AutoencoderPlan):
    r"""Training plan of deep Boltzmann machines :cite:p:`Salakhutdinov09`.

    1. Greedy pretraining, one layer after the other as a restricted Boltzmann machine with contrastive divergence;
       inputs count twice upward in the first and downward in the second, since each hidden layer will have two
       neighbours or lacks one.
    2. Joint training: the gradient of the log-likelihood is a difference of averages, :math:`v h^{1\top}` and
       :math:`h^1 h^{2\top}` over cells with mean-field hidden units, minus the same over Markov chains that go on from
       step to step. The learning rate of epoch :math:`t` is :math:`11 / (10 + t)` times the first one.

    Parameters
    ----------
    module
        The module to train.
    lr
        First learning rate of the joint training.
    pretrain_lr
        Learning rate of the pretraining.
    pretrain_epochs
        Epochs of pretraining of each layer, out of ``max_epochs``; ``"auto"`` takes a fifth of them, ``0`` none.
    n_gibbs_steps
        Steps of the Markov chains for each minibatch.
    **kwargs
        Passed to :class:`AutoencoderPlan`.
    """

    has_fixed_shapes = False

    def __init__(
        self,
        module: BoltzmannModule,
        *,
        lr: float = 0.2,
        pretrain_lr: float = 0.2,
        pretrain_epochs: int | Literal["auto"] = "auto",
        n_gibbs_steps: int = 1,
        **kwargs: Any,
    ) -> None:
        super().__init__(module, lr=lr, **kwargs)
        self.automatic_optimization = False
        self.pretrain_lr, self.pretrain_epochs, self.n_gibbs_steps = pretrain_lr, pretrain_epochs, n_gibbs_steps
        # The second machine's own bias of the first layer, which the joint machine does not take over.
        self.top_bias: Tensor | None = None

    def configure_optimizers(self) -> dict[str, Any]:
        """Return plain gradient ascent."""
        return {"optimizer": torch.optim.SGD(self.module.parameters(), lr=self.lr)}

    def on_train_batch_end(self, *args: Any) -> None:
        """Do nothing: no weight is penalised."""

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the bias that is no parameter of the joint machine."""
        checkpoint["top_bias"] = self.top_bias

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take it back."""
        bias = checkpoint.get("top_bias")
        self.top_bias = None if bias is None else bias.to(self.module.bias1.device)

    @property
    def n_pretraining(self) -> int:
        """Epochs of pretraining of each layer."""
        return (self.trainer.max_epochs or 0) // 5 if self.pretrain_epochs == "auto" else self.pretrain_epochs

    @torch.no_grad()
    def training_step(self, batch: dict[str, Any], batch_idx: int) -> None:  # type: ignore[override]
        """Move the parameters along the estimated gradient."""
        x = batch[REGISTRY_KEYS.X_KEY]
        x = x.to_dense() if isinstance(x, SparseRows) else x
        n_pretraining = self.n_pretraining
        if self.current_epoch < 2 * n_pretraining:
            layer = 1 if self.current_epoch < n_pretraining else 2
            gradient, rate = (self._first_layer if layer == 1 else self._second_layer)(x), self.pretrain_lr
        else:
            done = self.current_epoch - 2 * n_pretraining
            gradient, rate = self._joint(x), self.lr * 11 / (10 + done)
        optimizer = self.optimizers()
        for name, parameter in self.module.named_parameters():
            parameter.grad = -gradient[name] if name in gradient else None
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()
        self._training.add(self.forward(batch)[2])

    def _first_layer(self, v: Tensor) -> dict[str, Tensor]:
        module, n = self.module, len(v)
        up = torch.sigmoid(2 * (v @ module.weight1) + module.bias1)
        again = torch.bernoulli(torch.sigmoid(module.logits_v(torch.bernoulli(up))))
        up_again = torch.sigmoid(2 * (again @ module.weight1) + module.bias1)
        return {
            "weight1": (v.t() @ up - again.t() @ up_again) / n,
            "bias_v": (v - again).mean(0),
            "bias1": (up - up_again).mean(0),
        }

    def _second_layer(self, v: Tensor) -> dict[str, Tensor]:
        module, n = self.module, len(v)
        if self.top_bias is None:
            self.top_bias = module.bias1.detach().clone()
        h1 = torch.sigmoid(2 * (v @ module.weight1) + module.bias1)
        up = module.probability2(h1)
        again = torch.bernoulli(torch.sigmoid(2 * (torch.bernoulli(up) @ module.weight2.t()) + self.top_bias))
        up_again = module.probability2(again)
        self.top_bias += self.pretrain_lr * (h1 - again).mean(0)
        return {"weight2": (h1.t() @ up - again.t() @ up_again) / n, "bias2": (up - up_again).mean(0)}

    def _joint(self, v: Tensor) -> dict[str, Tensor]:
        module = self.module
        mu1, mu2 = module.mean_field(v)
        chain_v, chain1, chain2 = module.gibbs(module.particles_v, module.particles2, self.n_gibbs_steps)
        module.particles_v.copy_(chain_v)
        module.particles2.copy_(chain2)
        # Probabilities in place of the last draw of the first layer: the same mean with less noise.
        chain1 = module.probability1(chain_v, chain2)
        n, n_chains = len(v), len(chain_v)
        return {
            "weight1": v.t() @ mu1 / n - chain_v.t() @ chain1 / n_chains,
            "weight2": mu1.t() @ mu2 / n - chain1.t() @ chain2 / n_chains,
            "bias_v": v.mean(0) - chain_v.mean(0),
            "bias1": mu1.mean(0) - chain1.mean(0),
            "bias2": mu2.mean(0) - chain2.mean(0),
        }
