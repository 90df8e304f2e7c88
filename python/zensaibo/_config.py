"""The configuration of a recipe: a TOML file or sections of options."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .errors import ParameterError

Config = str | os.PathLike[str] | Mapping[str, Mapping[str, Any]]


def config_toml(config: Config | None, first: Mapping[tuple[str, str], Any] | None = None) -> str:
    """The options as TOML. Those of `first`, by section and name, come first, so that the configuration has the last word."""
    if config is None:
        sections: Mapping[str, Any] = {}
    elif isinstance(config, Mapping):
        sections = config
    else:
        import tomllib

        try:
            text = Path(config).read_text(encoding="utf-8")
        except OSError as error:
            raise ParameterError(f"parameter `config`: expected a readable file, found {config}: {error}") from error
        if not first:
            return text
        try:
            sections = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise ParameterError(f"parameter `config`: expected TOML, found {error} in {config}") from error
    merged: dict[str, dict[str, Any]] = {}
    for (section, option), value in (first or {}).items():
        merged.setdefault(section, {})[option] = value
    for section, options in sections.items():
        if not isinstance(options, Mapping):
            raise ParameterError(f"parameter `config`: expected a mapping under {section!r}, found {options!r}")
        merged.setdefault(str(section), {}).update(options)
    lines = []
    for section, options in merged.items():
        lines.append(f"[{json.dumps(section)}]")
        lines += [f"{json.dumps(str(key))} = {_toml(value)}" for key, value in options.items() if value is not None]
    return "\n".join(lines)


def _toml(value: Any) -> str:
    """One value as TOML."""
    if isinstance(value, (bool, np.bool_)):
        return "true" if value else "false"
    if isinstance(value, (int, np.integer)):
        return str(int(value))
    if isinstance(value, (float, np.floating)):
        return repr(float(value))
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, (list, tuple, np.ndarray)):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    raise ParameterError(f"parameter `config`: expected numbers, strings, booleans or lists, found {value!r}")
