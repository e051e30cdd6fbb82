from __future__ import annotations

from functools import cache
from typing import Any

import torch


@cache
def in_memory_order(optimizer_class: type[torch.optim.Optimizer]) -> type[torch.optim.Optimizer]:
    """Return an optimizer of the family of Adam that updates transposed weights in the order in which they are stored.

    Weights whose columns lie side by side, as products with sparse cells read them, are copied in each step of torch's
    fused optimizers on a CPU. The update is one of each number by itself, so that the order is free, and the result is
    the same to the last bit. Those optimizers also read a gradient that lies in another order than its weights as if
    it did not, and update the wrong ones (seen in torch 2.13 and 2.15); here it is brought into their order.

    Parameters
    ----------
    optimizer_class
        Class of torch; one of another family is returned as it is.
    """
    if not issubclass(optimizer_class, torch.optim.Adam):
        return optimizer_class

    class InMemoryOrder(optimizer_class):  # type: ignore[misc, valid-type]
        def _init_group(self, group: dict[str, Any], *lists: Any) -> Any:
            """Collect what a step changes; what is transposed is handed on as it lies in memory."""
            for parameter in filter(_is_transposed, group["params"]):
                for name, value in self.state[parameter].items():
                    self.state[parameter][name] = _laid_out(value, parameter)
            found = super()._init_group(group, *lists)
            parameters, gradients, *others = lists[:-1]  # the last are numbers of steps
            for index, parameter in enumerate(parameters):
                if _is_transposed(parameter):
                    gradients[index] = _laid_out(gradients[index], parameter)
                    for tensors in (parameters, gradients, *filter(None, others)):
                        tensors[index] = tensors[index].t()
            return found

    InMemoryOrder.__name__, InMemoryOrder.__qualname__ = optimizer_class.__name__, optimizer_class.__qualname__
    return InMemoryOrder


def _is_transposed(tensor: torch.Tensor) -> bool:
    return tensor.dim() == 2 and not tensor.is_contiguous() and tensor.t().is_contiguous()


def _laid_out(value: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Return numbers of the shape of a parameter in its order in memory; others as they are."""
    differs = value.shape == like.shape and value.stride() != like.stride()
    return torch.empty_like(like).copy_(value) if differs else value
