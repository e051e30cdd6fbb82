from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import torch
from scvi import REGISTRY_KEYS
from torch import nn

from scgauge._core.compat import MODULE_KEYS
from scgauge._core.registry_keys import (
    BASELINE_KEY,
    INSTRUMENT_KEY,
    SUBJECT_KEY,
    TIME_KEY,
    VISIT_KEY,
    WEIGHT_KEY,
)
from scgauge.module._odevae import ODEVAE
from scgauge.nn import (
    CountDecoder,
    Encoder,
    InstrumentDecoder,
    InstrumentEncoder,
    SparseRows,
    States,
    carry,
    combine,
    misalignment,
    pairs_within,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scvi.module.base import LossOutput
    from torch import Tensor

    from scgauge.nn import DecoderOutput

#: First variance that a unit of scaled time adds to a state (logarithm).
_FIRST_DIFFUSION = -4.0
#: Memory of a learned field outside of the training times, in scaled time.
_MEMORY = 0.25


class ScaledDecoder(nn.Module):
    """Decoder of numbers of any scale: the network's output is multiplied by a scale and shifted.

    Parameters
    ----------
    network
        Decoder of standardised numbers.
    n_items
        Number of items.
    """

    mean: Tensor
    sd: Tensor

    def __init__(self, network: nn.Module, n_items: int) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.zeros(n_items))
        self.register_buffer("sd", torch.ones(n_items))

    def forward(self, z: Tensor, codes: Any = ()) -> DecoderOutput:
        """Decode latent points ``(..., n, n_in)`` to items ``(..., n, n_items)``."""
        out = self.network(z, codes)
        return out._replace(scale=out.scale * self.sd + self.mean)


