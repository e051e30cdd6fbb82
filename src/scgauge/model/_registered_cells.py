from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scvi import settings

from scgauge._core.checks import (
    check_adata,
    check_binary,
    check_counts,
    check_finite,
    check_indices,
    check_obs_groups,
    check_obs_key,
    check_unique_names,
)
from scgauge._core.compat import ADATA_MINIFY_TYPE, get_minify_type
from scgauge._core.matrix import get_matrix, why_unreadable
from scgauge._core.optional import need
from scgauge._core.threads import threads_for
from scgauge.model._gene_embedding import check_no_leak
from scgauge.model._query import check_categories, check_genes
from scgauge.model._refit import describe_run, train_params
from scgauge.model._saved_model import SavedModel
from scgauge.train import RunState, check_processes, stopping_together

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from anndata import AnnData
    from numpy.typing import ArrayLike


class RegisteredCells(SavedModel):
    """What every model does with cells: check them before they are registered, and remember how it was trained."""

    registry_: Any
    module: Any
    get_anndata_manager: Any
    get_var_names: Any
    #: Why several processes cannot train the model together; ``None`` if they can.
    _trains_alone: str | None = None
    #: Whether the model is built and trained from what stores of annbatch hold.
    _takes_annbatch: bool = False

    @classmethod
    def setup_annbatch(cls, *args: Any, **kwargs: Any) -> Any:
        """Open files of cells as a data module of scvi-tools (from 1.5) on a store of annbatch.

        CountVI and LinearVI train from it. :func:`scgauge.datasets.read_backed` opens the same store, or a file, for
        all models that train from disk, without the limits of this module.

        Parameters
        ----------
        *args, **kwargs
            As for :meth:`scvi.model.base.BaseModelClass.setup_annbatch`: ``collection_path``, ``paths``, ``batch_key``,
            ...

        Returns
        -------
        The data module, for ``CountVI(registry=module.registry)`` and ``train(datamodule=module)``.

        Raises
        ------
        NotImplementedError
            If the model needs cells that annbatch does not hand on.
        ImportError
            If scvi-tools is older, or annbatch is not installed.
        """
        if not cls._takes_annbatch:
            message = (
                f"{cls.__name__} does not train from this module of annbatch, CountVI and LinearVI do. Read the cells "
                "from the store itself, or from a file: adata = scgauge.datasets.read_backed(path); "
                f"{cls.__name__}.setup_anndata(adata, ...)"
            )
            raise NotImplementedError(message)
        setup = getattr(super(), "setup_annbatch", None)
        if setup is None:
            message = (
                "Stores of annbatch need scvi-tools 1.5 or newer; this one has none. Run: pip install -U scvi-tools"
            )
            raise ImportError(message)
        need("annbatch", extra="stream", purpose="stores of annbatch")
        return setup(*args, **kwargs)

    @property
    def _layer(self) -> str | None:
        return self.registry_["setup_args"].get("layer")

    def _check_data(self, adata: AnnData, gene_likelihood: str) -> None:
        """Raise an error unless `adata` holds what the likelihood describes."""
        check_adata(adata)
        check_unique_names(adata)
        if get_minify_type(adata) == ADATA_MINIFY_TYPE.LATENT_POSTERIOR:
            return
        check = {"bernoulli": check_binary, "normal": check_finite}.get(gene_likelihood, check_counts)
        check(adata, self._layer)

    def _make_data_loader(self, adata: AnnData, indices: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Check the rows that are asked for; all that reads cells passes here."""
        if indices is not None:
            indices = check_indices(indices, adata.n_obs)
        return super()._make_data_loader(adata, indices, *args, **kwargs)  # type: ignore[misc]

    def _validate_anndata(self, adata: AnnData | None = None, copy_if_view: bool = True) -> AnnData:
        """Check data that the model has not seen before scvi-tools registers them."""
        if adata is not None:
            check_adata(adata)
        if adata is not None and self.get_anndata_manager(adata) is None:
            maps_queries = hasattr(self, "prepare_query_anndata")
            _check_readable(adata, self._layer)
            check_genes(adata, self.get_var_names(), model=type(self).__name__ if maps_queries else None)
            check_categories(adata, self.registry_, model=type(self).__name__)
            self._check_data(adata, self.module.gene_likelihood)
        return super()._validate_anndata(adata, copy_if_view)  # type: ignore[misc]

    def train(self, *args: Any, resume_from: str | Path | None = None, **kwargs: Any) -> Any:
        """Train the model, and keep the arguments in ``train_params_``, so that it can be trained again on other cells.

        Small minibatches (up to 128 cells of 3000 genes) are trained on one thread of the CPU.

        Parameters
        ----------
        *args
            As for :meth:`scvi.model.base.UnsupervisedTrainingMixin.train`: ``max_epochs``, ...
        resume_from
            File that keeps the state of the run, written anew each epoch. If it exists, training goes on from there to
            what it would have come to without the interruption: run the same lines again. It must be of the same run.
        **kwargs
            As for :meth:`scvi.model.base.UnsupervisedTrainingMixin.train`: ``max_epochs``, ``accelerator``,
            ``devices``, ``train_size``, ``batch_size``, ``early_stopping``, ``plan_kwargs``, ... and those of the
            trainer.

        Returns
        -------
        What the training runner of scvi-tools returns.

        Raises
        ------
        ValueError
            If the file is damaged or the state of another run; if several devices are asked for without
            ``strategy="ddp"``, or of a model that one process trains.
        """
        return self._run(super().train, args, kwargs, resume_from)  # type: ignore[misc]

    def _run(self, train: Callable, args: tuple, kwargs: dict[str, Any], resume_from: str | Path | None) -> Any:
        """Train with a function of scvi-tools; what is left after an error does not draw at random any more."""
        check_processes(kwargs, alone=self._trains_alone)
        check_no_leak(self, train, args, kwargs)
        parameters = train_params(train, args, kwargs)
        if resume_from is not None:
            state = RunState(resume_from, run=describe_run(self, parameters))
            kwargs = kwargs | {"callbacks": [*(kwargs.get("callbacks") or ()), state]}
            if state.resumed is not None:
                kwargs["ckpt_path"] = str(resume_from)
        self.train_params_ = parameters
        threads = threads_for(len(self.get_var_names()), kwargs.get("batch_size") or settings.batch_size)
        try:
            with threads, stopping_together(kwargs) as arguments:
                return train(*args, **arguments)
        except BaseException:
            # Lightning leaves dropout on; weights of a model that had been trained before are of some step of the run.
            self.module.eval()
            raise

    @staticmethod
    def _check_setup(
        adata: AnnData,
        layer: str | None,
        batch_key: str | None,
        labels_key: str | None,
        size_factor_key: str | None,
        categorical_covariate_keys: list[str] | None,
        continuous_covariate_keys: list[str] | None,
    ) -> None:
        """Raise an error, before anything is written, if a matrix or column that was named cannot be used."""
        check_adata(adata)
        if adata.is_view:
            message = (
                "`adata` is a view of another AnnData, in which nothing can be registered. Run: adata = adata.copy()"
            )
            raise ValueError(message)
        check_unique_names(adata)
        _check_readable(adata, layer)
        named = [("batch_key", batch_key), ("labels_key", labels_key)]
        named += [("categorical_covariate_keys", key) for key in categorical_covariate_keys or ()]
        for argument, key in named:
            if key is not None:
                check_obs_groups(adata, key, argument=argument)
        for key in continuous_covariate_keys or ():
            check_obs_key(adata, key, argument="continuous_covariate_keys")
        if size_factor_key is not None:
            factors = check_obs_key(adata, size_factor_key, argument="size_factor_key")
            if not (factors > 0).all():
                n_bad = int((factors <= 0).sum())
                message = f"adata.obs[{size_factor_key!r}] has {n_bad} size factors that are not positive."
                raise ValueError(message)


def _check_readable(adata: AnnData, layer: str | None) -> None:
    fault = why_unreadable(get_matrix(adata, layer))
    if fault is not None:
        message = f"{'adata.X' if layer is None else f'adata.layers[{layer!r}]'} {fault}"
        raise TypeError(message)


def check_points(
    z: ArrayLike, library_size: ArrayLike | None, *, n_latent: int, counts: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Check latent points and their library sizes, which counts need; return both as arrays."""
    points = np.asarray(z, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] != n_latent or not np.isfinite(points).all():
        message = f"`z` must be a finite (n_points, {n_latent}) array; found shape {points.shape}."
        raise ValueError(message)
    if library_size is None and counts:
        message = "`library_size` is missing; counts need one, for example the median of the training cells."
        raise ValueError(message)
    exposure = np.broadcast_to(np.asarray(1.0 if library_size is None else library_size, dtype=float), len(points))
    if not (np.isfinite(exposure) & (exposure > 0)).all():
        message = "`library_size` must be positive and finite."
        raise ValueError(message)
    return points, exposure
