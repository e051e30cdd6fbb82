from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from scgauge._core.adapter import adapt
from scgauge._core.keys import PRIOR_GAP
from scgauge._core.rng import RNG, generator
from scgauge.metrics import prior_gap
from scgauge.tl._sample import sample
from scgauge.tl._split_real import cells_of_model
from scgauge.tl._synthetic_quality import synthetic_quality

if TYPE_CHECKING:
    from anndata import AnnData


def compare_sources(
    model: Any,
    *,
    n_obs: int | None = None,
    n_top_genes: int = 500,
    n_splits: int = 5,
    rng: RNG = None,
    progress: bool = True,
) -> dict[str, AnnData]:
    """Draw cells from prior, posterior and aggregate posterior of a model, and score all three side by side.

    Scores are those of :func:`scgauge.tl.synthetic_quality` against the cells that the model did not see. What prior
    and aggregate posterior differ in is the gap between them (:func:`scgauge.metrics.prior_gap` :cite:p:`Hoffman16`);
    what the posterior itself misses is the fault of decoder and likelihood. Draw with
    ``scgauge.pl.synthetic_quality(result)``.

    Parameters
    ----------
    model
        Trained model as for :func:`scgauge.tl.sample`, with cells that it was not trained on.
    n_obs
        Number of cells from each source; as many as training cells if ``None``.
    n_top_genes, n_splits
        As for :func:`scgauge.tl.synthetic_quality`.
    rng
        Seed or Generator.
    progress
        Whether to show progress bars of what takes longer than two seconds.

    Returns
    -------
    Synthetic cells by source, ``"prior"``, ``"posterior"`` and ``"aggregate"``, each an AnnData as
    :func:`scgauge.tl.sample` returns it with the scores in ``uns["synthetic_quality"]`` and the fields of
    :class:`scgauge.metrics.PriorGap` in ``uns["prior_gap"]``.

    Raises
    ------
    TypeError
        If scgauge cannot read this class of models.
    RuntimeError
        If the model is not trained or has no cells attached.
    ValueError
        If the model was trained on all of its cells, there are too few cells, or an argument is out of range.

    Examples
    --------
    >>> import scgauge
    >>> adata = scgauge.datasets.simulate_counts(300, 20, rng=0)
    >>> scgauge.model.CountVI.setup_anndata(adata)
    >>> model = scgauge.model.CountVI(adata, n_latent=2)
    >>> model.train(max_epochs=1, train_size=0.7, enable_progress_bar=False)
    >>> result = scgauge.tl.compare_sources(model, n_splits=2, rng=0)
    >>> list(result), result["prior"].uns["prior_gap"]["kl"] >= 0
    (['prior', 'posterior', 'aggregate'], True)
    """
    adapter = adapt(model)
    real = adapter.model.adata
    train, _ = cells_of_model(real, model)
    layer = adapter.model.registry_["setup_args"].get("layer")
    draw_rng, score_rng, gap_rng = generator(rng).spawn(3)
    mean, variance = (np.asarray(part, dtype=np.float64) for part in adapter.encode(train))
    gap = {name: float(value) for name, value in asdict(prior_gap(mean, variance, rng=gap_rng)).items()}
    score_seed = int(score_rng.integers(2**31))
    result = {}
    for source in ("prior", "posterior", "aggregate"):
        cells = sample(model, n_obs, source=source, rng=draw_rng.spawn(1)[0], progress=progress)
        # One seed: all sources meet the same parts of the real cells.
        synthetic_quality(
            real,
            cells,
            model=model,
            layer=layer,
            n_top_genes=n_top_genes,
            n_splits=n_splits,
            rng=score_seed,
            progress=progress,
        )
        cells.uns[PRIOR_GAP] = dict(gap)
        result[source] = cells
    return result
