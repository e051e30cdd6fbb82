from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from scgauge._core import keys
from scgauge._core.adapter import CELLS_AT_ONCE, adapt
from scgauge._core.checks import check_adata, check_obs_key
from scgauge._core.rng import RNG, generator
from scgauge._core.store import plain
from scgauge.tl._latent_steps import check_step, take_step
from scgauge.tl._sample import draw_cells

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scgauge._core.model_protocol import Adapter, CellContext


def transform_latent(  # noqa: PLR0913 - seven without `rng` and `progress`
    adata: AnnData,
    model: Any,
    *,
    groupby: str,
    transformations: Mapping[str, Mapping[str, Any]],
    n_steps: int = 3,
    plane: Sequence[int] = (0, 1),
    jitter: float = 0.1,
    draw: Literal["counts", "mean"] = "counts",
    null: bool = True,
    rng: RNG = None,
    progress: bool = True,
) -> AnnData:
    r"""Move chosen groups of cells in a latent space step by step, and decode all cells at each time.

    The result are cells at ``n_steps + 1`` times whose true change is known: the experiment of :cite:t:`Hackenberg25`
    on whether embeddings show it, which :func:`scgauge.tl.transformation_recovery` scores. A step of a group is a
    mapping from operations to numbers, applied in this order to the coordinates in the plane:

    * ``"rotate"``: degrees, counter-clockwise about the centre;
    * ``"spread"``: factor away from the centre;
    * ``"shift"``: a vector to add (two numbers for the plane, or one for each latent dimension);
    * ``"push"``: ``{"a": a, "b": b}`` for :math:`x + a / (x + b)` in both coordinates (numbers, or two of each);
    * ``"move_to"``: ``{"target": point, "share": s}`` for :math:`x + s\,(m - x)`;
    * ``"divide"``: ``{"height": A, "steepness": k}`` for :math:`y + A\,(1/(1 + e^{-k(y - y_0)}) - 1/2)` in the second
      coordinate, a group that splits in two, with ``"level"`` :math:`y_0` (the centre unless given), and ``"a"``,
      ``"b"`` for a push of the first coordinate.

    ``"center"`` names the centre, a point for each latent dimension; it is the mean of the group at the first time
    unless given. Cells of other groups stay, with fresh jitter at each time.

    Parameters
    ----------
    adata
        Cells with the genes, batches and covariates of the model.
    model
        Trained model that scgauge can read, for example :class:`~scgauge.model.CountVI`,
        :class:`~scgauge.model.SupervisedVI` or :class:`scvi.model.SCVI`.
    groupby
        Column of ``adata.obs`` with the groups.
    transformations
        For each group that moves the step that it takes each time.
    n_steps
        Number of steps.
    plane
        The two latent dimensions in which groups move.
    jitter
        Standard deviation of the noise that is added to the latent points of cells that stay, from the second time on.
    draw
        ``"counts"`` draws data from the decoded likelihood, independently at each time; ``"mean"`` takes its mean.
    null
        Whether to decode all times without any change, too.
    rng
        Seed or Generator.
    progress
        Whether to show a progress bar if drawing takes longer than two seconds.

    Returns
    -------
    Cells of all times, ``n_obs * (n_steps + 1)``, time by time in the order of ``adata``, with the genes of the model:

    ``transformed.X`` : :class:`scipy.sparse.csr_matrix` or :class:`numpy.ndarray` (dtype ``float32``)
        Data at each time, decoded with each cell's own library size, batch and covariates.
    ``transformed.layers['identity']``
        The same of cells that do not move, drawn anew at each time; only with ``null=True``.
    ``transformed.obs``
        Columns of ``adata``, and ``"time"`` (0, 1, ...), ``"source_cell"``, ``"transformed"`` (whether the group moves)
        and ``"library_size"``.
    ``transformed.obsm['X_latent']`` : :class:`numpy.ndarray`
        True latent points, ``(n_cells, n_latent)``.
    ``transformed.uns['transform_latent']`` : :class:`dict`
        ``"params"``: the arguments of this call, with the centres.

    Raises
    ------
    TypeError
        If ``adata`` is not an AnnData or scgauge cannot read the model.
    KeyError
        If ``groupby`` does not exist.
    RuntimeError
        If the model is not trained.
    ValueError
        If the cells lack genes or have unknown batches; if a group or an operation is unknown; if the plane is not two
        different latent dimensions; if a number is out of range.

    Examples
    --------
    >>> import scgauge
    >>> adata = scgauge.datasets.simulate_counts(60, 20, rng=0)
    >>> scgauge.model.CountVI.setup_anndata(adata)
    >>> model = scgauge.model.CountVI(adata, n_latent=2)
    >>> model.train(max_epochs=1, enable_progress_bar=False)
    >>> turned = scgauge.tl.transform_latent(
    ...     adata, model, groupby="group", transformations={"group_0": {"rotate": 30.0}}, rng=0
    ... )
    >>> turned.n_obs, turned.obs["time"].unique().tolist()
    (240, [0, 1, 2, 3])
    """
    check_adata(adata)
    labels = check_obs_key(adata, groupby, argument="groupby").astype(str).to_numpy()
    steps = _checked_steps(transformations, labels, groupby)
    if n_steps < 1 or jitter < 0 or draw not in {"counts", "mean"}:
        message = f"n_steps={n_steps} (at least 1), jitter={jitter} (at least 0), draw={draw!r} ('counts' or 'mean')."
        raise ValueError(message)
    adapter = adapt(model).on(adata)
    context = adapter.context(np.arange(adata.n_obs))
    z = np.asarray(adapter.encode(adata=adata)[0], dtype=np.float64)
    axes = [int(axis) for axis in plane]
    if len(set(axes)) != 2 or len(axes) != 2 or not all(0 <= axis < z.shape[1] for axis in axes):
        message = f"plane={list(plane)} needs two different latent dimensions from 0 to {z.shape[1] - 1}."
        raise ValueError(message)
    jitter_rng, *draws = generator(rng).spawn(1 + 2 * (n_steps + 1))
    path, centers = _path(z, labels, steps, axes, n_steps, jitter, jitter_rng)
    n_times = n_steps + 1
    x = [_decoded(adapter, path[t], context, draws[t], draw, progress=progress) for t in range(n_times)]
    layers = {}
    if null:
        still = [_decoded(adapter, z, context, draws[n_times + t], draw, progress=progress) for t in range(n_times)]
        layers["identity"] = _stack(still)
    obs = pd.concat([adata.obs.assign(time=time) for time in range(n_times)])
    obs[keys.SOURCE_CELL] = np.tile(adata.obs_names.to_numpy().astype(str), n_times)
    obs["transformed"] = np.tile(np.isin(labels, list(steps)), n_times)
    obs[keys.LIBRARY] = np.tile(context.exposure, n_times)
    obs = obs[[name for name in obs if not name.startswith("_scvi")]]
    obs.index = [f"{name}-t{time}" for time in range(n_times) for name in adata.obs_names]
    params = {
        "model": type(model).__name__,
        "gene_likelihood": adapter.likelihood,
        "groupby": groupby,
        "transformations": {group.replace("/", "|"): {**step, "group": group} for group, step in steps.items()},
        "centers": pd.DataFrame(centers, index=adapter.latents).T.rename_axis("group").reset_index(),
        "n_steps": n_steps,
        "plane": axes,
        "jitter": jitter,
        "draw": draw,
        "rng": rng,
    }
    uns = {keys.TRANSFORM_LATENT: {"params": {name: plain(value) for name, value in params.items()}}}
    var = pd.DataFrame(index=adapter.genes)
    return AnnData(_stack(x), obs=obs, var=var, layers=layers, obsm={keys.LATENT: np.concatenate(path)}, uns=uns)


