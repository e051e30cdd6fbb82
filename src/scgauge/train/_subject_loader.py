"""Minibatches of whole subjects, and their division into training and validation sets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scvi import REGISTRY_KEYS, settings
from scvi.dataloaders import DataSplitter

from scgauge._core.registry_keys import SUBJECT_KEY, WEIGHT_KEY
from scgauge._core.stored_rows import is_stored
from scgauge.train._cell_store import CellStore
from scgauge.train._splitting import CellSplitter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scvi.data import AnnDataManager


class SubjectLoader:
    """Minibatches with all visits of some subjects.

    Parameters
    ----------
    store
        The visits.
    indices
        Rows of the visits to load, ``(n_visits,)``.
    batch_size
        Subjects in a minibatch.
    shuffle
        Whether each epoch has an order of its own.
    by_similarity
        Whether there is a minibatch for each subject, of those that `similar` names.
    """

    def __init__(
        self,
        store: CellStore,
        indices: np.ndarray,
        *,
        batch_size: int,
        shuffle: bool = False,
        by_similarity: bool = False,
    ) -> None:
        self.store, self.batch_size, self.shuffle = store, batch_size, shuffle
        self.by_similarity = by_similarity
        number = store.fields[SUBJECT_KEY].reshape(-1).cpu().numpy()[indices]
        #: Numbers of the subjects, sorted; for each its rows.
        self.subjects = np.unique(number)
        self.rows = [indices[number == subject] for subject in self.subjects]
        #: For each subject those of its minibatch, as positions, with their weights.
        self.similar: tuple[np.ndarray, np.ndarray] | None = None

    def __len__(self) -> int:
        if self.by_similarity:
            return len(self.subjects)
        return -(-len(self.subjects) // self.batch_size)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        order = torch.randperm(len(self.subjects)).numpy() if self.shuffle else np.arange(len(self.subjects))
        for index in range(len(self)):
            if self.similar is not None:
                yield self._take(self.similar[0][order[index]], self.similar[1][order[index]])
            else:
                yield self._take(order[index * self.batch_size : (index + 1) * self.batch_size], None)

    def _take(self, chosen: np.ndarray, weights: np.ndarray | None) -> dict[str, Any]:
        rows = [self.rows[position] for position in chosen]
        batch = self.store.take(np.concatenate(rows))
        each = np.ones(len(chosen)) if weights is None else weights
        weight = torch.as_tensor(np.repeat(each, [len(part) for part in rows]), dtype=torch.float32)
        return batch | {WEIGHT_KEY: weight.to(batch[SUBJECT_KEY].device)}


class CohortSplitter(CellSplitter):
    """Splitter that keeps the rows of a subject together: sets are shares of the subjects.

    Parameters
    ----------
    adata_manager
        Registered rows.
    **kwargs
        Passed to :class:`CellSplitter`.

    Raises
    ------
    ValueError
        If there are too few rows, or a given split divides the rows of a subject.
    """

    def __init__(self, adata_manager: AnnDataManager, **kwargs: Any) -> None:
        self.subject = np.asarray(adata_manager.get_from_registry(SUBJECT_KEY)).ravel()
        super().__init__(adata_manager, **kwargs)

    def setup(self, stage: str | None = None) -> None:
        """Divide the subjects."""
        DataSplitter.setup(self, stage)
        if self.external_indexing is not None:
            self._check_split()
            return
        subjects = np.unique(self.subject)
        if self.shuffle_set_split:
            subjects = np.random.RandomState(seed=settings.seed).permutation(subjects)
        n_visits = len(self.subject)
        n_val = round(len(subjects) * self.n_val / n_visits)
        n_train = max(1, min(len(subjects) - n_val, round(len(subjects) * self.n_train / n_visits)))
        parts = subjects[:n_val], subjects[n_val : n_val + n_train], subjects[n_val + n_train :]
        self.val_idx, self.train_idx, self.test_idx = (np.flatnonzero(np.isin(self.subject, part)) for part in parts)

    def _check_split(self) -> None:
        sets = [set(self.subject[np.asarray(part, dtype=int)]) for part in self.external_indexing]
        for index, one in enumerate(sets):
            for other in sets[index + 1 :]:
                if one & other:
                    n_both = len(one & other)
                    message = f"The split divides the visits of {n_both} subjects between two sets; split by subject."
                    raise ValueError(message)


class SubjectSplitter(CohortSplitter):
    """Splitter of subjects whose minibatches are all visits of some of them.

    Parameters
    ----------
    adata_manager
        Registered visits.
    **kwargs
        Passed to :class:`CohortSplitter`; ``batch_size`` counts subjects.

    Raises
    ------
    ValueError
        If there are too few subjects, or a given split divides the visits of a subject; if the visits are on disk.
    """

    def __init__(self, adata_manager: AnnDataManager, **kwargs: Any) -> None:
        check_in_memory(adata_manager)
        self.loader: SubjectLoader | None = None
        #: Whether training minibatches are those of similar subjects.
        self.by_similarity = False
        super().__init__(adata_manager, **kwargs)

    def data_loader_cls(self, manager: AnnDataManager, **kwargs: Any) -> Any:
        """Return the loader of one of the sets."""
        if self._store is None:
            self._store = CellStore(manager, device=self._device(manager), keep_sparse=True)
        indices = np.asarray(kwargs["indices"], dtype=np.int64)
        shuffle = bool(kwargs.get("shuffle"))
        loader = SubjectLoader(
            self._store,
            indices,
            batch_size=kwargs["batch_size"],
            shuffle=shuffle,
            by_similarity=shuffle and self.by_similarity,
        )
        if shuffle:
            self.loader = loader
        return loader


def check_in_memory(manager: AnnDataManager) -> None:
    """Raise ValueError if the visits are on disk: minibatches of whole subjects are scattered over a file."""
    if is_stored(manager.get_from_registry(REGISTRY_KEYS.X_KEY)):
        message = (
            "The visits are on disk, but individuals are trained on from memory: the visits of a subject are anywhere "
            "in the file. Run: adata = adata.to_memory(), and set the model up again. (Snapshots are read from disk.)"
        )
        raise ValueError(message)
