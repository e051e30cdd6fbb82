"""A device that is none: tensors say that they are elsewhere, and numbers are computed by the CPU.

Where no GPU is at hand it still shows what a GPU would refuse or be slow at: an operation on tensors of two devices, an
array read straight from the device, and a step that waits for the device to say a number or a size.
"""

from __future__ import annotations

import traceback
from contextlib import ExitStack
from unittest import mock

import torch
from lightning.pytorch.accelerators import CPUAccelerator
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map_only, tree_unflatten

aten = torch.ops.aten

DEVICE = torch.device("meta")
#: Operations after which the host knows what it could not know before the device is done.
_WAITING = {
    aten._local_scalar_dense.default,
    aten.equal.default,
    aten.masked_select.default,
    aten.nonzero.default,
    aten._unique2.default,
    aten.unique_dim.default,
    aten.bincount.default,
}
#: Operations that take tensors of two devices: moves, and indices that the host knows.
_MOVING = {
    aten._to_copy.default,
    aten.copy_.default,
    aten.index.Tensor,
    aten.index_put.default,
    aten.index_put_.default,
}


class _Resident(torch.Tensor):
    """Tensor on the device, with the numbers in the memory of the host."""

    @staticmethod
    def __new__(cls, held):
        options = {
            "dtype": held.dtype,
            "device": DEVICE,
            "strides": held.stride(),
            "storage_offset": held.storage_offset(),
        }
        return torch.Tensor._make_wrapper_subclass(cls, held.shape, **options)

    def __init__(self, held):
        self.held = held

    def __getitem__(self, key):
        # torch would make of a list a tensor beside this one, without its numbers.
        keys = key if isinstance(key, tuple) else (key,)
        return super().__getitem__(tuple(torch.as_tensor(part) if isinstance(part, list) else part for part in keys))

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return _run(func, args, kwargs or {}, waits=[])


class PretendDevice(TorchDispatchMode):
    """While this is entered, ``DEVICE`` is a device of its own.

    `waits` has for each operation that waited for the device its name and the names of the functions it came from.
    """

    def __init__(self):
        super().__init__()
        self.waits = []
        self._patches = ExitStack()

    def __enter__(self):
        # torch makes no numbers and knows no lower precision on "meta", Lightning's accelerator no device but its own.
        for name in ("tensor", "as_tensor"):
            self._patches.enter_context(mock.patch.object(torch, name, _made_here(getattr(torch, name))))
        autocast = torch.autocast
        self._patches.enter_context(mock.patch.object(torch, "autocast", lambda _, **how: autocast("cpu", **how)))
        self._patches.enter_context(mock.patch.object(CPUAccelerator, "setup_device"))
        return super().__enter__()

    def __exit__(self, *error):
        super().__exit__(*error)
        self._patches.close()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return _run(func, args, kwargs or {}, self.waits)


def _made_here(make):
    """Make a tensor in the memory of the host, then move it."""

    def function(data, *args, device=None, **kwargs):
        made = make(data, *args, **kwargs)
        return made if device is None else made.to(device)

    return function


def to_host(tree):
    """Return the numbers of tensors, wherever they are."""
    return tree_map_only(torch.Tensor, lambda part: getattr(part, "held", part).detach(), tree)


def _is_handed_over(func, args, kwargs, here):
    """Whether an array of the host goes to the device while the host waits."""
    if not here:
        return False
    if func is aten._to_copy.default:
        return kwargs.get("device") == DEVICE and not kwargs.get("non_blocking")
    if func is aten.copy_.default:
        return isinstance(args[0], _Resident) and not (len(args) > 2 and args[2])
    return func in _MOVING and isinstance(args[0], _Resident)


def _run(func, args, kwargs, waits):
    leaves, form = tree_flatten((args, kwargs))
    there = [leaf for leaf in leaves if isinstance(leaf, _Resident)]
    here = [leaf for leaf in leaves if isinstance(leaf, torch.Tensor) and not isinstance(leaf, _Resident)]
    target = kwargs.get("device")
    assert not any(leaf.is_meta for leaf in here), f"{func} got a tensor that torch made without numbers"
    if there and func not in _MOVING and any(leaf.dim() for leaf in here):
        message = f"{func} got tensors of two devices"
        raise RuntimeError(message)
    if (there and (func in _WAITING or target == torch.device("cpu"))) or _is_handed_over(func, args, kwargs, here):
        waits.append((str(func), [frame.name for frame in traceback.extract_stack()]))
    held = [leaf.held if isinstance(leaf, _Resident) else leaf for leaf in leaves]
    args, kwargs = tree_unflatten(held, form)
    if target is not None:
        kwargs["device"] = torch.device("cpu")
    result = func(*args, **kwargs)
    if not (target == DEVICE or (there and target is None)):
        return result
    # What was changed in place stays the tensor that it was.
    owners = {id(leaf.held): leaf for leaf in there}
    return tree_map_only(torch.Tensor, lambda part: owners[id(part)] if id(part) in owners else _Resident(part), result)
