"""Attributions block by block: in the first hidden layer where the path is straight in what the encoder reads."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch

from scgauge._core.encoder_network import encoder_network
from scgauge.metrics._distances import dense_rows
from scgauge.metrics._integrated_gradients import gradients_of, integrated_gradients

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor

    from scgauge._core.encoder_network import EncoderNetwork
    from scgauge._core.model_protocol import Adapter
    from scgauge.metrics import IntegratedGradients
    from scgauge.tl._attribution_baseline import Baselines
    from scgauge.tl._attribution_target import Target

#: Entries of cells x genes that are dense at once.
_ENTRIES_AT_ONCE = 2**23
_CELLS_AT_ONCE = 512


@dataclass
class Completeness:
    """Largest completeness error and change of each target, over all cells and references so far."""

    error: np.ndarray
    change: np.ndarray
    n_steps: int = 0

    @property
    def relative(self) -> np.ndarray:
        """Error in units of the largest change; 0 where nothing changes at all."""
        return np.divide(self.error, self.change, out=np.zeros_like(self.error), where=self.change > 0)


@dataclass
class Attributor:
    """Attributions of one target for the cells of an adapter.

    Attributes
    ----------
    adapter
        The model over the cells to explain.
    target
        Outputs to explain.
    method, path
        As in :func:`scgauge.tl.attribute`; "input" is the path of whatever the encoder reads.
    baselines
        Where paths start; ``None`` for gradients at the cell itself.
    n_steps, tolerance
        See :func:`scgauge.metrics.integrated_gradients`.
    """

    adapter: Adapter
    target: Target
    method: str
    path: str
    baselines: Baselines | None
    n_steps: int
    tolerance: float | None
    network: EncoderNetwork = field(init=False)
    completeness: Completeness = field(init=False)

    def __post_init__(self) -> None:
        self.network = self.adapter.encoder_network()
        n_targets = len(self.target.names)
        self.completeness = Completeness(np.zeros(n_targets), np.zeros(n_targets))

    def blocks(self, n_cells: int) -> Iterator[tuple[np.ndarray, Iterator[Tensor]]]:
        """Pass over cells: rows, and attributions ``(n_rows, n_genes)`` of one target after another."""
        size = max(1, min(_CELLS_AT_ONCE, _ENTRIES_AT_ONCE // len(self.adapter.genes)))
        for start in range(0, n_cells, size):
            cells = np.arange(start, min(start + size, n_cells))
            yield cells, self.attributions(cells)

    def _tensor(self, values: np.ndarray) -> Tensor:
        return torch.as_tensor(values, dtype=torch.float32, device=self.network.weight.device)

    def attributions(self, cells: np.ndarray) -> Iterator[Tensor]:
        """Attributions of some cells, an iterator over targets of ``(n_rows, n_genes)``."""
        x = self._tensor(dense_rows(self.adapter.matrix, cells))
        if self.baselines is None:
            return self._at_cells(x, cells)
        paths = [self._along_path(x, self._tensor(start), cells) for start in self.baselines(cells)]
        if len(paths) == 1:
            return paths[0]
        return (torch.stack(parts).mean(0) for parts in zip(*paths, strict=True))

    def values(self, n_cells: int) -> np.ndarray:
        """Targets of all cells, ``(n_cells, n_targets)``."""
        size = max(1, min(_CELLS_AT_ONCE, _ENTRIES_AT_ONCE // len(self.adapter.genes)))
        parts = []
        for start in range(0, n_cells, size):
            cells = np.arange(start, min(start + size, n_cells))
            x = self._tensor(dense_rows(self.adapter.matrix, cells))
            with torch.no_grad():
                parts.append(self.function(cells, reads="counts")(x).double().cpu().numpy())
        return np.concatenate(parts)

    def difference(self, cells: np.ndarray) -> Tensor:
        """Return what attributions of cells are shares of, ``(n_rows, n_genes)``: data less baseline along the path.

        Averaged over baselines; 1 for gradients, which are shares of nothing.
        """
        x = self._tensor(dense_rows(self.adapter.matrix, cells))
        if self.method == "saliency":
            return torch.ones_like(x)
        place = (lambda values: values) if self.path == "counts" else self.network.inputs
        if self.baselines is None:
            return place(x)
        starts = torch.stack([place(self._tensor(start)).expand_as(x) for start in self.baselines(cells)])
        return place(x) - starts.mean(0)

    def function(self, cells: np.ndarray, *, reads: str) -> Callable[[Tensor], Tensor]:
        """Return the targets as a function of counts, of the inputs or of the hidden units of some cells."""
        target, network = self.target, self.network
        context = self.adapter.context(cells)
        covariates = network.covariates(context)
        logged = network.reads_log

        def function(points: Tensor) -> Tensor:
            times = len(points) // len(context.batch)
            tiled = context.take(np.tile(np.arange(len(context.batch)), times))
            if target.of_latent is None:
                if target.of_data is None:
                    raise AssertionError
                x = torch.expm1(points) if reads == "inputs" and logged else points
                values = target.of_data(x, tiled, network)
                return values[:, None] if values.dim() == 1 else values
            beside = [value.repeat(times, *[1] * (value.dim() - 1)) for value in covariates]
            if reads == "counts":
                points = network.first(network.inputs(points), beside)
            elif reads == "inputs":
                points = network.first(points, beside)
            z = network.rest(points, beside)
            return target.of_latent(z, tiled)

        return function

    def _at_cells(self, x: Tensor, cells: np.ndarray) -> Iterator[Tensor]:
        """Gradients at the cells, times what the encoder reads for "input_x_gradient"."""
        times_input = self.method == "input_x_gradient"
        counts = self.path == "counts"
        at = x if counts else self.network.inputs(x)
        _, gradients = gradients_of(self.function(cells, reads="counts" if counts else "inputs"), at)
        for target in range(gradients.shape[1]):
            yield gradients[:, target] * at if times_input else gradients[:, target]

    def _along_path(self, x: Tensor, start: Tensor, cells: np.ndarray) -> Iterator[Tensor]:
        network = self.network
        if self.path == "counts" or self.target.of_latent is None:
            counts = self.path == "counts"
            ends = (x, start) if counts else (network.inputs(x), network.inputs(start))
            function = self.function(cells, reads="counts" if counts else "inputs")
            found = self._integrate(function, *ends)
            yield from found.attributions.unbind(1)
            return
        end, begin = network.inputs(x), network.inputs(start).expand_as(x)
        with torch.no_grad():
            covariates = network.covariates(self.adapter.context(cells))
            hidden = network.first(end, covariates), network.first(begin, covariates)
        found = self._integrate(self.function(cells, reads="hidden"), *hidden)
        difference, weight = end - begin, network.weight.detach()
        for gradients in found.gradients.unbind(1):
            yield torch.mm(gradients, weight).mul_(difference)

    def _integrate(self, function: Callable[[Tensor], Tensor], end: Tensor, start: Tensor) -> IntegratedGradients:
        """Integrate and remember how complete the result is."""
        found = integrated_gradients(function, end, baseline=start, n_steps=self.n_steps, tolerance=self.tolerance)
        seen = self.completeness
        seen.error = np.maximum(seen.error, found.completeness.abs().amax(0).double().cpu().numpy())
        seen.change = np.maximum(seen.change, found.change.abs().amax(0).double().cpu().numpy())
        seen.n_steps = max(seen.n_steps, found.n_steps)
        return found

    def randomised(self, rng: np.random.Generator) -> Attributor:
        """Return the same for a copy of the encoder in which the weights into each unit are shuffled."""
        original = self.adapter.model.module
        # Of a module that may have millions of parameters, the encoder alone is copied.
        shared = {id(part): part for part in original.children() if part is not original.z_encoder}
        module = copy.deepcopy(original, shared)
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        with torch.no_grad():
            for parameter in module.z_encoder.parameters():
                for unit in parameter if parameter.dim() > 1 else ():
                    unit.copy_(unit[torch.randperm(len(unit), generator=generator).to(unit.device)])
        other = copy.copy(self)
        other.tolerance = None
        other.network = encoder_network(module)
        n_targets = len(self.target.names)
        other.completeness = Completeness(np.zeros(n_targets), np.zeros(n_targets))
        return other


@dataclass
class Sums:
    """Sums over cells for groups of cells.

    Attributes
    ----------
    absolute, signed
        Of absolute attributions and of attributions, ``(n_groups, n_genes, n_targets)`` each.
    product, square
        Of attributions times differences from the baseline, ``(n_groups, n_genes, n_targets)``, and of squared
        differences, ``(n_groups, n_genes)``; ``None`` where no effects are asked for.
    """

    absolute: np.ndarray
    signed: np.ndarray
    product: np.ndarray | None = None
    square: np.ndarray | None = None

    @classmethod
    def zeros(cls, n_groups: int, n_genes: int, n_targets: int, *, effects: bool = False) -> Sums:
        """Nothing summed yet."""
        shape = n_groups, n_genes, n_targets
        more = (np.zeros(shape), np.zeros(shape[:2])) if effects else ()
        return cls(np.zeros(shape), np.zeros(shape), *more)

    @property
    def effects(self) -> bool:
        """Whether effects are asked for."""
        return self.product is not None

    def effect(self) -> np.ndarray:
        """Attribution for each unit of difference, ``(n_groups, n_genes, n_targets)``; 0 for genes that do not differ.

        The average gradient, in which cells count with their squared difference.
        """
        if self.product is None or self.square is None:
            raise AssertionError
        below = np.broadcast_to(self.square[:, :, None], self.product.shape)
        return np.divide(self.product, below, out=np.zeros_like(self.product), where=below > 0)

    def add(self, values: Tensor, codes: np.ndarray, target: int, difference: Tensor | None = None) -> None:
        """Add attributions ``(n_rows, n_genes)`` of a target to the groups of their cells."""
        for group in np.unique(codes):
            rows = slice(None) if (codes == group).all() else torch.as_tensor(codes == group)
            part = values[rows]
            self.signed[group, :, target] += (part.new_ones(len(part)) @ part).cpu().numpy()
            # A product with ones: several times faster than a sum or norm over the first axis.
            self.absolute[group, :, target] += (part.new_ones(len(part)) @ part.abs()).cpu().numpy()
            if difference is None or self.product is None or self.square is None:
                continue
            apart = difference[rows]
            self.product[group, :, target] += torch.einsum("ng,ng->g", part, apart).cpu().numpy()
            if target == 0:
                self.square[group] += torch.einsum("ng,ng->g", apart, apart).cpu().numpy()
