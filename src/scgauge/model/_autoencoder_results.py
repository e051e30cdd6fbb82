from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from scvi import REGISTRY_KEYS

from scgauge._core.adapter import CELLS_AT_ONCE, adapt
from scgauge._core.compat import MODULE_KEYS
from scgauge._core.model_protocol import CellContext
from scgauge.model._latent_density import LatentDensity, fit_density
from scgauge.model._registered_cells import check_points

if TYPE_CHECKING:
    from collections.abc import Iterator

    from anndata import AnnData
    from numpy.typing import ArrayLike

#: Cells that a density is fitted to at most.
_MOST_POINTS = 5000


class AutoencoderResults:
    """What an autoencoder tells of cells and of its latent space."""

    module: Any
    adata: Any
    _validate_anndata: Any
    _make_data_loader: Any
    _check_if_trained: Any
    latent_density_: dict[str, Any] | None = None

    @torch.inference_mode()
    def _passes(self, adata: AnnData | None, indices: ArrayLike | None) -> Iterator[tuple[Any, torch.Tensor, Any]]:
        """Pass cells through the network block by block: data, latent points, distribution of the reconstruction."""
        self._check_if_trained(warn=False)
        adata = self._validate_anndata(adata)
        self.module.eval()
        for tensors in self._make_data_loader(adata=adata, indices=indices, batch_size=CELLS_AT_ONCE):
            encoded = self.module.inference(**self.module._get_inference_input(tensors))
            z = encoded[MODULE_KEYS.Z_KEY]
            px = self.module.generative(z, encoded[MODULE_KEYS.LIBRARY_KEY])[MODULE_KEYS.PX_KEY]
            yield tensors[REGISTRY_KEYS.X_KEY].to(z.device), z, px

    def get_latent_representation(
        self, adata: AnnData | None = None, indices: ArrayLike | None = None, **_: Any
    ) -> np.ndarray:
        """Return the latent point of each cell.

        Parameters
        ----------
        adata
            Cells, those of the model if ``None``.
        indices
            Cells of `adata` to use, all if ``None``.
        **_
            Not read; other models have more arguments.

        Returns
        -------
        Latent points, ``(n_cells, n_latent)``.
        """
        return np.concatenate([z.cpu().numpy() for _, z, _ in self._passes(adata, indices)])

    def get_reconstruction(self, adata: AnnData | None = None, *, indices: ArrayLike | None = None) -> np.ndarray:
        """Return the reconstruction of each cell: means, probabilities, or counts at the library size of the cell.

        Parameters
        ----------
        adata
            Cells, those of the model if ``None``.
        indices
            Cells of `adata` to use, all if ``None``.

        Returns
        -------
        Reconstruction, ``(n_cells, n_genes)``.
        """
        return np.concatenate([px.get_normalized("mu").cpu().numpy() for _, _, px in self._passes(adata, indices)])

    @torch.inference_mode()
    def get_reconstruction_error(
        self, adata: AnnData | None = None, *, indices: ArrayLike | None = None, per_cell: bool = False
    ) -> Any:
        r"""Return the error of reconstruction: :math:`\lVert x - \hat x \rVert^2`, or a negative log-likelihood.

        Parameters
        ----------
        adata
            Cells, those of the model if ``None``.
        indices
            Cells of `adata` to use, all if ``None``.
        per_cell
            Whether to return the error of each cell.

        Returns
        -------
        Mean over cells, or an array ``(n_cells,)``: squared error summed over genes for ``"normal"``, infinite beyond
        float32 (3e38), else nats.
        """
        parts = [self.module.reconstruction(x, px).double().cpu().numpy() for x, _, px in self._passes(adata, indices)]
        errors = np.concatenate(parts)
        return errors if per_cell else float(errors.mean())

    def get_held_out_error(self) -> pd.Series:
        """Compare the error of reconstruction of training cells with that of the cells held out.

        A network with enough weights can learn its training cells by heart; only the error of cells that it has not
        seen says what it has learnt of all cells.

        Returns
        -------
        ``train`` and ``held_out``, mean errors of :meth:`get_reconstruction_error` (NaN without cells held out), with
        their standard errors ``train_se`` and ``held_out_se``, and ``n_train``, ``n_held_out``.
        """
        train = adapt(self).training_cells()
        unseen = np.setdiff1d(np.arange(self.adata.n_obs), train)
        values = {}
        for name, cells in (("train", train), ("held_out", unseen)):
            errors = self.get_reconstruction_error(indices=cells, per_cell=True) if len(cells) else np.array([])
            values[name] = errors.mean() if len(cells) else np.nan
            values[f"{name}_se"] = errors.std(ddof=1) / np.sqrt(len(cells)) if len(cells) > 1 else np.nan
            values[f"n_{name}"] = len(cells)
        return pd.Series(values, name="reconstruction_error")

    def decode(self, z: ArrayLike, *, library_size: ArrayLike | None = None) -> np.ndarray:
        """Decode latent points to the expectation of the data.

        Parameters
        ----------
        z
            Latent points, ``(n_points, n_latent)``.
        library_size
            Library size of each point or of all, which the expectation sums to. Needed for counts alone.

        Returns
        -------
        Means, probabilities or expected counts, ``(n_points, n_genes)``.

        Raises
        ------
        ValueError
            If `z` has another number of dimensions than the latent space, or counts have no library size.
        """
        points, exposure = check_points(z, library_size, n_latent=self.module.n_latent, counts=self.module.spec.counts)
        codes = np.zeros(len(points), int)
        return adapt(self).decode(points, CellContext(batch=codes, exposure=exposure, labels=codes))["mean"]

    def get_interpolation(
        self, start: str | ArrayLike, end: str | ArrayLike, *, n_steps: int = 10, library_size: float | None = None
    ) -> pd.DataFrame:
        """Decode the points of a straight line in the latent space.

        Parameters
        ----------
        start, end
            Ends of the line: names of cells of the model, or latent points ``(n_latent,)``.
        n_steps
            Number of points, both ends included.
        library_size
            Library size of the decoded counts; the median of the training cells if ``None``.

        Returns
        -------
        Decoded expectation, ``(n_steps, n_genes)``; the index is the position on the line, from 0 to 1.

        Raises
        ------
        TypeError
            If an end is neither a name nor numbers.
        KeyError
            If there is no cell of that name.
        ValueError
            If there are fewer than two steps, or a point has another number of dimensions.
        """
        if n_steps < 2:
            message = f"n_steps={n_steps} was given; at least 2 are needed."
            raise ValueError(message)
        ends = [self._latent_point(point) for point in (start, end)]
        position = np.linspace(0, 1, n_steps)
        z = (1 - position[:, None]) * ends[0] + position[:, None] * ends[1]
        adapter = adapt(self)
        if library_size is None and self.module.spec.counts:
            library_size = float(np.median(adapter.context(adapter.training_cells()).exposure))
        decoded = self.decode(z, library_size=library_size)
        return pd.DataFrame(decoded, index=pd.Index(position, name="position"), columns=adapter.genes)

    def _latent_point(self, point: str | ArrayLike) -> np.ndarray:
        if not isinstance(point, str):
            try:
                z = np.asarray(point, dtype=np.float64)
            except (TypeError, ValueError) as error:
                message = f"{point!r} was given; the name of a cell or {self.module.n_latent} numbers are needed."
                raise TypeError(message) from error
            if z.shape != (self.module.n_latent,):
                message = f"A latent point has the shape ({self.module.n_latent},); found {z.shape}."
                raise ValueError(message)
            return z
        if point not in self.adata.obs_names:
            message = f"Did not find a cell {point!r} in adata.obs_names of the model."
            raise KeyError(message)
        return self.get_latent_representation(indices=[self.adata.obs_names.get_loc(point)])[0].astype(np.float64)

    def get_latent_density(self, *, n_components: int | None = None) -> LatentDensity:
        """Return the mixture of Gaussians that new cells are drawn from, fitted when it is first asked for.

        It is fitted to the latent points of at most 5000 training cells. An autoencoder knows nothing of how latent
        points are distributed; this density makes it a generative model, as good as the mixture fits.

        Parameters
        ----------
        n_components
            Number of components; the best of 1, 2, 4, 8 and 16 by the Bayesian information criterion if ``None``.
            A number replaces a density that was fitted before.

        Returns
        -------
        The density, with ``weights``, ``means``, ``covariances``, ``bic`` and ``draw(n_points, rng)``.

        Raises
        ------
        ValueError
            If `n_components` is not between 1 and the number of training cells.
        """
        cells = adapt(self).training_cells()
        if n_components is not None and not 1 <= n_components <= len(cells):
            message = (
                f"n_components={n_components} was given; between 1 and {len(cells)}, the training cells, are needed."
            )
            raise ValueError(message)
        if self.latent_density_ is None or n_components is not None:
            if len(cells) > _MOST_POINTS:
                cells = np.sort(np.random.default_rng(0).choice(cells, _MOST_POINTS, replace=False))
            points = self.get_latent_representation(indices=cells).astype(np.float64)
            self.latent_density_ = vars(fit_density(points, n_components))
        return LatentDensity(**self.latent_density_)

    def get_zero_share(self) -> float:
        """Return the share of the encoder's weights that are exactly zero; weights outside a mask do not count.

        Returns
        -------
        Share, from 0 to 1.
        """
        zeros = total = 0
        for layer, weight in zip(self.module.z_encoder.linears, self.module.z_encoder.weights(), strict=True):
            mask = getattr(layer, "mask", None)
            free = torch.ones_like(weight, dtype=torch.bool) if mask is None else mask.bool()
            zeros += int(((weight == 0) & free).sum())
            total += int(free.sum())
        return zeros / total

    @torch.inference_mode()
    def _set_residual_sd(self) -> None:
        """Set the spread of the residuals of each gene over the training cells, which samples are drawn with."""
        squares, n_cells = 0.0, 0
        for x, _, px in self._passes(None, adapt(self).training_cells()):
            squares = squares + (self.module.transform_input(x) - px.loc).square().double().sum(0)
            n_cells += len(x)
        spread = (squares / n_cells).sqrt().clamp(min=1e-6)  # type: ignore[attr-defined]
        self.module.residual_sd.copy_(spread)
