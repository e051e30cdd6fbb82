from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from scgauge._core.checks import check_adata
from scgauge._core.keys import VELOCITY
from scgauge._core.store import store
from scgauge.tl._trajectory import need_dynamics, reading

if TYPE_CHECKING:
    from anndata import AnnData


def velocity(
    adata: AnnData, model: Any, *, genes: bool = False, key_added: str = VELOCITY, copy: bool = False
) -> AnnData | None:
    """Write the velocity of each cell along learnt dynamics, per unit of the user's time.

    The latent points and velocities fit CellRank's
    ``VelocityKernel(adata, attr="obsm", xkey="X_velocity", vkey="velocity")``. Draw them with
    :func:`scgauge.pl.velocity_field`.

    Parameters
    ----------
    adata
        Cells that the model was trained on or others with its genes and columns.
    model
        Trained :class:`scgauge.model.ODEVI`.
    genes
        Whether to write also the velocity of each gene, a dense layer: the change of the logarithm of its decoded share
        of the library per unit of time.
    key_added
        Key in ``adata.obsm`` (and ``adata.layers``).
    copy
        Whether to work on a copy of ``adata`` and return it.

    Returns
    -------
    Returns ``None`` if ``copy=False``, else returns an ``AnnData`` object. Sets the following fields:

    ``adata.obsm[f"X_{key_added}"]`` : :class:`numpy.ndarray`
        Latent means, ``(n_obs, n_latent)``.
    ``adata.obsm[key_added]`` : :class:`numpy.ndarray`
        Their velocities, ``(n_obs, n_latent)``.
    ``adata.uns[key_added]`` : :class:`dict`
        ``"params"``: ``"genes"`` and ``"time_key"``.

    With ``genes=True`` also the layer ``key_added`` with the velocities of the genes, ``(n_obs, n_vars)``.

    Raises
    ------
    TypeError
        If ``adata`` is not an AnnData or the model has no dynamics.
    RuntimeError
        If the model is not trained.

    Examples
    --------
    >>> import scgauge
    >>> adata = scgauge.datasets.simulate_time_series(90, 30, times=(0, 1, 2), rng=0)
    >>> scgauge.model.ODEVI.setup_anndata(adata, time_key="time")
    >>> model = scgauge.model.ODEVI(adata, n_latent=2)
    >>> model.train(max_epochs=2, plan_kwargs={"n_flow_steps": 5}, enable_progress_bar=False)
    >>> scgauge.tl.velocity(adata, model)
    >>> adata.obsm["velocity"].shape
    (90, 2)
    """
    check_adata(adata)
    need_dynamics(model)
    notes = {"params": {"genes": genes, "time_key": model.registry_["setup_args"]["time_key"]}}
    with reading(adata, model) as (data, latent):
        slots: dict[str, dict[str, Any]] = {
            "obsm": {f"X_{key_added}": latent, key_added: model.get_velocity(data)},
            "uns": {key_added: notes},
        }
        if genes:
            slots["layers"] = {key_added: model.get_velocity(data, space="gene").astype(np.float32)}
    return store(adata, copy=copy, **slots)
