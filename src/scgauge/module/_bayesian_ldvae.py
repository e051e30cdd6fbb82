from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import pyro
import torch
from pyro import distributions as dist
from scvi import REGISTRY_KEYS
from scvi.module.base import PyroBaseModuleClass
from torch import nn
from torch.nn.functional import linear, softplus

from scgauge._core.compat import MODULE_KEYS
from scgauge.module._ldvae import LDVAE
from scgauge.nn import SparseRows

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

Covariance = Literal["full", "diagonal"]

#: Standard deviation of the posterior of a loading at the start of training.
_START_SD = 0.05


class BayesianLDVAE(LDVAE, PyroBaseModuleClass):
    r"""LDVAE with a posterior of the loadings; the probability model behind :class:`~scgauge.model.BayesianLinearVI`.

    As :class:`LDVAE`, with a prior that shrinks factors that are not needed (automatic relevance determination),

    .. math::

        \tau_k \sim \operatorname{HalfCauchy}(1), \qquad w_{gk} \sim \mathcal{N}(0, \tau_k^2),

    and the guide :math:`q(w_g) = \mathcal{N}(m_g, L_g L_g^\top)`, independent between genes, with a full covariance
    over the factors of a gene or a diagonal one, :math:`q(\tau_k)` log-normal and the amortised :math:`q(z_n)` of the
    LDVAE. The means :math:`m_g` are the weights of the decoder: all that is not asked for a posterior is answered with
    them. Intercepts, effects of covariates and dispersions are point estimates.

    Parameters
    ----------
    n_input
        Number of genes.
    covariance
        Whether the guide has the ``"full"`` covariance over factors of each gene or a ``"diagonal"`` one.
    **network
        See :class:`LDVAE`; without constraints on the loadings and without batch norm in the decoder.
    """

    def __init__(self, n_input: int, *, covariance: Covariance = "full", **network: Any) -> None:
        super().__init__(n_input, **network)
        self.covariance = covariance
        self.n_obs: int | None = None
        start = float(torch.tensor(_START_SD).expm1().log())
        # Through a softplus the standard deviations, or the diagonal of the Cholesky factor.
        self.spread = nn.Parameter(torch.full((n_input, self.n_latent), start))
        if covariance == "full":
            n_below = self.n_latent * (self.n_latent - 1) // 2
            self.below_diagonal = nn.Parameter(torch.zeros(n_input, n_below))
        self.log_tau = nn.Parameter(torch.zeros(self.n_latent))
        self.log_tau_spread = nn.Parameter(torch.full((self.n_latent,), -2.0))

    def loadings_tril(self) -> Tensor:
        """Cholesky factors of the covariances, ``(n_genes, n_latent, n_latent)``."""
        tril = torch.diag_embed(softplus(self.spread))
        if self.covariance == "full":
            row, column = torch.tril_indices(self.n_latent, self.n_latent, -1, device=tril.device)
            gene = torch.arange(len(tril), device=tril.device)[:, None]
            tril = tril.index_put((gene, row, column), self.below_diagonal)
        return tril

    @torch.no_grad()
    def get_loadings_covariance(self) -> np.ndarray:
        """Return the posterior covariance of the loadings of each gene, ``(n_genes, n_latent, n_latent)``."""
        tril = self.loadings_tril().double()
        return (tril @ tril.mT).cpu().numpy()

    @staticmethod
    def _get_fn_args_from_batch(tensor_dict: dict[str, Tensor]) -> tuple[tuple, dict[str, Any]]:
        keys = (REGISTRY_KEYS.CONT_COVS_KEY, REGISTRY_KEYS.CAT_COVS_KEY, REGISTRY_KEYS.SIZE_FACTOR_KEY)
        others = (tensor_dict.get(key) for key in keys)
        x = tensor_dict[REGISTRY_KEYS.X_KEY]
        return (x.to_dense() if isinstance(x, SparseRows) else x, tensor_dict[REGISTRY_KEYS.BATCH_KEY], *others), {}

    def model(
        self,
        x: Tensor,
        batch_index: Tensor,
        cont_covs: Tensor | None = None,
        cat_covs: Tensor | None = None,
        size_factor: Tensor | None = None,
        kl_weight: float = 1.0,
    ) -> None:
        """Generate counts: priors of the scales, loadings and latent points, then the likelihood."""
        ones = x.new_ones(self.n_latent)
        tau = pyro.sample("tau", dist.HalfCauchy(ones).to_event(1))
        with pyro.plate("genes", self.n_input):
            prior = dist.MultivariateNormal(torch.zeros_like(ones), scale_tril=torch.diag(tau))
            loadings = pyro.sample("loadings", prior)
        with pyro.plate("cells", self.n_obs or len(x), subsample_size=len(x)):
            with pyro.poutine.scale(scale=kl_weight):
                z = pyro.sample("z", dist.Normal(torch.zeros_like(ones), ones).to_event(1))
            counts = self._counts(z, loadings, x, batch_index, cont_covs, cat_covs, size_factor)
            pyro.sample("x", counts.to_event(1), obs=x)

    def _counts(
        self,
        z: Tensor,
        loadings: Tensor,
        x: Tensor,
        batch_index: Tensor,
        cont_covs: Tensor | None,
        cat_covs: Tensor | None,
        size_factor: Tensor | None,
    ) -> Any:
        """Likelihood of the counts for drawn loadings ``(n_genes, n_latent)``."""
        head = self.decoder.scale.regression
        weights = torch.cat((loadings, head.linear.weight[:, self.n_latent :]), dim=1)
        inputs = z if cont_covs is None else torch.cat((z, cont_covs), dim=-1)
        logits = head.add_effects(linear(inputs, weights, head.linear.bias), self._codes(batch_index, cat_covs))
        exposure: Any = size_factor if self.use_size_factor else x.sum(1, keepdim=True)
        shares = self.decoder.activation(logits).exp() if self.use_size_factor else logits.softmax(-1)
        rate = shares * exposure + 1e-8
        log_theta = self._log_dispersion(None, batch_index)
        if log_theta is None:
            return dist.Poisson(rate)
        theta = log_theta.exp()
        return dist.NegativeBinomial(theta, logits=rate.log() - theta.log())

    def guide(
        self,
        x: Tensor,
        batch_index: Tensor,
        cont_covs: Tensor | None = None,
        cat_covs: Tensor | None = None,
        size_factor: Tensor | None = None,
        kl_weight: float = 1.0,
    ) -> None:
        """Draw scales, loadings and latent points from the approximate posterior."""
        pyro.sample("tau", dist.LogNormal(self.log_tau, softplus(self.log_tau_spread)).to_event(1))
        with pyro.plate("genes", self.n_input):
            mean = self.decoder.scale.regression.linear.weight[:, : self.n_latent]
            pyro.sample("loadings", dist.MultivariateNormal(mean, scale_tril=self.loadings_tril()))
        inference = self._regular_inference(x, batch_index, cont_covs, cat_covs)
        qz = inference[MODULE_KEYS.QZ_KEY]
        with pyro.plate("cells", self.n_obs or len(x), subsample_size=len(x)), pyro.poutine.scale(scale=kl_weight):
            pyro.sample("z", dist.Normal(qz.loc, qz.scale).to_event(1))

    def on_load(self, model: Any, **kwargs: Any) -> None:
        """Do nothing: all parameters are those of the module, so that no training step has to make them."""
