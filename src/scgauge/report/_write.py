from __future__ import annotations

from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm.auto import tqdm

from scgauge._core.rng import seeded
from scgauge._core.threads import threads_for
from scgauge._core.whole_files import finished_together
from scgauge.report import sections
from scgauge.report._page import render, versions
from scgauge.report._quiet import quiet
from scgauge.report._read import FOUND, WORDS, found
from scgauge.report._section import Section, Verdict
from scgauge.report._subject import subject_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from anndata import AnnData

    from scgauge.report._subject import Subject

#: What a check may raise on a model or on cells that it is not made for.
_NOT_FOR_THIS = (TypeError, ValueError, KeyError)


def write(
    adata: AnnData,
    model: Any,
    path: str | Path = "report.html",
    *,
    labels_key: str | None = None,
    basis: str | list[str] | None = None,
    title: str | None = None,
    n_cells: int = 5000,
    seed: int = 0,
    progress: bool = True,
) -> Path:
    """Check and explain a trained model, and write what was found as one HTML page.

    The page begins with verdicts in plain words, each linked to its evidence: whether training went well
    (:func:`scgauge.pl.history`), whether synthetic cells are like real ones (:func:`scgauge.tl.compare_sources`),
    whether they are copies (:func:`scgauge.tl.memorization`), whether pictures of the cells can be believed
    (:func:`scgauge.tl.embedding_quality`), which genes drive the latent dimensions (:func:`scgauge.tl.attribute`), and
    for a time series whether the dynamics lead from the first cells to the later ones. A check that cannot be made is
    named with the reason. The page needs no other file and no network. Neither cells nor model are changed.
    :func:`scgauge.report.read` returns the verdicts of a page as a table.

    Parameters
    ----------
    adata
        The cells that the model was set up with, in the same order; embeddings in ``obsm`` are judged.
    model
        Trained model: one of :mod:`scgauge.model`, :class:`scvi.model.SCVI`, :class:`scvi.model.LinearSCVI`,
        :class:`scvi.model.SCANVI` or a subclass. Cells that it was not trained on make the checks sharper: train with
        ``train_size=0.9``.
    path
        File to write; replaced if it exists.
    labels_key
        Column of ``adata.obs`` with labels that colour the cells.
    basis
        Key or keys in ``adata.obsm`` of the pictures to judge; all with two columns if ``None``, and a UMAP of the
        latent space if there is none.
    title
        Title of the page.
    n_cells
        Most cells for figures, synthetic cells and attributions.
    seed
        Seed of everything that is random.
    progress
        Whether to show progress bars.

    Returns
    -------
    Path of the page. Nothing is written if the arguments do not fit.

    Raises
    ------
    TypeError
        If ``adata`` is not an AnnData, or scgauge cannot read the model.
    RuntimeError
        If the model is not trained or has no cells attached.
    KeyError
        If ``labels_key`` or ``basis`` does not exist.
    ValueError
        If the cells are not those of the model, labels are missing, or ``n_cells`` is less than 20.
    FileExistsError
        If ``path`` is a folder.

    Examples
    --------
    >>> import tempfile, scgauge
    >>> adata = scgauge.datasets.simulate_counts(200, 20, rng=0)
    >>> scgauge.model.CountVI.setup_anndata(adata)
    >>> model = scgauge.model.CountVI(adata, n_latent=2)
    >>> model.train(max_epochs=1, train_size=0.7, enable_progress_bar=False)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     page = scgauge.report.write(adata, model, f"{folder}/card.html", progress=False)
    ...     page.read_text().count("<section")
    6
    """
    path = Path(path)
    if path.is_dir():
        message = f"{str(path)!r} is a folder; name a file to write to, for example {str(path / 'report.html')!r}."
        raise FileExistsError(message)
    if n_cells < 20:
        message = f"n_cells={n_cells} was given; at least 20 are needed."
        raise ValueError(message)
    subject = subject_of(
        adata, model, labels_key=labels_key, basis=basis, seed=seed, n_cells=n_cells, progress=progress
    )
    with (
        quiet(),
        seeded(seed),
        threads_for(len(subject.adapter.genes)),
        finished_together(path.parent, last=path.name) as folder,
    ):
        parts = _sections(subject)
        (folder / path.name).write_text(page(subject, parts, title), encoding="utf-8")
    return path


def page(subject: Subject, parts: list[Section], title: str | None) -> str:
    """Fill in the template."""
    model = subject.model
    setup = {name: value for name, value in model.registry_["setup_args"].items() if value not in (None, [], {})}
    made = dict(getattr(model, "init_params_", {}).get("non_kwargs", {}))
    trained = dict(getattr(model, "train_params_", None) or {})
    return render(
        "report.html.j2",
        title=title or f"{type(model).__name__} on {subject.data.n_obs:,} cells",
        subject=subject,
        model_name=type(model).__name__,
        parts=parts,
        settings={"Set-up": setup, "Model": made, "Training": trained},
        versions=versions(),
        version=version("scgauge"),
        words=WORDS,
        found_name=FOUND,
        found=found(parts),
        date=date.today().isoformat(),
    )


def _sections(subject: Subject) -> list[Section]:
    """Make every check that the model allows."""
    cells: dict[str, AnnData] = {}

    def synthetic() -> Section:
        cells.update(sections.drawn_cells(subject))
        return sections.synthetic(subject, cells)

    def memory() -> Section:
        if not cells:
            message = "no synthetic cells were drawn."
            raise ValueError(message)
        return sections.memory(subject, cells["prior"])

    checks: dict[str, Callable[[], Section]] = {
        "training": lambda: sections.training(subject),
        "synthetic": synthetic,
        "memory": memory,
        "embedding": lambda: sections.embedding(subject),
        "explanation": lambda: sections.explanation(subject),
    }
    if hasattr(subject.model, "get_trajectories"):
        checks["time"] = lambda: sections.time_series(subject)
    done = []
    for name in (bar := tqdm(checks, desc="Checking", disable=not subject.progress)):
        bar.set_postfix_str(name)
        try:
            done.append(checks[name]())
        except _NOT_FOR_THIS as error:
            done.append(_not_made(name, error))
    return done


def _not_made(name: str, error: Exception) -> Section:
    """Say that a check could not be made, and why."""
    reason = error.args[0] if isinstance(error, KeyError) and error.args else error
    return Section(
        name, f"{name.capitalize()}: not checked", Verdict("unknown", f"This could not be checked: {reason}")
    )
