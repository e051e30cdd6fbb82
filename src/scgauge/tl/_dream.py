from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from tqdm.auto import tqdm

from scgauge._core.adapter import adapt
from scgauge._core.checks import check_adata, check_unique_names
from scgauge._core.keys import DREAM
from scgauge._core.matrix import row_sums
from scgauge._core.rng import RNG, generator
from scgauge._core.sampling import stratified_rows
from scgauge._core.store import plain
from scgauge.metrics._distances import dense_rows
from scgauge.metrics._integrated_gradients import gradients_of
from scgauge.tl._attribution_baseline import mean_baselines
from scgauge.tl._attribution_run import model_genes
from scgauge.tl._attribution_sums import Attributor
from scgauge.tl._attribution_target import resolve_target
from scgauge.tl._data_covariance import DataCovariance

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from scgauge._core.arguments import InfiniteFloat
    from scgauge._core.model_protocol import Adapter

#: Cells from which the scale of the data is learnt.
_CELLS = 2000
#: Share of the way to the optimum of a linear output that one step goes at most.
_STRIDE = 0.1
_HALVINGS = 25
#: Range of data that are no counts.
_BOUNDS = {"normal": (-np.inf, np.inf), "bernoulli": (0.0, 1.0)}


def dream(  # noqa: PLR0913 - two of them are not counted: rng, progress
    adata: AnnData,
    model: Any,
    *,
    target: int | dict[str, Any] | Callable[[Tensor], Tensor],
    start: str = "mean",
    direction: Literal["up", "down"] = "up",
    penalty: float = 0.25,
    n_directions: int = 30,
    n_steps: int = 200,
    tolerance: InfiniteFloat = 1e-4,
    rng: RNG = None,
    progress: bool = True,
) -> AnnData:
    r"""Change the expression of a cell step by step until an output of the model is as high as it can be.

    Activation maximisation :cite:p:`Simonyan14`, by gradient ascent in what the encoder reads (log counts), of

    .. math:: F(u) / s_F - \tfrac{\lambda}{2} (u - u_0)^\top C^{-1} (u - u_0)

    where :math:`s_F` is the standard deviation of the output over cells and :math:`C` the covariance of the data (some
    principal directions and what is left of each gene). Genes that vary together are moved together, and an output
    that is linear rises by :math:`1 / \lambda` standard deviations. Expression stays non-negative.

    Parameters
    ----------
    adata
        Cells, with what the model was set up with; they give start and scale.
    model
        Trained model that :func:`scgauge.tl.attribute` reads.
    target
        A latent dimension (from 0), ``{"class": name}`` for the log odds of a label of a SCANVI, ``{"gene": name or
        names}``, or a function of the data; one output.
    start
        Name of the cell to begin with, or ``"mean"`` for the mean profile at the median library size. Batch,
        covariates and library size are those of the cell; of the cell next to the mean profile for ``"mean"``.
    direction
        Whether the output is raised (``"up"``) or lowered (``"down"``).
    penalty
        :math:`\lambda`. The smaller, the farther from data.
    n_directions
        Principal directions in :math:`C`.
    n_steps
        Most steps; a step that would not raise the objective is halved.
    tolerance
        End when a step raises the objective by less than this, in standard deviations of the output.
    rng
        Seed or Generator of the up to 2000 cells from which the scale is learnt.
    progress
        Whether to show a progress bar.

    Returns
    -------
    The path as an AnnData with one row for each step, the start first: the profile in ``X`` (in the scale of the data);
    ``obs``: ``step``, ``output``, ``objective`` and ``distance`` (:math:`\sqrt{(u - u_0)^\top C^{-1} (u - u_0)}`), for
    a SCANVI also the label that the classifier gives (``predicted``); ``var["change"]`` of each gene from start to end
    in what the encoder reads, and ``var["change_in_sd"]``, the same in standard deviations of the gene;
    ``uns["dream"]``: ``params``, ``target``, and mean (``output_mean``) and standard deviation (``output_sd``) of the
    output over cells.

    Raises
    ------
    TypeError
        If ``adata`` is not an AnnData, or the model cannot be read or has no classifier for a class.
    KeyError
        If a cell, class or gene is unknown.
    ValueError
        If an option is unknown, a number is not positive, gene names repeat, genes of the model are missing, there are
        fewer than three cells, the target is not a single output or does not vary between cells.

    Examples
    --------
    >>> import scgauge
    >>> adata = scgauge.datasets.simulate_counts(100, 20, rng=0)
    >>> scgauge.model.CountVI.setup_anndata(adata)
    >>> model = scgauge.model.CountVI(adata, n_latent=2, n_hidden=8)
    >>> model.train(max_epochs=20, enable_progress_bar=False, accelerator="cpu")
    >>> path = scgauge.tl.dream(adata, model, target=0, rng=0, progress=False)
    >>> bool((path.obs["objective"].diff().dropna() > 0).all())
    True
    """
    check_adata(adata)
    check_unique_names(adata)
    for name, value in (("penalty", penalty), ("n_directions", n_directions), ("n_steps", n_steps)):
        if not value > 0:
            message = f"{name}={value}; a positive number is needed."
            raise ValueError(message)
    if direction not in {"up", "down"}:
        message = f"direction={direction!r} was given; choose 'up' or 'down'."
        raise ValueError(message)
    drawn = generator(rng)
    scene = _scene(adata, model, target, start, n_directions, drawn)
    sign = 1.0 if direction == "up" else -1.0
    steps = tqdm(range(n_steps), desc="Dreaming", unit="step", delay=2, disable=not progress)
    path = [scene.at(scene.start, sign, penalty)]
    for _ in steps:
        found = scene.step(path[-1], sign, penalty)
        if found is None:
            break
        path.append(found)
        if found.objective - path[-2].objective < tolerance:
            break
    params = {
        "model": type(model).__name__,
        "target": target if not callable(target) else scene.name,
        "start": start,
        "direction": direction,
        "penalty": penalty,
        "n_directions": n_directions,
        "n_steps": n_steps,
        "tolerance": tolerance,
        "rng": rng,
    }
    notes = {"params": params, "target": scene.name, "output_mean": scene.mean, "output_sd": scene.sd}
    return _as_cells(scene, path, notes)


