"""The pydantic models of the settings, made of the dataclasses in `values`; imported only by `check`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Annotated, Any, cast, get_args, get_origin, get_type_hints

from pydantic import BaseModel, BeforeValidator, ConfigDict, WithJsonSchema, create_model
from pydantic import Field as ModelField
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from agent.model import Json
from agent.settings import values
from agent.settings.forms import FORMS
from agent.units import format_duration, format_size


def json_schema() -> dict[str, Json]:
    """The JSON Schema of limpet.toml."""
    schema = _MODEL.model_json_schema(by_alias=True)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "Limpet settings (limpet.toml)",
    }


def validated(data: dict[str, Any], environ: Mapping[str, str]) -> BaseModel:
    """The model of the file's content and the environment. Errors: ValidationError, SettingsError."""

    class Both(_MODEL):  # type: ignore[misc, valid-type]
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            **_: Any,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return _Environment(settings_cls, environ), init_settings

    model: BaseModel = Both(**data)
    return model


def known_keys(loc: Iterable[str]) -> list[str]:
    """The keys of the section at `loc`."""
    model: Any = _MODEL
    for part in loc:
        if get_origin(model) in (tuple, dict):
            model = get_args(model)[get_origin(model) is dict]
        else:
            model = model.model_fields[part].annotation
    return [member.alias or name for name, member in model.model_fields.items()]


# --- models of dataclasses ----------------------------------------------------------------------------------


def _hint(hint: Any) -> Any:
    """The type of a field with its checks: the words in Annotated become validators, nested dataclasses
    models.
    """
    if get_origin(hint) is Annotated:
        base, word = get_args(hint)
        check, schema = FORMS[word]
        return Annotated[(base, BeforeValidator(check), *([WithJsonSchema(schema)] if schema else []))]
    if get_origin(hint) is tuple:
        return tuple[(_hint(get_args(hint)[0]), ...)]  # type: ignore[misc]
    if get_origin(hint) is Mapping:
        return dict[str, _hint(get_args(hint)[1])]  # type: ignore[misc]
    return _model(hint) if is_dataclass(hint) else hint


def _model(section: Any, base: type[BaseModel] | None = None) -> type[BaseModel]:
    hints = get_type_hints(section, include_extras=True)
    members: dict[str, Any] = {}
    for member in fields(section):
        hint = _hint(hints[member.name])
        members[member.name] = (hint, _member(member, hints[member.name], hint))
    base = base or create_model("Section", __config__=ConfigDict(extra="forbid"))
    # The published schema names the sections as people do: Source, Gate, ...
    name = section.__name__.removesuffix("Settings") or section.__name__
    return create_model(name, __base__=base, **members)


def _member(member: Field[Any], hint: Any, model: Any) -> Any:
    about: dict[str, Any] = {"alias": member.metadata.get("key"), "description": member.metadata.get("doc")}
    if member.default_factory is not MISSING:
        return ModelField(default_factory=model if is_dataclass(hint) else member.default_factory, **about)
    if hint is values.Seconds:
        about["json_schema_extra"] = {"default": format_duration(cast(float, member.default))}
    if hint is values.Size:
        about["json_schema_extra"] = {"default": format_size(cast(int, member.default))}
    return ModelField(member.default, **about)


class _Base(BaseSettings):
    model_config = SettingsConfigDict(env_prefix=values.PREFIX, env_nested_delimiter="__", extra="forbid")


_MODEL = _model(values.Settings, _Base)


class _Environment(EnvSettingsSource):
    """The environment as it was given to `load`, and not the process's own."""

    def __init__(self, model: type[BaseSettings], environ: Mapping[str, str]) -> None:
        self._environ = environ
        super().__init__(model)

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return {name.lower(): value for name, value in self._environ.items()}
