"""Names of a package that are imported at their first use, so that importing the package is fast (PEP 562)."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def lazy_names(
    package: str, homes: Mapping[str, str], *, extras: Mapping[str, str] | None = None
) -> Callable[[str], Any]:
    """Make the `__getattr__` of a package.

    Args:
        package: The name of the package.
        homes: For each lazy name the module that defines it.
        extras: For each top-level module of a framework that these modules import, the extra that installs it.
    """

    def get(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        try:
            value = getattr(import_module(homes[name]), name)
        except ModuleNotFoundError as error:
            needs = (error.name or "").partition(".")[0]
            if (extra := (extras or {}).get(needs)) is None:
                raise
            message = f"{package} needs {needs}, which is not installed; run: pip install 'titans-core[{extra}]'"
            raise ModuleNotFoundError(message, name=error.name) from error
        setattr(sys.modules[package], name, value)
        return value

    return get