@dataclass(frozen=True)
class _Point:
    """A point of the path: what the encoder reads, and what comes out."""

    inputs: np.ndarray
    output: float
    gradient: np.ndarray
    objective: float
    distance: float


@dataclass(frozen=True)
class _Scene:
    """What is climbed, and from where."""

    function: Callable[[Tensor], Tensor]
    adapter: Adapter
    cell: int
    name: str
    start: np.ndarray
    covariance: DataCovariance
    spread: np.ndarray
    mean: float
    sd: float
    bounds: tuple[float, float]
    reads_log: bool

    def at(self, inputs: np.ndarray, sign: float, penalty: float) -> _Point:
        """Evaluate a point; its gradient is that of the objective."""
        device = self.adapter.encoder_network().weight.device
        at = torch.as_tensor(inputs[None], dtype=torch.float32, device=device)
        value, slope = gradients_of(self.function, at)
        output, gradient = float(value), slope[0, 0].double().cpu().numpy()
        away = inputs - self.start
        pull = self.covariance.solve(away)
        squared = max(0.0, float(away @ pull))
        objective = sign * output / self.sd - 0.5 * penalty * squared
        return _Point(inputs, output, sign * gradient / self.sd - penalty * pull, objective, squared**0.5)

    def step(self, here: _Point, sign: float, penalty: float) -> _Point | None:
        """Return a higher point, or None if there is none along the projected gradient."""
        low, high = self.bounds
        stuck = ((here.inputs <= low) & (here.gradient < 0)) | ((here.inputs >= high) & (here.gradient > 0))
        free = np.where(stuck, 0.0, here.gradient)
        ahead = np.where(stuck, 0.0, self.covariance.times(free))
        length = _STRIDE / penalty
        for _ in range(_HALVINGS):
            there = self.at(np.clip(here.inputs + length * ahead, low, high), sign, penalty)
            if there.objective > here.objective:
                return there
            length /= 2
        return None


