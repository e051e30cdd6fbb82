from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scvi import REGISTRY_KEYS
from scvi.model.base import RNASeqMixin

from scgauge._core.adapter import likelihood_parameters
from scgauge._core.compat import MODULE_KEYS, differential_expression_core
from scgauge._core.matrix import column_sums
from scgauge._core.stored_rows import is_stored

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from scvi.data import AnnDataManager

#: Smallest difference that counts as a change by default: of probabilities, and of means on a log scale.
_DELTA = {"bernoulli": 0.1, "normal": 0.25}


def _mean_properties(
    manager: AnnDataManager, idx1: np.ndarray, idx2: np.ndarray, var_idx: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """Return the raw mean of each gene in two groups of cells."""
    data = manager.get_from_registry(REGISTRY_KEYS.X_KEY)
    genes = slice(None) if var_idx is None else var_idx
    means = {}
    for number, idx in ((1, idx1), (2, idx2)):
        rows = np.arange(data.shape[0])[idx]
        means[f"raw_mean{number}"] = column_sums(data, rows)[genes] / len(rows)
    return means


def _difference(scale1: np.ndarray, scale2: np.ndarray, pseudocounts: float) -> np.ndarray:
    return scale1 - scale2


class ExpressionMixin(RNASeqMixin):
    """scvi-tools' methods on expression, made to work for every likelihood."""

    @property
    def _reads_counts(self) -> bool:
        return self.module.spec.counts

    def get_normalized_expression(self, adata: AnnData | None = None, **kwargs: Any) -> pd.DataFrame | np.ndarray:
        """Return decoded expression: shares of the library for counts, probabilities for binary data, else means.

        Parameters
        ----------
        adata
            Cells, those of the model if ``None``.
        **kwargs
            Passed to :meth:`scvi.model.base.RNASeqMixin.get_normalized_expression`.

        Returns
        -------
        Expression, ``(n_cells, n_genes)``, or ``(n_samples, n_cells, n_genes)`` if several samples are asked for.

        Raises
        ------
        ValueError
            If a ``library_size`` other than 1 or ``"latent"`` is given to a model without library.
        """
        if not self._reads_counts and kwargs.get("library_size", 1) not in {1, "latent"}:
            message = (
                f"library_size={kwargs['library_size']!r} was given, but a model with "
                f"gene_likelihood={self.module.gene_likelihood!r} has no library. Leave it out."
            )
            raise ValueError(message)
        return super().get_normalized_expression(adata, **kwargs)

    def differential_expression(
        self,
        adata: AnnData | None = None,
        groupby: str | None = None,
        group1: list[str] | None = None,
        group2: str | None = None,
        idx1: list[int] | list[bool] | str | None = None,
        idx2: list[int] | list[bool] | str | None = None,
        **kwargs: Any,
    ) -> pd.DataFrame:
        """Test each gene for differential expression between groups of cells.

        Count likelihoods use scvi-tools' test :cite:p:`Lopez18` as it is; of cells on disk it leaves out the columns of
        raw means and shares, which it would load all cells for. For ``"bernoulli"`` the effect is the
        difference of probabilities and for ``"normal"`` the difference of means, both with the posterior probability
        that it is larger than ``delta`` (mode "change"); its columns are named ``difference_*`` instead of ``lfc_*``.

        Parameters
        ----------
        adata
            Cells, those of the model if ``None``.
        groupby
            Column of ``obs`` with the groups.
        group1, group2
            Groups to compare; each group against all others if ``None``.
        idx1, idx2
            Cells to compare instead of groups.
        **kwargs
            Passed on to scvi-tools: ``delta`` (default 0.25, for ``"bernoulli"`` 0.1), ``batch_correction``,
            ``batchid1``, ``batchid2``, ``fdr_target``, ``all_stats``, ``silent``, ``n_samples_overall``, ...

        Returns
        -------
        One row for each gene and comparison, best first.

        Raises
        ------
        ValueError
            If a ``mode`` other than "change" is asked for where the data are not counts, or ``all_stats`` of counts
            that are on disk.
        """
        groups = {"groupby": groupby, "group1": group1, "group2": group2, "idx1": idx1, "idx2": idx2}
        if self._reads_counts:
            manager = self.get_anndata_manager(self._validate_anndata(adata), required=True)
            if is_stored(manager.get_from_registry(REGISTRY_KEYS.X_KEY)) and kwargs.setdefault("all_stats", False):
                message = "all_stats=True needs the counts in memory; they are on disk. Run: adata = adata.to_memory()"
                raise ValueError(message)
            return super().differential_expression(adata, **groups, **kwargs)
        mode = kwargs.pop("mode", "change")
        if mode != "change":
            message = (
                f"mode={mode!r} compares shares of counts; gene_likelihood={self.module.gene_likelihood!r} has "
                "none. Use mode='change'."
            )
            raise ValueError(message)
        adata = self._validate_anndata(adata)

        def model_fn(adata: AnnData, **sampling: Any) -> np.ndarray:
            return self.get_normalized_expression(adata, return_numpy=True, n_samples=1, **sampling)

        result = differential_expression_core(
            self.get_anndata_manager(adata, required=True),
            model_fn,
            None,
            groupby,
            group1,
            group2,
            idx1,
            idx2,
            kwargs.pop("all_stats", True),
            _mean_properties,
            adata.var_names,
            mode,
            kwargs.pop("batchid1", None),
            kwargs.pop("batchid2", None),
            kwargs.pop("delta", _DELTA[self.module.gene_likelihood]),
            kwargs.pop("batch_correction", False),
            kwargs.pop("fdr_target", 0.05),
            kwargs.pop("silent", False),
            change_fn=_difference,
            pseudocounts=0.0,
            **kwargs,
        )
        return result.drop(columns="pseudocounts").rename(columns=lambda name: name.replace("lfc_", "difference_"))

    @torch.inference_mode()
    def _get_denoised_samples(
        self, adata: AnnData | None = None, transform_batch: int | None = None, **kwargs: Any
    ) -> np.ndarray:
        """Draw expression without measurement noise; what has no dispersion of counts is its own mean."""
        if self.module.gene_likelihood in {"nb", "zinb"}:
            return super()._get_denoised_samples(adata=adata, transform_batch=transform_batch, **kwargs)
        n_samples, factor = kwargs.get("n_samples", 25), kwargs.get("rna_size_factor", 1000)
        adata = self._validate_anndata(adata)
        loader = self._make_data_loader(adata=adata, indices=kwargs.get("indices"), batch_size=kwargs.get("batch_size"))
        drawn = []
        for tensors in loader:
            _, generative = self.module.forward(
                tensors,
                inference_kwargs={"n_samples": n_samples},
                generative_kwargs=self._get_transform_batch_gen_kwargs(transform_batch),
                compute_loss=False,
            )
            mean = generative[MODULE_KEYS.PX_KEY].get_normalized("scale") * (factor if self._reads_counts else 1)
            drawn.append(mean.cpu().numpy() if n_samples == 1 else mean.permute(1, 2, 0).cpu().numpy())
        return np.concatenate(drawn)

    @torch.inference_mode()
    def get_likelihood_parameters(
        self,
        adata: AnnData | None = None,
        indices: list[int] | None = None,
        n_samples: int = 1,
        give_mean: bool = False,
        batch_size: int | None = None,
    ) -> dict[str, np.ndarray]:
        """Return the parameters of the likelihood of each cell and gene.

        Parameters
        ----------
        adata
            Cells, those of the model if ``None``.
        indices
            Cells of `adata` to use, all if ``None``.
        n_samples
            Posterior draws of the latent point of each cell.
        give_mean
            Whether to average over draws.
        batch_size
            Cells decoded at once.

        Returns
        -------
        ``"mean"`` ``([n_samples,] n_cells, n_genes)``, and in the same shape ``"dispersions"`` (standard deviations
        for ``"normal"``) and ``"dropout"`` where the likelihood has them.
        """
        adata = self._validate_anndata(adata)
        loader = self._make_data_loader(adata=adata, indices=indices, batch_size=batch_size)
        parts: dict[str, list[np.ndarray]] = {}
        for tensors in loader:
            _, generative = self.module.forward(tensors, inference_kwargs={"n_samples": n_samples}, compute_loss=False)
            for name, value in likelihood_parameters(generative[MODULE_KEYS.PX_KEY]).items():
                block = value.mean(0) if give_mean and n_samples > 1 else value
                parts.setdefault(name, []).append(block.cpu().numpy())
        return {name: np.concatenate(blocks, axis=-2) for name, blocks in parts.items()}
