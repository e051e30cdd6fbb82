from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scvi import REGISTRY_KEYS

from scgauge._core.compat import ADATA_MINIFY_TYPE
from scgauge._core.matrix import column_sums


class StartFromMean:
    """Models whose decoder has intercepts of genes, which start at the mean cell."""

    module: Any
    adata: Any
    adata_manager: Any

    def _start_intercepts(self) -> None:
        """Start intercepts at the mean of each gene, from which training need not go far."""
        if self.adata is None or getattr(self, "minified_data_type", None) == ADATA_MINIFY_TYPE.LATENT_POSTERIOR:
            return
        n_cells = self.adata.n_obs
        x = self.adata_manager.get_from_registry(REGISTRY_KEYS.X_KEY)
        mean = column_sums(x)
        if self.module.gene_likelihood == "normal":
            mean = mean / n_cells
        elif self.module.gene_likelihood == "bernoulli":
            mean = (mean + 0.5) / (n_cells + 1)
        else:
            exposure = n_cells
            if getattr(self.module, "use_size_factor", False):
                exposure = np.asarray(self.adata_manager.get_from_registry(REGISTRY_KEYS.SIZE_FACTOR_KEY)).sum()
            mean = (mean + 0.5) / exposure
        self.module.start_from_mean(torch.as_tensor(mean))
