from __future__ import annotations

from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from tqdm import tqdm

from scgauge._core import keys
from scgauge._core.rng import seeded
from scgauge._core.store import store
from scgauge._core.threads import threads_for
from scgauge._core.whole_files import finished_together
from scgauge.report._cells import open_cells, rows_to_show, where
from scgauge.report._figures import joint_umap, save_marginals, save_training, save_umap, size_on_page
from scgauge.report._fit import Settings, longest_run, train_and_draw
from scgauge.report._page import code, render, subject, versions
from scgauge.report._quiet import quiet
from scgauge.report._write import write

if TYPE_CHECKING:
    from anndata import AnnData

    from scgauge.report._cells import Cells
    from scgauge.report._fit import CountLikelihood, Trained

PAGE, REPORT = "index.html", "report.html"
#: Cells of each kind in the UMAP.
MOST_CELLS_SHOWN = 10_000


def run_demo(  # noqa: PLR0913 - nine without `seed` and `progress`
    data: AnnData | str | Path | None = None,
    *,
    layer: str | None = None,
    labels_key: str | None = None,
    batch_key: str | None = None,
    out: str | Path = "scgauge-demo",
    max_epochs: int | None = None,
    n_latent: int = 10,
    gene_likelihood: CountLikelihood = "nb",
    seed: int = 0,
    report: bool = True,
    progress: bool = True,
) -> Path:
    r"""Train a model on cells, draw synthetic cells from it, and write a page that shows both.

    Opens the cells with :func:`open_cells`, and does the rest with :func:`write_demo`.

    Parameters
    ----------
    data, layer, labels_key, batch_key
        Cells and where their counts, labels and batches stand; see :func:`open_cells`.
    out, max_epochs, n_latent, gene_likelihood, seed, report, progress
        Where to write, and what to train; see :func:`write_demo`.

    Returns
    -------
    Path of the page, ``index.html`` in the folder ``out``.

    Raises
    ------
    TypeError
        If `data` is not an AnnData, a path or ``None``.
    KeyError
        If the layer or a column does not exist.
    ValueError
        If the cells cannot be used, or an argument is out of range.
    OSError
        If a file cannot be read or written.
    FloatingPointError
        If the model diverged.

    Examples
    --------
    >>> import tempfile
    >>> from scgauge.report import run_demo
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     page = run_demo(out=folder, max_epochs=1, report=False, progress=False)
    ...     sorted(path.name for path in page.parent.iterdir())
    ['adata.h5ad', 'index.html', 'marginals.png', 'synthetic.h5ad', 'training.png', 'umap.png']
    """
    return write_demo(
        open_cells(data, layer=layer, labels_key=labels_key, batch_key=batch_key),
        out=out,
        max_epochs=max_epochs,
        n_latent=n_latent,
        gene_likelihood=gene_likelihood,
        seed=seed,
        report=report,
        progress=progress,
    )


def write_demo(
    cells: Cells,
    *,
    out: str | Path = "scgauge-demo",
    max_epochs: int | None = None,
    n_latent: int = 10,
    gene_likelihood: CountLikelihood = "nb",
    seed: int = 0,
    report: bool = True,
    progress: bool = True,
) -> Path:
    r"""Train a model on cells that were opened, draw synthetic cells from it, and write a page that shows both.

    :class:`~scgauge.model.CountVI` is trained with a tenth of the cells held out, and
    :func:`~scgauge.tl.sample` draws as many synthetic cells from its prior as there are real ones. Real and synthetic
    cells then take the same way: the encoder turns their counts into latent points, and one UMAP is fitted to the
    points of both. (A UMAP fitted to real cells alone would pull every synthetic cell onto them.) The cells that were
    given are not changed; random states, warning filters, log levels and threads are put back afterwards.

    Parameters
    ----------
    cells
        Cells from :func:`open_cells`.
    out
        Folder to write to. Files of an earlier demo in it are replaced, others are left alone.
    max_epochs
        Upper limit of training epochs; training stops earlier once the held-out ELBO has not improved for 45 epochs.
        If ``None``, :math:`\min(300, 8 \cdot 10^6 / n)` for :math:`n` cells.
    n_latent
        Dimension of the latent space.
    gene_likelihood
        Likelihood of the counts.
    seed
        Seed of everything that is random.
    report
        Whether to check and explain the model, too, with :func:`scgauge.report.write`, in ``report.html``.
    progress
        Whether to say what is being done, with a bar for the training.

    Returns
    -------
    Path of the page, ``index.html`` in the folder ``out``. Beside it are

    ``report.html``
        Verdicts on the model with their evidence, if ``report``.
    ``training.png``, ``umap.png``, ``marginals.png``
        The figures, with 200 dots per inch.
    ``adata.h5ad``
        The cells with their latent points in ``obsm['X_scgauge']``, the UMAP in ``obsm['X_scgauge_umap']`` (NaN for
        cells that are not shown, if there are more than 10,000) and settings and numbers in ``uns['scgauge_demo']``.
    ``synthetic.h5ad``
        The synthetic cells, with the same entries, and the points that were drawn in ``obsm['X_latent']``.

    Nothing is written if anything fails.

    Raises
    ------
    ValueError
        If an argument is out of range.
    FileExistsError
        If ``out`` is a file.
    FloatingPointError
        If the model diverged.

    Examples
    --------
    >>> import tempfile
    >>> from scgauge.datasets import simulate_counts
    >>> from scgauge.report import open_cells, write_demo
    >>> cells = open_cells(simulate_counts(60, 20, rng=0), labels_key="group")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_demo(cells, out=folder, max_epochs=1, report=False, progress=False).name
    'index.html'
    """
    limit = longest_run(cells.adata.n_obs) if max_epochs is None else max_epochs
    if limit < 1:
        message = f"max_epochs={max_epochs} was given; at least 1 is needed."
        raise ValueError(message)
    settings = Settings(limit, n_latent, gene_likelihood, seed)
    say = tqdm.write if progress else _silent
    out = Path(out)
    with finished_together(out, last=PAGE) as folder, quiet(), seeded(seed), threads_for(cells.adata.n_vars):
        trained = train_and_draw(cells, settings, say, progress=progress)
        say("Fitting one UMAP to real and synthetic cells, writing figures, cells and page")
        _write(folder, cells, settings, trained, has_report=report)
        if report:
            say("Checking and explaining the model")
            _write_report(folder / REPORT, cells, trained, seed, progress=progress)
    return out / PAGE


