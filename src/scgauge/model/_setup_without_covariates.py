from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scvi import REGISTRY_KEYS
from scvi.data import AnnDataManager
from scvi.data.fields import CategoricalObsField, LayerField

if TYPE_CHECKING:
    from anndata import AnnData


class SetupWithoutCovariates:
    """Registration of cells for models that read nothing beside the data."""

    _check_setup: Any
    _get_setup_method_args: Any
    register_manager: Any

    @classmethod
    def setup_anndata(
        cls, adata: AnnData, *, layer: str | None = None, labels_key: str | None = None, **kwargs: Any
    ) -> None:
        """Register cells: which matrix holds the data.

        Parameters
        ----------
        adata
            Cells.
        layer
            Layer with the data, ``adata.X`` if ``None``.
        labels_key
            Column of ``obs`` with labels; kept with the model, not read by it.
        **kwargs
            Passed to :meth:`scvi.data.AnnDataManager.register_fields`.

        Raises
        ------
        KeyError
            If the layer or the column does not exist.
        ValueError
            If `adata` is a view, the column has missing values, or gene names repeat.
        """
        cls._check_setup(adata, layer, None, labels_key, None, None, None)
        setup_method_args = cls._get_setup_method_args(cls=cls, adata=adata, layer=layer, labels_key=labels_key)
        fields = [
            LayerField(REGISTRY_KEYS.X_KEY, layer, is_count_data=False),
            CategoricalObsField(REGISTRY_KEYS.BATCH_KEY, None),
            CategoricalObsField(REGISTRY_KEYS.LABELS_KEY, labels_key),
        ]
        manager = AnnDataManager(fields=fields, setup_method_args=setup_method_args)
        manager.register_fields(adata, **kwargs)
        cls.register_manager(manager)
