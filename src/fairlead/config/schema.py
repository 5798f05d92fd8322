"""The JSON Schema of fairlead.yaml, with the sentences that stand below the settings in models.py."""

import ast
import inspect
from collections.abc import Mapping
from datetime import timedelta
from itertools import pairwise
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

from fairlead.config import models
from fairlead.config.values import print_duration


class _Schema(GenerateJsonSchema):
    """Defaults as a person writes them: pydantic's own form of a duration (PT1M) is none here."""

    def encode_default(self, dft: Any) -> Any:
        return print_duration(dft) if isinstance(dft, timedelta) else super().encode_default(dft)


def configuration_schema() -> dict[str, Any]:
    """The JSON Schema of fairlead.yaml, for editors."""
    schema = models.Configuration.model_json_schema(by_alias=True, schema_generator=_Schema)
    _describe(models.Configuration, schema)
    for name, definition in schema["$defs"].items():
        _describe(getattr(models, name), definition)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:fairlead:schema:fairlead.yaml",
        **schema,
    }


def _describe(model: type[BaseModel], schema: Mapping[str, Any]) -> None:
    """Give each setting its sentence. pydantic would read them, too, but whenever models.py is imported: 0.1 s."""
    for parent in reversed(model.__mro__):
        if issubclass(parent, models.Setting):
            for name, sentence in _sentences(parent).items():
                schema["properties"][model.model_fields[name].alias or name]["description"] = sentence


def _sentences(model: type[BaseModel]) -> dict[str, str]:
    """The text below each attribute of a class, as its source has it."""
    (node,) = ast.parse(inspect.getsource(model)).body
    assert isinstance(node, ast.ClassDef)
    return {
        setting.target.id: inspect.cleandoc(text.value.value)
        for setting, text in pairwise(node.body)
        if isinstance(setting, ast.AnnAssign)
        and isinstance(setting.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
        and isinstance(text.value.value, str)
    }
