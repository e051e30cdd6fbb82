"""Which individuals are similar: their latent trajectories have the same shape."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from scgauge._core.compat import MODULE_KEYS
from scgauge._core.registry_keys import BASELINE_KEY, SUBJECT_KEY, TIME_KEY
from scgauge.nn import States, carry, combine

if TYPE_CHECKING:
    from torch import Tensor

    from scgauge.module import LongitudinalVAE
    from scgauge.train._subject_loader import SubjectLoader

#: Times at which trajectories are compared; individuals compared at once.
N_TIMES, AT_ONCE = 10, 256


def tricube(distance: np.ndarray) -> np.ndarray:
    """Kernel weights :math:`(1 - d^3)^3` of distances, 0 from 1 on."""
    return (1 - np.clip(distance, 0, 1) ** 3) ** 3


@torch.no_grad()
def latent_trajectories(module: LongitudinalVAE, tensors: dict[str, Any], times: Tensor) -> Tensor:
    """Return the combined latent trajectory of each subject of a minibatch, ``(n_subjects, n_times, n_latent)``."""
    tensors = module.observations(tensors)
    qz = module.inference(**module._get_inference_input(tensors))[MODULE_KEYS.QZ_KEY]
    numbers, subject = tensors[SUBJECT_KEY].reshape(-1).unique(return_inverse=True)
    baseline = tensors.get(BASELINE_KEY)
    theta = module.subject_theta(subject, None if baseline is None else baseline.to(qz.loc))
    own = module.scale_time(tensors[TIME_KEY].reshape(-1)).to(qz.loc)
    codes, diffusion = States(qz.loc, qz.scale.square()), module.log_diffusion.exp()
    path = [
        combine(
            carry(module.field, codes, own, time.to(own).expand_as(own), theta, diffusion=diffusion),
            subject,
            len(numbers),
        ).mean
        for time in times
    ]
    return torch.stack(path, 1)


def similar_subjects(
    module: LongitudinalVAE, loader: SubjectLoader, *, n_similar: int, bandwidth: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    r"""Find for each individual the most similar ones by their latent trajectories.

    Trajectories on a grid of times are centred for each individual and dimension, so that their shape counts; the
    distance is the root of the mean squared distance over the grid, the weight :math:`(1 - (d / h)^3)^3` for
    :math:`d < h` :cite:p:`Hackenberg22`.

    Parameters
    ----------
    module
        Module, trained or in training.
    loader
        Loader of the subjects.
    n_similar
        Number of individuals, the individual itself included.
    bandwidth
        Width :math:`h` of the kernel.

    Returns
    -------
    Positions of the similar individuals and their weights, which sum to 1, ``(n_subjects, n_similar)`` each.
    """
    was_training = module.training
    module.eval()
    grid = torch.linspace(0.1, 1, N_TIMES)
    parts = []
    for begin in range(0, len(loader.subjects), AT_ONCE):
        batch = loader._take(np.arange(begin, min(begin + AT_ONCE, len(loader.subjects))), None)
        batch = {key: value.to(module.device) for key, value in batch.items()}
        parts.append(latent_trajectories(module, batch, grid.to(module.device)).cpu())
    module.train(was_training)
    paths = torch.cat(parts).double()
    flat = (paths - paths.mean(1, keepdim=True)).flatten(1) / np.sqrt(N_TIMES)
    size = min(n_similar, len(flat))
    near, distance = [], []
    for block in flat.split(AT_ONCE):
        found = torch.cdist(block, flat).topk(size, largest=False)
        near.append(found.indices.numpy())
        distance.append(found.values.numpy())
    weights = tricube(np.concatenate(distance) / bandwidth)
    return np.concatenate(near), weights / weights.sum(1, keepdims=True)
