"""The only module that knows where MuData keeps its modalities."""

from __future__ import annotations

import warnings
from collections import Counter
from typing import TYPE_CHECKING, Any

from . import _anndata
from .errors import MissingKeyError, ParameterError

if TYPE_CHECKING:
    from anndata import AnnData


def is_mudata(data: Any) -> bool:
    """Whether `data` is a MuData (found without importing mudata)."""
    return any(kind.__name__ == "MuData" and kind.__module__.startswith("mudata") for kind in type(data).__mro__)


def modality(data: Any, mod: str | None, copy: bool = False, name: str = "adata") -> tuple[Any, AnnData]:
    """What a function returns if it was asked for a copy, and the AnnData that it works on.

    The MuData (copied if so asked) and the modality that `mod` names; or, of an AnnData, itself twice, which the caller
    still copies.
    """
    if not is_mudata(data):
        _anndata.check_adata(data, name)
        if mod is not None:
            raise ParameterError(f"parameter `mod`: expected none with an AnnData, found {mod!r}")
        return None, data
    present = ", ".join(data.mod) or "(nothing)"
    if mod is None:
        raise ParameterError(f"parameter `mod`: expected the modality of the MuData to work on ({present}), found None")
    if mod not in data.mod:
        raise MissingKeyError(f"key `{mod}` not found in mdata.mod; present: {present}")
    whole = data.copy() if copy else data
    return whole, whole.mod[mod]


def warn_of_shared_names(mdata: Any, place: str, stacklevel: int) -> None:
    """Warns when features of several modalities bear one name, which MuData cannot tell apart."""
    seen = Counter(name for part in mdata.mod.values() for name in set(part.var_names))
    shared = sorted(name for name, times in seen.items() if times > 1)
    if shared:
        listed = ", ".join(shared[:5]) + (", ..." if len(shared) > 5 else "")
        one = len(shared) == 1
        warnings.warn(
            f"{place}: {len(shared)} {'name stands' if one else 'names stand'} in more than one modality "
            f"({', '.join(mdata.mod)}): {listed}. Nothing is lost, but {'it is' if one else 'they are'} ambiguous in "
            "mdata.var; prefix the names of one modality",
            UserWarning,
            stacklevel=stacklevel + 1,
        )
