from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torch.nn.functional import one_hot

from scgauge._core.compat import MODULE_KEYS
from scgauge._core.registry_keys import BASELINE_KEY, GROWTH_KEY, SUBJECT_KEY, TIME_KEY
from scgauge.module._countvae import CountVAE
from scgauge.nn import GroupMixture, growth_weight, solve
from scgauge.nn.dynamics import LocalLinear, Neural, ParameterNet, Potential, check_field, make_field, theta_names

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scvi.module.base import LossOutput
    from torch import Tensor

    from scgauge.nn import Matching


class ODEVAE(CountVAE):
    r"""Variational autoencoder with latent dynamics; the probability model behind :class:`~scgauge.model.ODEVI`.

    To the model of :class:`CountVAE` it adds a vector field that moves latent points,

    .. math::

        \frac{dz}{dt} = f(t, z; \theta_i), \qquad \theta_i = \theta_{k(i)} + g(y_i)

    with baseline variables :math:`y_i` and, if there are several, groups :math:`k(i)`: a cell stays in its group, which
    is not observed; its probability follows from where the groups lie at the time of the cell
    (:class:`~scgauge.nn.GroupMixture`). The decoder never sees the time, so that all change over time has to pass
    through the latent points. During joint training the loss is the negative ELBO plus the distance between latent
    points that were moved from one snapshot to another and those found there (see `matching_loss`).

    Times inside are scaled: the first training time is 0, the last is 1.

    Parameters
    ----------
    n_input
        Number of genes.
    times
        Training times in the unit of the user, sorted.
    dynamics
        Name of a vector field (see :class:`~scgauge.model.ODEVI`) or a module ``forward(t, z, theta)``.
    dynamics_kwargs
        Arguments of a field given by name.
    n_baseline
        Number of baseline variables.
    baseline_dropout
        Share of the baseline variables that is hidden at random in training.
    n_groups
        Number of groups with dynamics of their own.
    **network
        Passed to :class:`CountVAE`.
    """

    times: Tensor

    def __init__(
        self,
        n_input: int,
        *,
        times: Sequence[float],
        dynamics: str | nn.Module = "neural",
        dynamics_kwargs: dict[str, Any] | None = None,
        n_baseline: int = 0,
        baseline_dropout: float = 0.0,
        n_groups: int = 1,
        **network: Any,
    ) -> None:
        super().__init__(n_input, **network)
        self.register_buffer("times", torch.as_tensor(np.asarray(times, dtype=np.float64)))
        self.origin, self.span = float(times[0]), float(times[-1] - times[0])
        if isinstance(dynamics, str):
            options = dict(dynamics_kwargs or {})
            if isinstance(options.get("fixed"), dict):  # known rates are per unit of the user's time
                options["fixed"] = {name: self.span * value for name, value in options["fixed"].items()}
            n_context = max(min(n_baseline, self.n_latent), n_groups if n_groups > 1 else 0)
            self.field = make_field(dynamics, self.n_latent, n_context=n_context, **options)
        else:
            check_field(dynamics, self.n_latent)
            self.field = deepcopy(dynamics)
        self.n_baseline = n_baseline
        self.parameter_net = ParameterNet(
            len(theta_names(self.field)),
            n_baseline=n_baseline,
            n_groups=n_groups,
            dropout=baseline_dropout,
            first=getattr(self.field, "first_theta", 0.0),
        )
        self.n_groups = n_groups
        self.groups = self._make_groups(len(times)) if n_groups > 1 else None
        if isinstance(dynamics, str) and hasattr(self.field, "memory"):
            last_gap = (float(times[-1]) - float(times[-2])) / self.span
            self.field.register_buffer("memory", torch.tensor(last_gap))
        parts = self.field, self.parameter_net
        #: Values of the parameters of field and parameter network from which a fit that has seen nothing starts.
        self.first_dynamics = [[value.detach().clone() for value in part.parameters()] for part in parts]
        #: Latent points of the training cells at each time while dynamics are trained, else ``None``.
        self.bank: list[Tensor] | None = None
        self.matching: Matching | None = None
        self.matching_weight = 0.0
        #: Energy distance of the forecast of the last snapshot for each memory that was tried.
        self.memory_scores: dict[float, float] = {}

    def _make_groups(self, n_times: int) -> GroupMixture:
        """Make the mixture; groups of a learned field are told apart by their parameters from the start."""
        if not len(theta_names(self.field)):
            message = (
                f"n_groups={self.n_groups} was given, but the field {type(self.field).__name__} has no parameters "
                "(n_theta is 0), in which groups could differ."
            )
            raise ValueError(message)
        if isinstance(self.field, Neural | Potential | LocalLinear):
            with torch.no_grad():
                self.parameter_net.shared[:, : self.n_groups] += torch.eye(self.n_groups)
        return GroupMixture(self.n_groups, n_times, self.n_latent)

    @torch.no_grad()
    def forget_dynamics(self) -> None:
        """Set the parameters of field and parameter network to starting values."""
        for part, values in zip((self.field, self.parameter_net), self.first_dynamics, strict=True):
            for parameter, value in zip(part.parameters(), values, strict=True):
                parameter.copy_(value)

    def scale_time(self, time: Any) -> Any:
        """Bring times of the user's unit to the scale on which the first training time is 0 and the last is 1."""
        return (time - self.origin) / self.span

    def theta(self, n: int, baseline: Tensor | None = None, group: Tensor | None = None) -> Tensor:
        """Return the parameters of the dynamics of each of `n` cells, ``(n, n_theta)``.

        `group` has a one in the column of each cell's group, ``(n, n_groups)``; it is needed if there are several.
        """
        shared = self.parameter_net.shared
        if self.n_groups == 1:
            group = shared.new_ones(n, 1)
        elif group is None:
            message = f"The module has {self.n_groups} groups; say which one each cell belongs to."
            raise ValueError(message)
        return self.parameter_net(group, baseline if self.n_baseline else None)

    def group_probability(self, z: Tensor, t: Tensor) -> Tensor:
        """Return the probability of each group of latent points at scaled times ``(n,)``, ``(n, n_groups)``."""
        if self.groups is None:
            return z.new_ones(len(z), 1)
        return self.groups.probability(z, t, self.scale_time(self.times)).to(z)

    def draw_groups(self, z: Tensor, t: Tensor) -> Tensor | None:
        """Draw the group of each latent point, as rows of zeros and a one; ``None`` if there is one group only."""
        if self.groups is None:
            return None
        drawn = torch.multinomial(self.group_probability(z.detach(), t), 1)[:, 0]
        return one_hot(drawn, self.n_groups).to(z)

    def velocity(self, t: Tensor, z: Tensor, baseline: Tensor | None = None, group: Tensor | None = None) -> Tensor:
        """Return the derivative of latent points ``(n, n_latent)`` by scaled time at scaled times ``(n,)``.

        With several groups and no `group`, it is the mean over them by their probability.
        """
        if self.n_groups == 1 or group is not None:
            return self.field(t[:, None], z, self.theta(len(z), baseline, group))
        total, probability = torch.zeros_like(z), self.group_probability(z, t)
        for index in range(self.n_groups):
            alone = one_hot(torch.full((len(z),), index, device=z.device), self.n_groups).to(z)
            total = total + probability[:, [index]] * self.field(t[:, None], z, self.theta(len(z), baseline, alone))
        return total

    def move(
        self,
        z: Tensor,
        start: Any,
        end: Any,
        *,
        baseline: Tensor | None = None,
        n_steps: int = 8,
        group: Tensor | None = None,
    ) -> Tensor:
        """Move latent points ``(n, n_latent)`` of known groups from one scaled time to another."""
        return solve(self.field, z, start, end, self.theta(len(z), baseline, group), n_steps=n_steps)

    def log_share(self, z: Tensor, batch_index: Tensor, **covariates: Tensor | None) -> Tensor:
        """Return the logarithm of the decoded shares of the library (other data: the decoded means or logits)."""
        cont_covs = covariates.get("cont_covs")
        z_in = z if cont_covs is None else torch.cat((z, cont_covs), dim=-1)
        scale = self.decoder(z_in, self._codes(batch_index, covariates.get("cat_covs"))).scale
        # Of counts the decoder returns logs, which are those of shares up to a constant of the cell.
        return scale.log_softmax(-1) if self.spec.counts and not self.use_size_factor else scale

    def loss(
        self,
        tensors: dict[str, Tensor],
        inference_outputs: dict[str, Any],
        generative_outputs: dict[str, Any],
        kl_weight: Tensor | float = 1.0,
    ) -> LossOutput:
        """Return the negative ELBO, and in joint training the matching of snapshots on top of it."""
        output = super().loss(tensors, inference_outputs, generative_outputs, kl_weight)
        if self.bank is None or self.matching is None or not self.matching_weight or not self.training:
            return output
        z = inference_outputs[MODULE_KEYS.Z_KEY]
        growth = tensors[GROWTH_KEY].reshape(-1) if GROWTH_KEY in tensors else None
        distance = self.matching_loss(z, tensors[TIME_KEY].reshape(-1), tensors.get(BASELINE_KEY), growth)
        output.loss = output.loss + self.matching_weight * distance
        output.extra_metrics["matching"] = distance.detach()
        return output

    def matching_loss(
        self, z: Tensor, time: Tensor, baseline: Tensor | None = None, growth: Tensor | None = None
    ) -> Tensor:
        """Distance between cells moved to other snapshots and the cells of these snapshots.

        Each snapshot of the minibatch is moved to another one: a neighbour with probability 0.7, forward or backward,
        else any. All cells move in one call.

        Parameters
        ----------
        z
            Latent points of a minibatch, ``(n, n_latent)``.
        time
            Their times, in the unit of the user, ``(n,)``.
        baseline
            Baseline variables, ``(n, n_baseline)``.
        growth
            Growth rates, per unit of the user's time, ``(n,)``: moved cells weigh what they grow to on the way.

        Returns
        -------
        Mean distance over snapshots, weighted by their numbers of cells; a scalar.
        """
        if self.bank is None or self.matching is None:
            message = "Matching needs the latent points of the snapshots; they exist during training only."
            raise RuntimeError(message)
        times = self.times.to(time)
        source = (time[:, None] - times).abs().argmin(1)
        n_times = len(times)
        to = torch.zeros(n_times, dtype=torch.long, device=time.device)
        for index in range(n_times):
            neighbours = [other for other in (index - 1, index + 1) if 0 <= other < n_times]
            others = [other for other in range(n_times) if other != index]
            pool = neighbours if float(torch.rand(())) < 0.7 else others
            to[index] = pool[int(torch.randint(len(pool), ()))]
        begin, end = self.scale_time(time), self.scale_time(times[to[source]])
        moved = self.move(z, begin, end, baseline=baseline, group=self.draw_groups(z, begin))
        total, weight = z.new_zeros(()), 0
        for index in source.unique().tolist():
            here = source == index
            mine = moved[here]
            if len(mine) < 2:
                continue
            there = self.bank[int(to[index])]
            drawn = there[torch.randint(len(there), (min(len(there), 128),), device=there.device)]
            gap = float(times[to[index]] - times[index])
            share = growth_weight(None if growth is None else growth[here], gap)
            total = total + len(mine) * self.matching(mine, drawn, share)
            weight += len(mine)
        return total / max(weight, 1)

    @torch.no_grad()
    def encode_all(self, loader: Any) -> tuple[Tensor, ...]:
        """Encode every minibatch of a loader: mean, variance, time (user's unit), baseline, growth, subject of cells.

        What was not registered has no columns.
        """
        was_training = self.training
        self.eval()
        parts: list[tuple[Tensor, ...]] = []
        for batch in loader:
            tensors = {key: value.to(self.device) for key, value in batch.items()}
            qz = self.inference(**self._get_inference_input(tensors))[MODULE_KEYS.QZ_KEY]
            none = qz.loc.new_zeros(len(qz.loc), 0)
            known = (tensors.get(key, none).to(qz.loc) for key in (BASELINE_KEY, GROWTH_KEY, SUBJECT_KEY))
            parts.append((qz.loc, qz.scale.square(), tensors[TIME_KEY].reshape(-1), *known))
        self.train(was_training)
        return tuple(torch.cat(column) for column in zip(*parts, strict=True))

    def snapshots(self, values: Tensor, time: Tensor) -> list[Tensor]:
        """Divide the rows of values among the training times."""
        nearest = (time[:, None] - self.times.to(time)).abs().argmin(1)
        return [values[nearest == index] for index in range(len(self.times))]
