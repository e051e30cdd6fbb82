"""What a model's output is explained: latent dimensions, classes, decoded genes or a function of the data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from scgauge._core.encoder_network import EncoderNetwork
    from scgauge._core.model_protocol import Adapter, CellContext

#: Draws from the posterior that the evidence lower bound is averaged over.
_DRAWS = 4


@dataclass(frozen=True)
class Target:
    """Outputs to explain.

    Attributes
    ----------
    names
        Name of each output.
    of_latent
        Outputs ``(n_cells, n_targets)`` from latent means and what the decoder reads beside them; ``None`` for a
        function of the data.
    of_data
        A function of the data ``(n_cells, n_genes)``, what the decoder reads beside them and the encoder, to
        ``(n_cells,)`` or ``(n_cells, n_targets)``.
    reads_model
        Whether the outputs depend on the weights of the encoder.
    """

    names: list[str]
    of_latent: Callable[[Tensor, CellContext], Tensor] | None = None
    of_data: Callable[[Tensor, CellContext, EncoderNetwork], Tensor] | None = None
    reads_model: bool = True


def _positions(wanted: Any, known: list[str], *, what: str) -> list[int]:
    """Positions of names among the known ones; KeyError for an unknown one."""
    asked = [wanted] if isinstance(wanted, str) else [str(name) for name in wanted]
    missing = [name for name in asked if name not in known]
    if missing or not asked:
        message = f"The model has no {what} {missing}; it has {len(known)}, for example {known[:5]}."
        raise KeyError(message)
    return [known.index(name) for name in asked]


def _of_latents(adapter: Adapter, target: Any) -> Target:
    latents = adapter.latents
    numbers = (
        list(range(len(latents)))
        if isinstance(target, str) and target == "latent"
        else np.atleast_1d(np.asarray(target)).tolist()
    )
    bad = [number for number in numbers if isinstance(number, bool) or not isinstance(number, int)]
    bad = bad or [number for number in numbers if not 0 <= number < len(latents)]
    if bad or not numbers:
        message = f"target={target!r} was given; latent dimensions are numbers from 0 to {len(latents) - 1}."
        raise ValueError(message)
    return Target([latents[number] for number in numbers], of_latent=lambda z, context: z[:, numbers])


def _elbo(adapter: Adapter, rng: np.random.Generator) -> Target:
    """Evidence lower bound for draws with fixed noise, each with its mirror image: exact for what is linear in them."""
    half = torch.as_tensor(rng.standard_normal((_DRAWS // 2, 2, len(adapter.latents))), dtype=torch.float32)
    noise = torch.cat((half, -half))

    def elbo(x: Tensor, context: CellContext, network: EncoderNetwork) -> Tensor:
        covariates = network.covariates(context)
        posterior = network.posterior(network.first(network.inputs(x), covariates), covariates)
        return adapter.elbo(x, posterior, context, noise.to(x.device))

    return Target(["elbo"], of_data=elbo)


def _of_classes(adapter: Adapter, columns: list[int], names: list[str], *, log_odds: bool) -> Target:
    """Logits of classes, or their log odds against all others."""

    def outputs(z: Tensor, context: CellContext) -> Tensor:
        logits = adapter.class_logits(z)
        if not log_odds:
            return logits[:, columns]
        others = [[other for other in range(logits.shape[1]) if other != column] for column in columns]
        return torch.stack([logits[:, c] - logits[:, o].logsumexp(1) for c, o in zip(columns, others, strict=True)], 1)

    return Target(names, of_latent=outputs)


def resolve_target(adapter: Adapter, target: Any, rng: np.random.Generator, *, log_odds: bool = False) -> Target:
    """Turn the `target` of :func:`scgauge.tl.attribute` into names and a function.

    `log_odds` takes classes by their log odds instead of their logits.

    Raises
    ------
    KeyError
        If a class or gene is unknown.
    TypeError
        If a class is asked of a model without classifier.
    ValueError
        If it is none of the forms.
    """
    if callable(target):
        name = getattr(target, "__name__", "target").strip("<>")
        return Target([name], of_data=lambda x, context, network: target(x), reads_model=False)
    if isinstance(target, str) and target == "elbo":
        return _elbo(adapter, rng)
    if isinstance(target, dict) and set(target) == {"class"}:
        if "labelled_prior" not in adapter.capabilities:
            message = f"{type(adapter.model).__name__} has no classifier. Pass a scvi.model.SCANVI to explain classes."
            raise TypeError(message)
        known = adapter.categories("labels").tolist()
        columns = _positions(target["class"], known, what="class")
        return _of_classes(adapter, columns, [known[column] for column in columns], log_odds=log_odds)
    if isinstance(target, dict) and set(target) == {"gene"}:
        columns = _positions(target["gene"], adapter.genes.tolist(), what="gene")
        name = "+".join([target["gene"]] if isinstance(target["gene"], str) else map(str, target["gene"]))
        return Target(
            [name],
            of_latent=lambda z, context: adapter.decoded_mean(z, context)[:, columns].sum(1, keepdim=True),
        )
    if isinstance(target, str | dict) and target != "latent":
        message = (
            f"target={target!r} was given; choose 'latent', 'elbo', one or several numbers of latent dimensions, "
            "{'class': name}, {'gene': name or names}, or a function of the data."
        )
        raise ValueError(message)
    return _of_latents(adapter, target)