def _scene(adata: AnnData, model: Any, target: Any, start: str, n_directions: int, rng: np.random.Generator) -> _Scene:
    trained = adapt(model)
    genes = model_genes(adata, trained)
    if start != "mean" and start not in adata.obs_names:
        message = f"Did not find the cell start={start!r} in adata.obs_names; pass one of them or 'mean'."
        raise KeyError(message)
    if adata.n_obs < 3:
        message = f"`adata` has {adata.n_obs} cells; at least three are needed for the scale of the data."
        raise ValueError(message)
    adapter = trained.on(adata if np.array_equal(genes, np.arange(adata.n_vars)) else adata[:, genes])
    resolved = resolve_target(adapter, target, rng, log_odds=True)
    if len(resolved.names) != 1:
        message = f"target={target!r} has {len(resolved.names)} outputs; one is needed."
        raise ValueError(message)
    network = adapter.encoder_network()
    attributor = Attributor(adapter, resolved, "ig", "log1p" if network.reads_log else "input", None, 1, None)
    rows = stratified_rows(np.zeros(adata.n_obs, dtype=int), _CELLS, rng)
    values = attributor.values(adata.n_obs)[:, 0]
    if not values.std() > 0:
        message = f"The output {resolved.names[0]!r} is the same for all cells; there is nothing to climb."
        raise ValueError(message)

    def read(data: np.ndarray) -> np.ndarray:
        return network.inputs(torch.as_tensor(data)).double().cpu().numpy()

    points = read(dense_rows(adapter.matrix, rows))
    if start == "mean":
        counts = adapter.likelihood not in {"normal", "bernoulli"}
        middle = np.argsort(row_sums(adapter.matrix))[adata.n_obs // 2]
        profile = mean_baselines(adapter.matrix, np.zeros(adata.n_obs, dtype=int), counts=counts)(np.array([middle]))
        begin = read(profile[0])[0]
        cell = int(rows[np.argmin(((points - begin) ** 2).sum(1))])
    else:
        cell = int(adata.obs_names.get_loc(start))
        begin = read(dense_rows(adapter.matrix, np.array([cell])))[0]
    return _Scene(
        function=attributor.function(np.array([cell]), reads="inputs"),
        adapter=adapter,
        cell=cell,
        name=resolved.names[0],
        start=begin,
        covariance=DataCovariance.of(points, n_directions, rng),
        spread=points.std(0),
        mean=float(values.mean()),
        sd=float(values.std()),
        bounds=_BOUNDS.get(adapter.likelihood, (0.0, np.inf)),
        reads_log=network.reads_log,
    )


def _as_cells(scene: _Scene, path: list[_Point], notes: dict[str, Any]) -> AnnData:
    inputs = np.stack([point.inputs for point in path])
    obs = pd.DataFrame(
        {
            "step": np.arange(len(path)),
            "output": [point.output for point in path],
            "objective": [point.objective for point in path],
            "distance": [point.distance for point in path],
        },
        index=[f"step_{number}" for number in range(len(path))],
    )
    profiles = np.expm1(inputs) if scene.reads_log else inputs
    if "labelled_prior" in scene.adapter.capabilities:
        obs["predicted"] = pd.Categorical(_predicted(scene, inputs))
    result = AnnData(profiles.astype(np.float32), obs=obs, var=pd.DataFrame(index=scene.adapter.genes))
    result.var["change"] = inputs[-1] - inputs[0]
    moves = scene.spread > 0
    result.var["change_in_sd"] = np.divide(result.var["change"], scene.spread, out=np.zeros(len(moves)), where=moves)
    result.uns[DREAM] = plain(notes)
    return result


def _predicted(scene: _Scene, inputs: np.ndarray) -> np.ndarray:
    """Labels that the classifier gives the profiles."""
    network = scene.adapter.encoder_network()
    at = torch.as_tensor(inputs, dtype=torch.float32, device=network.weight.device)
    covariates = network.covariates(scene.adapter.context(np.full(len(inputs), scene.cell)))
    with torch.no_grad():
        logits = scene.adapter.class_logits(network.rest(network.first(at, covariates), covariates))
    return scene.adapter.categories("labels")[logits.argmax(1).cpu().numpy()]
