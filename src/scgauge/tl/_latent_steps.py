"""Known changes of latent points, one step at a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

#: Operations of one step in the order in which they are applied, with the numbers that each takes by name.
_OPERATIONS: dict[str, tuple[str, ...]] = {
    "rotate": (),
    "spread": (),
    "shift": (),
    "push": ("a", "b"),
    "move_to": ("target", "share"),
    "divide": ("height", "steepness", "level", "a", "b"),
}


def _vector(value: Any, plane: list[int], n_latent: int, name: str) -> np.ndarray:
    """Return a vector over latent dimensions from a number for the plane, two numbers, or all."""
    numbers = np.atleast_1d(np.asarray(value, dtype=np.float64))
    if numbers.ndim != 1 or not np.isfinite(numbers).all() or len(numbers) not in {1, 2, n_latent}:
        message = f"{name}={value!r} needs a number, two (for the plane) or {n_latent} (for all latent dimensions)."
        raise ValueError(message)
    if len(numbers) == n_latent:
        return numbers
    vector = np.zeros(n_latent)
    vector[plane] = numbers
    return vector


def check_step(step: Any, group: str) -> dict[str, Any]:
    """Return a step as a dictionary; ValueError names what is unknown or missing in it."""
    where = f"transformations[{group!r}]"
    if not isinstance(step, Mapping) or not step:
        message = f"{where} is {step!r}; a mapping from operations to numbers is needed: {list(_OPERATIONS)}."
        raise ValueError(message)
    unknown = [name for name in step if name not in {*_OPERATIONS, "center"}]
    if unknown:
        message = f"{where} has {unknown}; choose from {[*_OPERATIONS, 'center']}."
        raise ValueError(message)
    for name, fields in _OPERATIONS.items():
        if name not in step or not fields:
            continue
        given = step[name]
        needed = {"push": {"a", "b"}, "move_to": {"target", "share"}, "divide": {"height", "steepness"}}[name]
        if not isinstance(given, Mapping) or not needed <= set(given) <= set(fields):
            message = f"{where}[{name!r}] is {given!r}; a mapping with {sorted(needed)} of {list(fields)} is needed."
            raise ValueError(message)
    for name in ("rotate", "spread"):
        value = step.get(name, 1.0)
        if not isinstance(value, int | float) or not np.isfinite(value) or (name == "spread" and value <= 0):
            message = f"{where}[{name!r}] is {value!r}; a {'positive ' if name == 'spread' else ''}number is needed."
            raise ValueError(message)
    return dict(step)


def _pushed(x: np.ndarray, a: float, b: float, group: str) -> np.ndarray:
    if (np.abs(x + b) < 1e-6).any():
        message = f"A point of {group!r} lies at the pole of a / (x + b) with b={b}; choose another b."
        raise ValueError(message)
    return x + a / (x + b)


def take_step(z: np.ndarray, step: Mapping[str, Any], center: np.ndarray, plane: list[int], group: str) -> np.ndarray:
    """Move points by one step.

    Parameters
    ----------
    z
        Latent points of one group, ``(n_cells, n_latent)``.
    step
        A checked step.
    center
        What rotation, spreading and division go about, ``(n_latent,)``.
    plane
        Two latent dimensions.
    group
        Name in messages.
    """
    moved, n_latent = z.copy(), z.shape[1]
    flat = moved[:, plane] - center[plane]
    angle = np.radians(step.get("rotate", 0.0))
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    moved[:, plane] = step.get("spread", 1.0) * flat @ turn + center[plane]
    if "shift" in step:
        moved += _vector(step["shift"], plane, n_latent, f"shift of {group!r}")
    if "push" in step:
        for axis, a, b in zip(plane, *(np.broadcast_to(step["push"][name], 2) for name in "ab"), strict=True):
            moved[:, axis] = _pushed(moved[:, axis], float(a), float(b), group)
    if "move_to" in step:
        goal = np.asarray(step["move_to"]["target"], dtype=np.float64)
        axes = plane if len(goal) == 2 else list(range(n_latent))
        if goal.shape not in {(2,), (n_latent,)}:
            message = f"The target of {group!r} has the shape {goal.shape}; two numbers or {n_latent} are needed."
            raise ValueError(message)
        moved[:, axes] += step["move_to"]["share"] * (goal - moved[:, axes])
    if "divide" in step:
        rule = {"level": center[plane[1]], "a": 0.0, "b": 1.0, **step["divide"]}
        first, second = plane
        if rule["a"]:
            moved[:, first] = _pushed(moved[:, first], rule["a"], rule["b"], group)
        side = rule["steepness"] * (moved[:, second] - rule["level"])
        moved[:, second] += rule["height"] * 0.5 * np.tanh(side / 2)  # the logistic function less a half
    return moved