class LongitudinalVAE(ODEVAE):
    r"""Variational autoencoder with latent dynamics of individuals that are seen at a few irregular times.

    The encoder gives a Gaussian :math:`\mathcal{N}(\mu_k, \Sigma_k)` for each visit :math:`k` of an individual. Each is
    a starting value: the individual's own dynamics carry it to any time,

    .. math::

        m_{kt} = \Phi_{t_k \to t}(\mu_k; \theta_i), \qquad
        v_{kt} = \operatorname{diag}(J \Sigma_k J^\top) + q |t - t_k| ,

    and starts are combined by inverse variance. During training each visit is reconstructed twice: from its own code,
    and from the codes of the *other* visits of the individual, carried to its time; so the dynamics have to predict.
    Numbers have one standard deviation in the former, the noise of the measurement, and another in the latter, so that
    what the dynamics miss is not taken for noise. With the squared distance between carried and own codes
    (consistency) and the shrinkage of individual parameters

    .. math::

        L = \sum_k \left[ -\mathrm{E} \log p(x_k | z_k) + \mathrm{KL}_k - \mathrm{E} \log p(x_k | \tilde z_k) \right]
            + \lambda \, \overline{|m_{kl} - \mu_l|^2} + \lambda_g \, \overline{|g(y_i)|^2} .

    Predictions are drawn without :math:`q`: draws of less variance always fit better, so that they cannot teach it. It
    has a likelihood of its own, of the codes about those carried to them, with variance :math:`v_{kl} + \Sigma_l`,
    and nothing else is learned by that.

    Of data with a normal likelihood single items may be missing (NaN): they count as average for the encoder and not at
    all in the likelihood.

    Items may belong to several *instruments*, with an encoder and a decoder each, which measure one state
    :cite:p:`Hackenberg25b`. Then :math:`k` counts observations, those of each instrument at each visit: a visit has a
    start for each instrument that was taken, and an observation is predicted from all others of the individual,
    those of the other instruments at the same visit included. Another penalty, :func:`scgauge.nn.misalignment`, holds
    the encodings of the instruments together. The code of a visit as a whole combines those of its instruments.

    Parameters
    ----------
    n_input
        Number of items.
    instruments
        Name of the instrument of each item, ``(n_input,)``; ``None`` for one instrument.
    **arguments
        Passed to :class:`ODEVAE`.
    """

    def __init__(self, n_input: int, *, instruments: Sequence[str] | None = None, **arguments: Any) -> None:
        # The parents make the networks.
        names = list(dict.fromkeys(instruments or ()))
        self.instruments = [names.index(name) for name in instruments or ()]
        self.n_instruments = max(1, len(names))
        super().__init__(n_input, **arguments)
        self.log_diffusion = nn.Parameter(torch.full((self.n_latent,), _FIRST_DIFFUSION))
        #: Standard deviation (logarithm) of each item about its prediction from other visits.
        self.log_misfit = nn.Parameter(torch.zeros(n_input)) if self.gene_likelihood == "normal" else None
        self.consistency_weight, self.shrinkage_weight, self.alignment_weight = 1.0, 1e-3, 1.0
        #: Longest time, scaled, over which a visit predicts another; it grows during training.
        self.reach = 1.0
        #: For each epoch of a training by similarity, positions of the similar individuals of each one among the sorted
        #: numbers of the training individuals, ``(n_subjects, n_similar)``.
        self.similar_history: list[Any] = []
        if hasattr(self.field, "memory"):
            self.field.memory = torch.tensor(_MEMORY)

    def _make_encoder(self, n_in: int, **arguments: Any) -> nn.Module:
        if self.n_instruments == 1:
            return super()._make_encoder(n_in, **arguments)
        further = n_in - self.n_input
        return InstrumentEncoder(self.instruments, lambda n: Encoder(n + further, self.n_latent, **arguments))

    def _make_decoder(self, n_categories: Any, **arguments: Any) -> nn.Module:
        if self.n_instruments == 1:
            network = super()._make_decoder(n_categories, **arguments)
        else:
            arguments |= self._heads() | {"n_categories": n_categories}
            network = InstrumentDecoder(self.instruments, lambda n: CountDecoder(self._n_decoder_input, n, **arguments))
        return ScaledDecoder(network, self.n_input) if self.gene_likelihood == "normal" else network

    @property
    def has_learned(self) -> bool:
        """Whether a training has moved the parameters away from their starting values."""
        return bool((self.log_diffusion != _FIRST_DIFFUSION).any())

    def set_scale(self, mean: Tensor, sd: Tensor) -> None:
        """Set mean and standard deviation of each item, ``(n_input,)``; the residuals start there."""
        if self.gene_likelihood != "normal":
            return
        sd = torch.where(sd > 0, sd, 1.0)
        decoder = cast("ScaledDecoder", self.decoder)
        decoder.mean.copy_(mean)
        decoder.sd.copy_(sd)
        if self.px_r is not None:
            self.px_r.data.copy_(sd.log().expand_as(self.px_r))
        if self.log_misfit is not None:
            self.log_misfit.data.copy_(sd.log())

    @torch.no_grad()
    def fit_noise(self, loader: Any) -> None:
        """Set the noise of each item to the most likely one given the codes of all visits of a loader.

        That is the root mean square of the items about what draws of their codes decode to. It is for a normal
        likelihood with one noise for each item.
        """
        noise = self.px_r
        if noise is None or self.gene_likelihood != "normal" or self.dispersion != "gene":
            return
        was_training = self.training
        self.eval()
        squares, known = torch.zeros_like(noise), torch.zeros_like(noise)
        for batch in loader:
            tensors = self.observations({key: value.to(self.device) for key, value in batch.items()})
            inference = self.inference(**self._get_inference_input(tensors))
            decoded = self.generative(**self._get_generative_input(tensors, inference))[MODULE_KEYS.PX_KEY].loc
            x = tensors[REGISTRY_KEYS.X_KEY]
            apart = (x.to_dense() if isinstance(x, SparseRows) else x) - decoded
            squares += apart.square().nansum(0)
            known += apart.isfinite().sum(0)
        measured = (known > 0) & (squares > 0)
        noise.copy_(torch.where(measured, (squares / known).sqrt().log(), noise))
        self.train(was_training)

    def transform_input(self, x: Tensor | SparseRows) -> Any:
        """Return what the encoder reads: log1p of counts, standardised numbers with 0 for what is missing."""
        if self.gene_likelihood != "normal":
            return super().transform_input(x)
        values = x.to_dense() if isinstance(x, SparseRows) else x
        decoder = cast("ScaledDecoder", self.decoder)
        values = (values - decoder.mean) / decoder.sd
        # The encoder of several instruments sees by NaN which were taken.
        return values.nan_to_num(0.0) if self.n_instruments == 1 else values

    def observations(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """Divide the visits of a minibatch into the observations of each instrument, one row each.

        The items of other instruments are NaN in it. Of one instrument, visits are observations.
        """
        if self.n_instruments == 1:
            return tensors
        encoder, x = cast("InstrumentEncoder", self.z_encoder), tensors[REGISTRY_KEYS.X_KEY].to(self.device)
        x = x.to_dense() if isinstance(x, SparseRows) else x
        visit, instrument = encoder.taken(x).nonzero(as_tuple=True)
        found = {key: value.to(self.device)[visit] for key, value in tensors.items() if key != REGISTRY_KEYS.X_KEY}
        alone = x[visit].masked_fill(encoder.instrument != instrument[:, None], torch.nan)
        return found | {REGISTRY_KEYS.X_KEY: alone, INSTRUMENT_KEY: instrument, VISIT_KEY: visit}

    def forward(self, tensors: dict[str, Tensor], *args: Any, **kwargs: Any) -> Any:
        """Encode, decode and compute the loss: of visits of subjects (with weights) by observations."""
        return super().forward(self.observations(tensors) if WEIGHT_KEY in tensors else tensors, *args, **kwargs)

    def subject_theta(self, subject: Tensor, baseline: Tensor | None) -> Tensor:
        """Return the parameters of the subject of each visit, ``(n, n_theta)``; what is hidden is so for all visits."""
        numbers, where = subject.reshape(-1).unique(return_inverse=True)
        first = torch.zeros_like(where[: len(numbers)]).scatter_reduce_(
            0, where, torch.arange(len(where), device=where.device), "amin", include_self=False
        )
        return self.theta(len(numbers), None if baseline is None else baseline[first])[where]

    def predict_visits(
        self, codes: States, time: Tensor, subject: Tensor, theta: Tensor
    ) -> tuple[States, Tensor, Tensor, States]:
        """Predict each visit from the others of its subject within reach, as if the dynamics were exact.

        Parameters
        ----------
        codes
            Gaussians of the encoder, ``(n, n_latent)``; of several instruments, one for each observation.
        time
            Scaled times, ``(n,)``.
        subject
            Numbers of the subjects, ``(n,)``.
        theta
            Parameters of the dynamics of each visit, ``(n, n_theta)``.

        Returns
        -------
        Combined prediction of each visit; rows of the target and of the source of each pair; carried states of the
        pairs.
        """
        target, source = pairs_within(subject, subject, without_own=True)
        near = (time[target] - time[source]).abs() <= self.reach
        target, source = target[near], source[near]
        starts = States(codes.mean[source], codes.variance[source])
        carried = carry(self.field, starts, time[source], time[target], theta[source])
        return combine(carried, target, len(time)), target, source, carried

    def loss(
        self,
        tensors: dict[str, Tensor],
        inference_outputs: dict[str, Any],
        generative_outputs: dict[str, Any],
        kl_weight: Tensor | float = 1.0,
    ) -> LossOutput:
        """Return the loss of the visits of some subjects; of visits without weights, the negative ELBO."""
        output = super().loss(tensors, inference_outputs, generative_outputs, kl_weight)
        if WEIGHT_KEY not in tensors:
            return output
        weight = tensors[WEIGHT_KEY].reshape(-1)
        weight = weight / weight.mean()
        qz = inference_outputs[MODULE_KEYS.QZ_KEY]
        codes = States(qz.loc, qz.scale.square())
        baseline = tensors.get(BASELINE_KEY)
        subject, time = tensors[SUBJECT_KEY].reshape(-1), self.scale_time(tensors[TIME_KEY].reshape(-1))
        theta = self.subject_theta(subject, None if baseline is None else baseline.to(qz.loc))
        ahead, target, source, carried = self.predict_visits(codes, time, subject, theta)
        elbo = output.reconstruction_loss["reconstruction_loss"] + sum(
            (kl_weight if name == MODULE_KEYS.KL_Z_KEY else 1.0) * value for name, value in output.kl_local.items()
        )
        predicted = self._prediction_loss(tensors, inference_outputs, ahead, target)
        consistency = qz.loc.new_zeros(())
        if len(target):
            apart = (carried.mean - codes.mean[target]).square().sum(-1)
            consistency = (weight[target] * apart).sum() / weight[target].sum().clamp(min=1e-8)
        shrinkage = qz.loc.new_zeros(())
        if baseline is not None and self.n_baseline:
            shrinkage = self.parameter_net.shrinkage(baseline.to(qz.loc))
        output.loss = (
            (weight * (elbo + predicted)).mean()
            + self.consistency_weight * consistency
            + self.shrinkage_weight * shrinkage
            + self._diffusion_loss(codes, carried, target, source, time)
        )
        output.extra_metrics |= {"prediction": predicted.mean().detach(), "consistency": consistency.detach()}
        if INSTRUMENT_KEY in tensors:
            known = target.unique()
            apart = misalignment(
                (ahead.mean - codes.mean)[known], subject[known], tensors[INSTRUMENT_KEY][known], weight[known]
            )
            output.loss = output.loss + self.alignment_weight * apart
            output.extra_metrics["alignment"] = apart.detach()
        return output

    def _diffusion_loss(self, codes: States, carried: States, target: Tensor, source: Tensor, time: Tensor) -> Tensor:
        """Return minus the log-likelihood of codes about those carried to them, by which the diffusion alone learns."""
        if not len(target):
            return codes.mean.new_zeros(())
        span = (time[target] - time[source]).abs()[:, None]
        variance = (carried.variance + codes.variance[target]).detach() + self.log_diffusion.exp() * span
        apart = (carried.mean - codes.mean[target]).detach().square()
        return 0.5 * (apart / variance + variance.log()).sum(-1).mean()

    def _prediction_loss(
        self, tensors: dict[str, Tensor], inference_outputs: dict[str, Any], ahead: States, target: Tensor
    ) -> Tensor:
        """Return minus the log-likelihood of each visit given the others, ``(n,)``; 0 where there are none."""
        z = ahead.mean + ahead.variance.sqrt() * torch.randn_like(ahead.mean)
        decoded = self.generative(**self._get_generative_input(tensors, inference_outputs | {MODULE_KEYS.Z_KEY: z}))
        px = decoded[MODULE_KEYS.PX_KEY]
        if self.log_misfit is not None:
            px.scale = self.log_misfit.exp().expand_as(px.scale)
        values = -px.log_likelihood(tensors[REGISTRY_KEYS.X_KEY])
        return values * torch.zeros_like(values).index_fill(0, target, 1.0)
