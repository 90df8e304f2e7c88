"""Options travel to Rust as JSON: one place that writes it, so that every default stands in Rust alone."""

import functools
import json
from typing import Any

from . import _core


def to_json(**options: Any) -> str:
    """JSON of an options struct. ``None`` is kept (it means "unset"); numpy scalars become Python's.

    Non-finite floats have no JSON form: callers turn ``inf`` into ``None`` where the option documents it.
    """

    def plain(value: Any) -> Any:
        if hasattr(value, "item") and getattr(value, "ndim", 0) == 0:
            return value.item()
        if hasattr(value, "tolist"):
            return value.tolist()
        raise TypeError(f"options: expected a number, string, bool, None or list, found {type(value).__name__}")

    return json.dumps(options, default=plain, allow_nan=False)


@functools.cache
def defaults(name: str) -> dict[str, Any]:
    """The Rust defaults of options struct ``name``."""
    return json.loads(_core.option_defaults())[name]["defaults"]
