"""OT-CFM (torchcfm) and moscot on the training cells of `time_series.py`, in an interpreter of their own.

    python time_series_peers.py training.npz predicted.npz

Reads ``points`` of the training cells (scaled principal components), their ``times``, the times ``held`` out,
``n_cells`` and a ``seed``; writes predicted points as ``method/n_dims/time``. A package that is not installed is named
and left out.
"""

from __future__ import annotations

import sys

import numpy as np

#: Components of the two spaces in which predictions are scored.
DIMENSIONS = (5, 20)
#: Steps of flow matching, each on one pair of neighbouring snapshots, and cells of each snapshot in a step.
N_STEPS, CELLS_AT_ONCE = 6000, 128


def ot_cfm(points: np.ndarray, times: np.ndarray, held: np.ndarray, n_cells: int, seed: int) -> dict[float, np.ndarray]:
    """Flow matching of neighbouring snapshots coupled by optimal transport; solved from the last one before a time.

    Inside, gaps between snapshots are one unit long, as in the examples of torchcfm.
    """
    import torch
    from torchcfm import ExactOptimalTransportConditionalFlowMatcher
    from torchcfm.models import MLP
    from torchdiffeq import odeint

    torch.set_num_threads(1)
    torch.manual_seed(seed)  # noqa: TID251
    np.random.seed(seed)  # noqa: NPY002, TID251 - torchcfm draws its pairs from it
    rng = np.random.default_rng(seed)
    known = np.unique(times)
    last = len(known) - 1
    clouds = [torch.tensor(points[times == time], dtype=torch.float32) for time in known]
    net = MLP(dim=points.shape[1], w=64, time_varying=True)
    optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, N_STEPS)
    matcher = ExactOptimalTransportConditionalFlowMatcher(sigma=0.1)
    for _ in range(N_STEPS):
        first = rng.integers(last)
        pair = [cloud[torch.randint(len(cloud), (CELLS_AT_ONCE,))] for cloud in clouds[first : first + 2]]
        share, place, way = matcher.sample_location_and_conditional_flow(*pair)
        loss = (net(torch.cat([place, (first + share)[:, None]], 1)) - way).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    found = {}
    for time in held:
        before = np.searchsorted(known, time) - 1
        start = clouds[before][torch.randint(len(clouds[before]), (n_cells,))]
        gap = known[min(before, last - 1) + 1] - known[min(before, last - 1)]  # a forecast goes on in the last unit
        span = torch.tensor([before, before + (time - known[before]) / gap], dtype=torch.float32)
        with torch.no_grad():
            path = odeint(lambda t, z: net(torch.cat([z, t.expand(len(z), 1)], 1)), start, span, rtol=1e-4, atol=1e-4)
        found[time] = path[-1].numpy()
    return found


def moscot(points: np.ndarray, times: np.ndarray, held: np.ndarray, n_cells: int, seed: int) -> dict[float, np.ndarray]:
    """Interpolation along moscot's coupling of the snapshots around a time; it has no forecast."""
    from anndata import AnnData
    from moscot.problems.time import TemporalProblem

    rng = np.random.default_rng(seed)
    known, found = np.unique(times), {}
    for time in held:
        if time > known[-1]:
            continue
        begin, end = known[known < time].max(), known[known > time].min()
        around = np.isin(times, [begin, end])
        adata = AnnData(np.zeros((around.sum(), 1)), obsm={"points": points[around]})
        adata.obs["time"] = times[around]
        adata.obs["time"] = adata.obs["time"].astype("category")
        problem = TemporalProblem(adata).prepare(time_key="time", joint_attr="points").solve(epsilon=1e-2)
        plan = np.asarray(problem[(begin, end)].solution.transport_matrix, dtype=np.float64)
        rows, columns = np.divmod(rng.choice(plan.size, n_cells, p=plan.ravel() / plan.sum()), plan.shape[1])
        share = (time - begin) / (end - begin)
        found[time] = (1 - share) * points[times == begin][rows] + share * points[times == end][columns]
    return found


def main() -> None:
    given, out = np.load(sys.argv[1]), {}
    held, n_cells, seed = given["held"], int(given["n_cells"]), int(given["seed"])
    for method in (ot_cfm, moscot):
        for n_dims in DIMENSIONS:
            try:
                found = method(given["points"][:, :n_dims], given["times"], held, n_cells, seed)
            except ImportError as error:
                print(f"{method.__name__} is left out: {error}", flush=True)
                break
            out |= {f"{method.__name__}/{n_dims}/{time}": cells for time, cells in found.items()}
    np.savez(sys.argv[2], **out)


if __name__ == "__main__":
    main()
