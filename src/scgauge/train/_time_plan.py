from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn.functional import one_hot

from scgauge.nn import growth_weight, make_matching
from scgauge.nn._matching import energy
from scgauge.nn.dynamics import LocalLinear, Neural, Potential
from scgauge.train._flow_matching import match_flow
from scgauge.train._group_fit import fit_groups, refine_groups
from scgauge.train._plan import CountTrainingPlan
from scgauge.train._processes import all_rows, is_shared, take_from_first
from scgauge.train._snapshot_paths import SnapshotCells, subject_cells

if TYPE_CHECKING:
    from torch import Tensor

    from scgauge.module import ODEVAE


#: Memory of a learned field of cohorts, in scaled time, and weight of the shrinkage of their parameters.
MEMORY_OF_SUBJECTS, SHRINKAGE = 0.25, 1e-3
#: Lengths of memory that are tried, in units of the last gap, and most cells of a snapshot in their comparison.
MEMORIES, MOST_CELLS = (0.02, 0.25, 0.5, 1.0, 2.0), 1000


class SnapshotPlan(CountTrainingPlan):
    r"""Training plan for snapshots: first the autoencoder, then the dynamics, then both together.

    1. The autoencoder is trained alone, as :class:`CountTrainingPlan` does.
    2. If asked for, autoencoder and field are trained together in the last epochs: the negative ELBO plus the distance
       between snapshots that the field has moved and those it should meet.
    3. If the model has several groups, they are learned from the final latent points of the training cells
       (:func:`fit_groups`).
    4. The field is fitted to the final latent points of the training cells (`match_flow`): flow matching along smooth
       paths through optimally coupled snapshots, then also by the distance between moved and found snapshots. Each
       group is coupled by itself.
    5. How far a learned field may run on after the last snapshot is chosen beforehand: a field is fitted to all
       snapshots but the last, which is then forecast with several lengths of memory; the best one is taken.

    Where growth rates :math:`r` are registered, the cells of a snapshot weigh, wherever they are matched with another
    one, what they grow to until then, :math:`\propto \exp(r \Delta t)` :cite:p:`Schiebinger19`.

    Of cohorts (several cells of a subject at a time) the cells of each subject are coupled and compared by themselves,
    subjects weigh alike whatever their numbers of cells in stage 4, and stages 2, 3 and 5 are left out.

    Only training cells are used in every stage. Processes that share the cells fit the field to the cells of all, each
    for itself, and take that of the first.

    Parameters
    ----------
    module
        The module to train.
    joint_share
        Share of the epochs in which both are trained together. It lets the field shape the latent space, at the price
        of predictions between the snapshots (see the user guide); 0 by default.
    joint_weight
        Weight of the distance against the negative ELBO of a cell, in nats, in joint epochs.
    matching
        Distance between snapshots: ``"energy"``, ``"sinkhorn"``, ``"sliced"`` or ``"mmd"``; ``None`` fits the field by
        flow matching alone.
    matching_weight
        Weight of the distance in the fit of the field.
    kinetic_weight
        Weight of the mean squared speed (latent units per scaled time) of the cells that are moved there. It makes ways
        straighter and slower, where the smoothest path through the snapshots is a detour; 0 by default.
    path
        Paths through the snapshots: ``"spline"`` (natural cubic, the smoothest) or ``"linear"``.
    n_flow_steps
        Steps of each fit of the field.
    flow_lr
        Learning rate of each fit of the field.
    **kwargs
        Passed to :class:`CountTrainingPlan`.
    """

    has_fixed_shapes = False

    def __init__(
        self,
        module: ODEVAE,
        *,
        joint_share: float = 0.0,
        joint_weight: float = 10.0,
        matching: str | None = "energy",
        matching_weight: float = 1.0,
        kinetic_weight: float = 0.0,
        path: str = "spline",
        n_flow_steps: int = 2000,
        flow_lr: float = 2e-3,
        **kwargs: Any,
    ) -> None:
        if not 0 <= joint_share < 1:
            message = f"joint_share={joint_share!r} was given; a share in [0, 1) is needed."
            raise ValueError(message)
        if path not in {"spline", "linear"}:
            message = f"path={path!r} was given; choose 'spline' or 'linear'."
            raise ValueError(message)
        if not kinetic_weight >= 0 or (kinetic_weight and matching is None):
            message = (
                f"kinetic_weight={kinetic_weight!r} and matching={matching!r} were given; a number from 0 is needed, "
                "and a distance if it is positive: without one nothing holds the ways to the snapshots."
            )
            raise ValueError(message)
        distance = None if matching is None else make_matching(matching)
        super().__init__(module, **kwargs)
        module.matching, module.matching_weight = distance, joint_weight
        self.fit_arguments: dict[str, Any] = {
            "path": path,
            "matching": distance,
            "matching_weight": matching_weight,
            "kinetic_weight": kinetic_weight,
        }
        self.joint_share, self.n_flow_steps, self.flow_lr = joint_share, n_flow_steps, flow_lr
        self.flow_losses: list[list[float]] = []

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the values from which a fit that has seen nothing starts: another process draws others."""
        checkpoint["first_dynamics"] = self.module.first_dynamics

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take them back."""
        self.module.first_dynamics = checkpoint.get("first_dynamics", self.module.first_dynamics)

    def on_train_epoch_start(self) -> None:
        """Fit the field when the autoencoder has been trained alone, and renew the snapshots before joint epochs."""
        super().on_train_epoch_start()
        total = self.trainer.max_epochs or 1
        first_joint = total - int(self.joint_share * total)
        if self.trainer.current_epoch >= first_joint:
            self._renew_bank(fit=self.trainer.current_epoch == first_joint)

    def on_train_end(self) -> None:
        """Fit the field to the final latent points and forget the snapshots."""
        self._renew_bank(fit=True)
        self.module.bank = None

    @torch.no_grad()
    def _choose_memory(self, cells: SnapshotCells, draws: list[Tensor]) -> None:
        """Set how far the field runs on after the last snapshot by forecasting that from those before it."""
        module, field = self.module, self.module.field
        scaled = cells.knots(module)
        if not isinstance(field, Neural | Potential | LocalLinear) or len(scaled) < 3:
            return
        before = deepcopy(field.state_dict()), deepcopy(module.parameter_net.state_dict())
        # What was fitted before, in another training or to joint epochs, has seen the snapshot to be forecast.
        module.forget_dynamics()
        most = max(1, self.n_flow_steps // 2)
        earlier = cells._replace(times=scaled).before_last()
        match_flow(module, earlier, n_steps=most, lr=self.flow_lr, **self.fit_arguments)
        field.horizon.fill_(scaled[-2])
        group, baseline = None, cells.baseline[-2]
        if cells.groups is not None:
            chance = torch.as_tensor(cells.groups[-2]).to(draws[-2])
            group = one_hot(torch.multinomial(chance, 1)[:, 0], module.n_groups).to(draws[-2])
        gap, scores = scaled[-1] - scaled[-2], {}
        weight = growth_weight(None if cells.growth is None else cells.growth[-2][:MOST_CELLS], gap)
        for share in MEMORIES:
            field.memory.fill_(share * gap)
            moved = module.move(draws[-2], scaled[-2], scaled[-1], baseline=baseline, n_steps=16, group=group)
            scores[share] = float(energy(moved[:MOST_CELLS], draws[-1][:MOST_CELLS], weight))
        field.load_state_dict(before[0])
        module.parameter_net.load_state_dict(before[1])
        module.memory_scores = scores
        field.memory.fill_(min(scores, key=scores.__getitem__) * gap)

    @torch.no_grad()
    def _fit_cohorts(self, columns: tuple[Tensor, ...]) -> None:
        """Fit the field to the cells of each subject."""
        module = self.module
        series = subject_cells(module, columns)
        module.parameter_net.learn_scale(torch.stack([cells.baseline[0][0] for cells in series]))
        if hasattr(module.field, "memory"):
            module.field.memory.fill_(MEMORY_OF_SUBJECTS)
        arguments = self.fit_arguments | {"shrinkage": SHRINKAGE, "n_steps": self.n_flow_steps, "lr": self.flow_lr}
        self.flow_losses.append(match_flow(module, *series, **arguments))

    @torch.no_grad()
    def _renew_bank(self, *, fit: bool) -> None:
        module, together = self.module, is_shared()
        if together:
            take_from_first(module)  # batch norm of each process has seen its own cells last
        encoded = module.encode_all(self.trainer.datamodule.train_dataloader())
        if encoded[-1].numel():
            self._fit_cohorts(encoded)
            return
        mean, variance, time, baseline, growth, _ = map(all_rows, encoded) if together else encoded
        cells = SnapshotCells(*(module.snapshots(values, time) for values in (mean, variance, baseline)))
        if growth.numel():
            cells = cells._replace(growth=module.snapshots(module.span * growth[:, 0], time))
        module.parameter_net.learn_scale(baseline)
        draws = mean + variance.sqrt() * torch.randn_like(mean)
        module.bank = module.snapshots(draws, time)
        if module.groups is not None:
            cells = cells._replace(groups=self._fit_groups(cells, from_scratch=fit))
        if fit:
            self._choose_memory(cells, module.bank)
            losses = match_flow(module, cells, n_steps=self.n_flow_steps, lr=self.flow_lr, **self.fit_arguments)
            self.flow_losses.append(losses)
            if together:
                take_from_first(module)

    def _fit_groups(self, cells: SnapshotCells, *, from_scratch: bool) -> list[np.ndarray]:
        """Learn where the groups lie, or follow them where the latent points have moved; the cells' probabilities."""
        module, mean = self.module, cells.mean
        snapshots = [part.double().cpu().numpy() for part in mean]
        if from_scratch:
            rng = np.random.default_rng(int(torch.randint(2**31, ())))
            growth = cells.growth_of_gaps(module.scale_time(module.times.cpu().numpy()))
            found = fit_groups(snapshots, module.n_groups, rng, growth=growth)
        else:
            times = module.scale_time(module.times).to(mean[0])
            known = [module.group_probability(z, t.expand(len(z))) for z, t in zip(mean, times, strict=True)]
            found = refine_groups(snapshots, [part.double().cpu().numpy() for part in known])
        module.groups.set(*(torch.as_tensor(part) for part in found[:3]))
        return found.probability