def _checked_steps(
    transformations: Mapping[str, Mapping[str, Any]], labels: np.ndarray, groupby: str
) -> dict[str, dict[str, Any]]:
    known = set(labels)
    unknown = [group for group in transformations if str(group) not in known]
    if unknown or not transformations:
        message = f"transformations name {unknown}; groups in adata.obs[{groupby!r}] are {sorted(known)}."
        raise ValueError(message)
    return {str(group): check_step(step, str(group)) for group, step in transformations.items()}


def _path(
    z: np.ndarray,
    labels: np.ndarray,
    steps: Mapping[str, Mapping[str, Any]],
    plane: list[int],
    n_steps: int,
    jitter: float,
    rng: np.random.Generator,
) -> tuple[list[np.ndarray], dict[str, np.ndarray]]:
    """Latent points at each time, and the centre of each group that moves."""
    centers = {}
    for group, step in steps.items():
        center = np.asarray(step.get("center", z[labels == group].mean(axis=0)), dtype=np.float64)
        if center.shape != (z.shape[1],):
            message = f"The center of {group!r} has the shape {center.shape}; {z.shape[1]} numbers are needed."
            raise ValueError(message)
        centers[group] = center
    still = ~np.isin(labels, list(steps))
    path = [z]
    for _ in range(n_steps):
        moved = path[-1].copy()
        moved[still] = z[still] + jitter * rng.standard_normal(z[still].shape)
        for group, step in steps.items():
            rows = labels == group
            moved[rows] = take_step(path[-1][rows], step, centers[group], plane, group)
        path.append(moved)
    return path, centers


def _decoded(
    adapter: Adapter, z: np.ndarray, context: CellContext, rng: np.random.Generator, draw: str, *, progress: bool
) -> Any:
    z = adapter.transform_latent(z)
    if draw == "counts":
        return draw_cells(adapter, z, replace(context), rng, progress=progress)
    starts = range(0, len(z), CELLS_AT_ONCE)
    blocks = (slice(start, start + CELLS_AT_ONCE) for start in starts)
    means = [adapter.decode(z[rows], context.take(rows))["mean"].astype(np.float32) for rows in blocks]
    return np.concatenate(means)


def _stack(parts: list[Any]) -> Any:
    return sparse.vstack(parts, format="csr") if sparse.issparse(parts[0]) else np.concatenate(parts)
