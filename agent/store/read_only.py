"""Makes a copy of a value that cannot be changed: for a dry run, which may only look."""

from __future__ import annotations

from dataclasses import fields
from types import MappingProxyType
from typing import Any, NoReturn, TypeVar

T = TypeVar("T")


def read_only(value: T) -> T:
    """A copy of a dataclass that refuses to be changed, as do the lists, mappings and dataclasses in it. Who
    tries to change it gets a TypeError or an AttributeError.
    """
    copy: T = _frozen(value)
    return copy


def _frozen(value: Any) -> Any:
    if isinstance(value, dict):
        return MappingProxyType({key: _frozen(item) for key, item in value.items()})
    if isinstance(value, list):
        return tuple(_frozen(item) for item in value)
    kind: Any = type(value)
    parameters = getattr(kind, "__dataclass_params__", None)
    if parameters is None or parameters.frozen:
        return value  # it cannot be changed; a frozen dataclass must stay equal to others of its class
    copy: Any = object.__new__(
        type(f"ReadOnly{kind.__name__}", (kind,), {"__slots__": (), "__setattr__": _refuse})
    )
    for field in fields(value):
        object.__setattr__(copy, field.name, _frozen(getattr(value, field.name)))
    return copy


def _refuse(self: object, name: str, value: object) -> NoReturn:
    raise TypeError(f"{name} of a read-only {type(self).__mro__[1].__name__} cannot be changed")
