"""The models that figures offer, from the catalogue."""

from functools import cache
from typing import get_args

from lora_lab.parameters.shapes import Linear, ModelShape, Role, find_shape, load_catalogue
from study.base.units import as_short

ROLES: tuple[Role, ...] = ("q", "k", "v", "o", "gate", "up", "down")
ROLE_NAMES = {
    "q": "query (q)",
    "k": "key (k)",
    "v": "value (v)",
    "o": "output (o)",
    "gate": "gate",
    "up": "up",
    "down": "down",
}
RANKS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256)
"""The stops of a rank slider."""

assert set(ROLES) <= set(get_args(Role))


def list_all_models() -> list[tuple[str, str]]:
    """Return every model of the catalogue with its size, smallest first."""
    return [_name_model(shape) for shape in load_catalogue().values()]


@cache
def list_usual_models() -> list[tuple[str, str]]:
    """Return the models whose layers consist of the seven matrices that the figures draw."""
    return [_name_model(shape) for shape in load_catalogue().values() if _is_usual(shape)]


def find_linear(model: str, role: str) -> Linear:
    return next(one for one in find_shape(model).linears if one.role == role)


def _is_usual(shape: ModelShape) -> bool:
    return sorted(linear.role for linear in shape.linears) == sorted(ROLES)


def _name_model(shape: ModelShape) -> tuple[str, str]:
    return shape.name, f"{shape.name} ({as_short(shape.total_parameters)})"
