from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scvi import REGISTRY_KEYS

from scgauge._core.adapter import adapt
from scgauge.model._factors import explained_deviance, factors_of, rotation_of
from scgauge.model._query import categories_of

if TYPE_CHECKING:
    from anndata import AnnData

    from scgauge.model._factors import Order, Rotation


class LoadingsMixin:
    """What models with a linear decoder tell about their factors."""

    module: Any
    registry_: Any

    def get_loadings(
        self, *, centered: bool = True, rotation: Rotation | np.ndarray | None = None, order: Order | None = "explained"
    ) -> pd.DataFrame:
        r"""Return what each factor does to each gene: the change of its log expression per unit of the factor.

        With the default, factors come with the most important first and point to where their strongest genes go up.
        Columns keep the name of their latent dimension: ``Z_3`` is column 3 of :meth:`get_latent_representation`, up
        to the sign. Pass `rotation` and `order` to both and the columns correspond.

        Parameters
        ----------
        centered
            Whether to centre each factor over genes where the model leaves a constant free, that is with a softmax:
            adding a constant to all genes then changes nothing. Masked and non-negative loadings have a zero with a
            meaning and are never centred.
        rotation
            ``"varimax"`` (each gene on few factors), ``"svd"`` (orthogonal loadings, the largest first: the principal
            components of the decoded log expression) or ``None``. The normal prior leaves a rotation free, so that
            only rotated factors can be compared between runs. Before they are rotated, latent dimensions are
            standardised: uncorrelated with variance 1 over training cells, as the prior says they are. Or the matrix
            to multiply latent points with, ``(n_latent, n_latent)``, for example that of :meth:`get_rotation` of
            another run times a Procrustes rotation.
        order
            ``"explained"`` sorts factors by the deviance they explain and orients them so that the sum of cubed
            loadings is positive; ``None`` leaves them as they are.

        Returns
        -------
        Loadings, ``(n_genes, n_latent)``, in nats per unit of the latent (natural log).

        Raises
        ------
        RuntimeError
            If the model is not trained.
        ValueError
            If masked or non-negative factors would be rotated, or the order needs counts that minified data lack.
        """
        return factors_of(adapt(self), centered=centered, rotation=rotation, order=order).loadings

    def get_rotation(
        self, *, rotation: Rotation | np.ndarray | None = None, order: Order | None = "explained"
    ) -> pd.DataFrame:
        """Return the matrix from latent dimensions to the factors of :meth:`get_loadings`.

        Parameters
        ----------
        rotation, order
            See :meth:`get_loadings`.

        Returns
        -------
        Matrix, ``(n_latent, n_factors)``: latent points are multiplied with it from the right, loadings with the
        transpose of its inverse, so that their product, the reconstruction, stays what it is. Without `rotation` it
        is a signed permutation, else an orthogonal matrix times the standardisation.
        """
        return factors_of(adapt(self), rotation=rotation, order=order).rotation

    def get_explained_deviance(
        self, *, rotation: Rotation | np.ndarray | None = None, n_cells: int | None = None
    ) -> pd.Series:
        r"""Return how much of what the model explains is lost without each factor.

        With :math:`D` the deviance of the training cells, the share of factor :math:`k` is
        :math:`(D_{-k} - D) / (D_0 - D)`, where in :math:`D_{-k}` the factor and in :math:`D_0` every factor is held at
        its mean. Library sizes, batches and covariates are kept. Shares of correlated factors do not sum to 1.

        Parameters
        ----------
        rotation
            See :meth:`get_loadings`.
        n_cells
            Training cells to use at most, the same ones in each call. ``None`` takes 2000, or fewer (200 at least)
            where there are so many genes and factors that it would take more than some seconds.

        Returns
        -------
        Share of each factor, largest first.
        """
        adapter = adapt(self)
        turn = rotation_of(adapter, rotation)
        shares = explained_deviance(adapter, turn.to_numpy(), n_cells=n_cells).set_axis(turn.columns)
        return shares.sort_values(ascending=False, kind="stable")

    def get_covariate_loadings(self, key: str | None = None, *, centered: bool = True) -> pd.DataFrame:
        """Return what each category of a covariate, or a unit of a continuous one, does to each gene.

        Parameters
        ----------
        key
            Column of ``obs`` of the batch or of a covariate; the batch if ``None``.
        centered
            Whether to centre over genes, where the model leaves a constant free, and categories over their mean,
            which belongs to the intercept.

        Returns
        -------
        Effects, ``(n_genes, n_categories)``, or ``(n_genes, 1)`` for a continuous covariate, in natural log.

        Raises
        ------
        KeyError
            If the model was not set up with `key`.
        """
        head = self.module.decoder.scale
        categories = categories_of(self.registry_)
        key = next(iter(categories)) if key is None else key
        columns = self._continuous_covariates()
        if key in categories:
            effects = head.effects(list(categories).index(key)).cpu().numpy().astype(np.float64)
            names = categories[key].astype(str)
            if centered:
                effects = effects - effects.mean(1, keepdims=True)
        elif key in columns:
            effects = head.loadings()[:, [self.module.n_latent + columns.index(key)]].cpu().numpy().astype(np.float64)
            names = np.array([key])
        else:
            known = [*(name for name in categories if not name.startswith("_scvi")), *columns]
            message = f"{key!r} is not a covariate of the model; it was set up with {known}."
            raise KeyError(message)
        if centered and self.module.has_free_constant:
            effects = effects - effects.mean(0)
        return pd.DataFrame(effects, index=adapt(self).genes, columns=names)

    def _continuous_covariates(self) -> list[str]:
        state = self.registry_["field_registries"].get(REGISTRY_KEYS.CONT_COVS_KEY, {}).get("state_registry") or {}
        return list(state.get("columns", ()))

    def get_latent_representation(
        self,
        adata: AnnData | None = None,
        *args: Any,
        rotation: Rotation | np.ndarray | None = None,
        order: Order | None = None,
        **kwargs: Any,
    ) -> Any:
        """Return the latent points of the cells, as they are or in the factors of :meth:`get_loadings`.

        Parameters
        ----------
        adata
            Cells, those of the model if ``None``.
        *args
            Passed to :meth:`scvi.model.base.VAEMixin.get_latent_representation`.
        rotation, order
            See :meth:`get_loadings`; here nothing is rotated or sorted by default, since decoding, minified data and
            other methods need latent points as they are.
        **kwargs
            ``indices``, ``give_mean``, ``return_dist``, ...; passed on as `args`. With ``return_dist=True`` the
            variances are those of the factors one by one; rotated factors are also correlated.

        Returns
        -------
        Latent means, ``(n_cells, n_factors)``, or means and variances.
        """
        points = super().get_latent_representation(adata, *args, **kwargs)  # type: ignore[misc]
        if rotation is None and order is None:
            return points
        turn = self.get_rotation(rotation=rotation, order=order).to_numpy().astype(np.float32)
        if isinstance(points, tuple):
            mean, variance = points
            return mean @ turn, variance @ turn**2
        return points @ turn