def _silent(_: str) -> None:
    """Take the place of `tqdm.write` where nothing is to be said."""


def _rows_shown(cells: Cells, synthetic: AnnData, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Cells of each kind in the UMAP."""
    rng = np.random.default_rng(seed)
    n_shown = min(MOST_CELLS_SHOWN, synthetic.n_obs)
    return rows_to_show(cells, MOST_CELLS_SHOWN, rng), np.sort(rng.choice(synthetic.n_obs, n_shown, replace=False))


def _for_all(points: np.ndarray, rows: np.ndarray, n_cells: int) -> np.ndarray:
    """Coordinates of all cells, NaN where a cell is not shown."""
    coordinates = np.full((n_cells, points.shape[1]), np.nan, dtype=np.float32)
    coordinates[rows] = points
    return coordinates


def _write_report(path: Path, cells: Cells, trained: Trained, seed: int, *, progress: bool) -> None:
    """Write the report on the model that was trained."""
    shown, labels_key = cells.for_model(), None
    if cells.labels is not None:
        labels_key = str(cells.labels.name)
        shown.obs[labels_key] = cells.labels.to_numpy()
    write(shown, trained.model, path, labels_key=labels_key, seed=seed, progress=progress)


def _write(folder: Path, cells: Cells, settings: Settings, trained: Trained, *, has_report: bool) -> None:
    """Make the embedding and write everything."""
    real, synthetic = cells.adata, trained.synthetic
    rows = _rows_shown(cells, synthetic, settings.seed)
    points = joint_umap(trained.latent[rows[0]], trained.synthetic_latent[rows[1]], settings.seed)
    save_training(trained.model, folder / "training.png")
    save_umap(*points, None if cells.labels is None else cells.labels.iloc[rows[0]], folder / "umap.png")
    save_marginals(cells, synthetic, folder / "marginals.png")

    table = pd.DataFrame([asdict(row) for row in trained.rows])
    params = asdict(settings) | {"layer": cells.layer, "batch_key": cells.batch_key, "labels_key": cells.labels_key}
    notes = {keys.DEMO: {"params": params, "versions": versions(), "numbers": table}}
    latents = (trained.latent, trained.synthetic_latent)
    for kind, name in enumerate(("adata", "synthetic")):
        written = (real, synthetic)[kind].copy()
        coordinates = _for_all(points[kind], rows[kind], written.n_obs)
        obsm = {keys.X_SCGAUGE: latents[kind], keys.X_SCGAUGE_UMAP: coordinates}
        store(written, copy=False, obsm=obsm, uns=notes)
        written.write_h5ad(folder / f"{name}.h5ad")

    page = render(
        "demo.html.j2",
        subject=subject(cells),
        counts_from=where(cells.layer),
        n_held_out=len(trained.model.validation_indices),
        source=cells.source,
        cells=cells,
        settings=settings,
        trained=trained,
        n_shown=[len(part) for part in rows],
        sizes={path.name: size_on_page(path) for path in folder.glob("*.png")},
        versions=versions(),
        code=code(cells, settings, has_empty=synthetic.n_obs < real.n_obs),
        date=date.today().isoformat(),
        report=REPORT if has_report else None,
    )
    (folder / PAGE).write_text(page, encoding="utf-8")
