"""Training from several starting values, of which the one with the lowest loss is kept."""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from scvi import settings

from scgauge._core.rng import same_torch_state, seeded
from scgauge.train import SubjectLoader
from scgauge.train._cell_store import CellStore

if TYPE_CHECKING:
    from collections.abc import Callable

    from scgauge.module import LongitudinalVAE

#: Draws of the latent points over which the loss of a start is averaged.
_N_DRAWS = 10
#: Arguments of `train` that hold objects of one run.
_OF_ONE_RUN = ("resume_from", "ckpt_path", "callbacks", "logger", "datamodule")


class Restarts:
    """Fits from several starting values."""

    module: Any
    adata: Any
    adata_manager: Any
    history_: Any
    trainer: Any
    train: Callable[..., Any]
    train_indices: Any
    validation_indices: Any
    test_indices: Any
    train_params_: dict[str, Any]
    is_trained_: bool
    _build: Callable[..., None]
    _subject_key: Any
    #: Arguments of `_build`, from which a module with other starting values is made.
    _parts: tuple[dict[str, Any], dict[str, Any]]
    #: Losses of the starts of the last training; ``None`` after a training from one.
    starts_: pd.DataFrame | None = None

    def get_starts(self) -> pd.DataFrame:
        """Return the losses of all starts of a training from several starting values.

        Returns
        -------
        Table ``start`` (0 is that of the model itself), ``train_loss``, ``validation_loss`` (NaN without validation
        subjects), ``kept``. Losses are means over visits, with the final weights, all baseline variables shown, and the
        same draws of the latent points for all starts; so they differ from ``history["train_loss"]``, which is that of
        one draw in training.

        Raises
        ------
        ValueError
            If the model was not trained from several starting values.
        """
        if self.starts_ is None:
            message = "The model was not trained from several starting values. Run: model.train(n_starts=5)"
            raise ValueError(message)
        return self.starts_.copy()

    def _check_starts(self, n_starts: int, arguments: dict[str, Any]) -> None:
        """Raise an error if the model cannot be trained from several starting values with these arguments."""
        if not isinstance(n_starts, int | np.integer) or isinstance(n_starts, bool) or n_starts < 1:
            message = f"n_starts={n_starts!r} was given; an integer of at least 1 is needed."
            raise ValueError(message)
        if n_starts == 1:
            return
        if self._subject_key is None:
            message = (
                f"n_starts={n_starts} was given; it is for individuals at visits, whose dynamics are in the training "
                "loss. Those of snapshots and cohorts are fitted after the autoencoder: compare seeds with "
                "scgauge.tl.held_out_time(adata, model, rng=seed), and leave n_starts at 1."
            )
            raise ValueError(message)
        named = [name for name in _OF_ONE_RUN if arguments.get(name) is not None]
        if named:
            message = (
                f"{named[0]} was given with n_starts={n_starts}; it belongs to one run. Leave one of the two out, or "
                "train models of several seeds one by one (scvi.settings.seed)."
            )
            raise ValueError(message)

    def _train_from_several(self, n_starts: int, arguments: dict[str, Any]) -> None:
        """Train from the model's own starting values and from others, and keep what has the lowest loss."""
        with same_torch_state():  # the first run is the same as if it were the only one
            seeds = torch.randint(2**31, (int(n_starts) - 1,)).tolist()
        self.train(**arguments)
        # Losses are compared on the same subjects, and splits follow the seed.
        sets = [self.train_indices, self.validation_indices, self.test_indices]
        splitter = {**(arguments.get("datasplitter_kwargs") or {}), "external_indexing": sets}
        runs = [self]
        for seed in seeds:
            other = copy(self)
            other.is_trained_, other.history_ = False, None
            with seeded(seed):
                network, more = self._parts
                other._build(self.adata, network, **more)
                other.train(**arguments | {"datasplitter_kwargs": splitter})
            runs.append(other)
        size = arguments.get("batch_size") or settings.batch_size
        losses = np.array([[self._final_loss(run.module, rows, size) for rows in sets[:2]] for run in runs])
        deciding = losses[:, 1] if len(sets[1]) else losses[:, 0]
        best = int(np.argmin(deciding))
        self.starts_ = pd.DataFrame(
            {
                "start": np.arange(len(runs)),
                "train_loss": losses[:, 0],
                "validation_loss": losses[:, 1],
                "kept": np.arange(len(runs)) == best,
            }
        )
        self.module, self.history_, self.trainer = runs[best].module, runs[best].history_, runs[best].trainer

    @torch.no_grad()
    def _final_loss(self, module: LongitudinalVAE, rows: np.ndarray, batch_size: int) -> float:
        """Return the loss of visits with the final weights, NaN if there are none.

        That of the last epoch is one draw with baseline variables hidden at random, and of a run that was stopped early
        has not all its parts.
        """
        if not len(rows):
            return float("nan")
        loader = SubjectLoader(CellStore(self.adata_manager, keep_sparse=True), np.asarray(rows), batch_size=batch_size)
        module.eval()
        total, n_visits = 0.0, 0
        with seeded(0):
            for _ in range(_N_DRAWS):
                for batch in loader:
                    tensors = {key: value.to(module.device) for key, value in batch.items()}
                    total += len(batch["X"]) * float(module(tensors, loss_kwargs={"kl_weight": 1.0})[2].loss)
                    n_visits += len(batch["X"])
        return total / n_visits
