from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from anndata import AnnData
from joblib import Parallel, delayed
from tqdm.auto import tqdm

from scgauge._core.checks import check_adata
from scgauge._core.compat import EXACT_NUMBERS
from scgauge._core.rng import RNG, generator
from scgauge._core.stored_rows import take_cells
from scgauge._core.whole_files import finished_file
from scgauge.tl._refit import fit_again
from scgauge.tl._sample import sample
from scgauge.tl._synthetic_quality import synthetic_quality

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

#: Columns that name a run.
_RUN = ["n_obs", "seed"]
#: Columns with numbers; NaN where there is none.
_NUMBERS = ["value", "floor", "ceiling", "scaled"]


def learning_curve(  # noqa: PLR0913 - ten without `rng` and `progress`
    adata: AnnData,
    *,
    fit: Callable[[AnnData, int], Any] | Any,
    sizes: Sequence[int] | None = None,
    n_seeds: int = 3,
    holdout: AnnData | float = 0.3,
    layer: str | None = None,
    source: str = "prior",
    n_top_genes: int = 500,
    n_jobs: int = 1,
    path: str | Path | None = None,
    rng: RNG = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Refit a model on growing numbers of cells and score its synthetic cells.

    How many cells does this model need? For each seed the training cells are put in a random order, of which each
    size takes the first, so that larger samples contain the smaller ones. Every refit draws as many synthetic cells
    as there are training cells in all, and these are scored by :func:`scgauge.tl.synthetic_quality` against the
    same cells held out with the same floor and ceiling; only the number of cells that the model has learnt from
    changes :cite:p:`Nussberger21,Treppner21`. Draw with :func:`scgauge.pl.learning_curve`.

    Parameters
    ----------
    adata
        Real cells.
    fit
        Trained model of scgauge, which is refitted with the arguments of its own set-up, construction and training; or
        a function that takes some of the cells and a seed and returns a trained model, or synthetic cells as an AnnData
        (so that any generator of cells can be studied).
    sizes
        Numbers of training cells; six from 50 to all training cells on a log scale if ``None``.
    n_seeds
        Number of refits at each size.
    holdout
        Cells held out, or the share of ``adata`` to hold out at random.
    layer
        Layer with the data that are scored, ``X`` if ``None``.
    source
        Source of the synthetic cells of models, as for :func:`scgauge.tl.sample`.
    n_top_genes
        As for :func:`scgauge.tl.synthetic_quality`.
    n_jobs
        Number of processes.
    path
        CSV file in which every finished refit is kept. If it exists, the refits in it are not repeated: an interrupted
        study goes on where it stopped. It must be of the same study.
    rng
        Seed or Generator; an integer to resume a study.
    progress
        Whether to show a progress bar of the refits.

    Returns
    -------
    Tidy table with the columns ``n_obs`` (training cells), ``seed``, and those of the scores of
    :func:`scgauge.tl.synthetic_quality`: ``family``, ``property``, ``statistic``, ``value``, ``floor``, ``ceiling``,
    ``scaled``, ...

    Raises
    ------
    TypeError
        If ``adata`` is not an AnnData, or ``fit`` is neither a function nor a model that can be refitted.
    KeyError
        If ``layer`` does not exist.
    ValueError
        If a size is not from 2 to the number of training cells, ``n_seeds`` is less than 1, ``holdout`` is not a share,
        or there are too few cells to score.

    Examples
    --------
    >>> import scgauge
    >>> adata = scgauge.datasets.simulate_counts(300, 20, rng=0)
    >>> scgauge.model.CountVI.setup_anndata(adata)
    >>> model = scgauge.model.CountVI(adata, n_latent=2)
    >>> model.train(max_epochs=1, enable_progress_bar=False)
    >>> table = scgauge.tl.learning_curve(adata, fit=model, sizes=[50, 200], n_seeds=1, rng=0, progress=False)
    >>> table["n_obs"].unique().tolist()
    [50, 200]
    """
    check_adata(adata)
    if not callable(fit) and getattr(fit, "train_params_", None) is None:
        message = (
            f"`fit` is {type(fit).__name__}; a trained model of scgauge is needed, or a function that takes "
            "(adata, seed) and returns a trained model or synthetic cells."
        )
        raise TypeError(message)
    if n_seeds < 1:
        message = f"n_seeds={n_seeds} was given; at least 1 is needed."
        raise ValueError(message)
    split_rng, order_rng, score_rng = generator(rng).spawn(3)
    train, unseen = _hold_out(adata, holdout, split_rng)
    numbers = _sizes(sizes, train.n_obs)
    orders = [order_rng.permutation(train.n_obs) for _ in range(n_seeds)]
    score_seed = int(score_rng.integers(2**31))
    finished = _read(path)
    done = set() if finished is None else set(zip(finished["n_obs"], finished["seed"], strict=True))
    left = [(size, seed) for size in numbers for seed in range(n_seeds) if (size, seed) not in done]

    def run(size: int, seed: int) -> pd.DataFrame:
        cells = take_cells(train, np.sort(orders[seed][:size]))
        synthetic = _draw(fit, cells, seed, source, train.n_obs)
        synthetic_quality(
            train, synthetic, holdout=unseen, layer=layer, n_top_genes=n_top_genes, rng=score_seed, progress=False
        )
        scores = synthetic.uns["synthetic_quality"]["scores"].drop(columns="group")
        return scores.assign(n_obs=size, seed=seed)[[*_RUN, *scores.columns]]

    tables = [] if finished is None else [finished]
    bar = tqdm(total=len(numbers) * n_seeds, initial=len(done), desc="Refitting", unit="fit", disable=not progress)
    with bar:
        for table in _results(run, left, n_jobs):
            tables.append(table)
            if path is not None:
                _keep(pd.concat(tables, ignore_index=True), Path(path))
            bar.update()
    return pd.concat(tables, ignore_index=True).sort_values(_RUN, kind="stable", ignore_index=True)


def _results(
    run: Callable[[int, int], pd.DataFrame], left: list[tuple[int, int]], n_jobs: int
) -> Iterator[pd.DataFrame]:
    """Tables as they are finished."""
    if n_jobs == 1:
        return (run(*item) for item in left)
    return Parallel(n_jobs=n_jobs, return_as="generator_unordered")(delayed(run)(*item) for item in left)


def _hold_out(adata: AnnData, holdout: AnnData | float, rng: np.random.Generator) -> tuple[AnnData, AnnData]:
    if isinstance(holdout, AnnData):
        return adata, holdout
    if not isinstance(holdout, int | float) or not 0 < holdout < 1:
        message = f"holdout={holdout!r} was given; an AnnData or a share between 0 and 1 is needed."
        raise ValueError(message)
    order = rng.permutation(adata.n_obs)
    n_unseen = max(1, round(holdout * adata.n_obs))
    return take_cells(adata, np.sort(order[n_unseen:])), take_cells(adata, np.sort(order[:n_unseen]))


def _sizes(sizes: Sequence[int] | None, n_train: int) -> list[int]:
    if sizes is None:
        sizes = np.unique(np.geomspace(min(50, n_train), n_train, 6).round().astype(int)).tolist()
    numbers = sorted({int(size) for size in sizes})
    if not numbers or numbers[0] < 2 or numbers[-1] > n_train:
        message = f"sizes={numbers} must be from 2 to the {n_train} training cells."
        raise ValueError(message)
    return numbers


def _keep(table: pd.DataFrame, path: Path) -> None:
    """Write all finished refits beside the file and move them there: a kill leaves no half of a refit behind."""
    with finished_file(path) as unfinished:
        table.to_csv(unfinished, index=False)


def _read(path: str | Path | None) -> pd.DataFrame | None:
    """Return the refits that a file holds, if it exists."""
    if path is None or not Path(path).exists():
        return None
    try:
        table = pd.read_csv(path, keep_default_na=True, **EXACT_NUMBERS)
    except (ValueError, OSError) as error:  # pandas' errors of parsing are ValueErrors
        message = f"{path} is damaged or no CSV file. Delete it, or choose another `path`."
        raise ValueError(message) from error
    if not set(_RUN) <= set(table.columns):
        message = f"{path} is not a file of this function: it lacks the columns {_RUN}. Choose another `path`."
        raise ValueError(message)
    for name in table.columns.intersection([*_RUN, *_NUMBERS]):
        kinds, words = ("iu", "integers") if name in _RUN else ("iuf", "numbers")
        if len(table) and table[name].dtype.kind not in kinds:
            message = f"{path} is damaged: the column {name!r} must hold {words}. Delete it, or choose another `path`."
            raise ValueError(message)
    return table


def _draw(fit: Any, cells: AnnData, seed: int, source: str, n_obs: int) -> AnnData:
    """Fit on some cells and draw synthetic ones."""
    fitted = fit_again(fit, cells, seed)
    if isinstance(fitted, AnnData):
        return fitted
    return sample(fitted, n_obs, source=source, rng=seed, progress=False)  # type: ignore[arg-type]
