"""Pictures of a memory's history: pure functions that return matplotlib figures. They need the extra `figures`.

Every number in a picture comes from the history, and titles are computed from these numbers. The colours are the
palette of Okabe and Ito, which people with colour blindness can tell apart.

Example:
    ```python
    from titans_core.figures import save, surprise_over_time
    from titans_core.figures.history import replay

    save(surprise_over_time(replay(records, spec)), "pictures", "surprise")
    ```
"""

from typing import TYPE_CHECKING

from titans_core._utils.lazy import lazy_names

if TYPE_CHECKING:
    from titans_core.figures.curves import (
        effect_of_forgetting,
        momentum_against_surprise,
        surprise_over_time,
        update_heat_map,
    )
    from titans_core.figures.dashboard import dashboard
    from titans_core.figures.style import save

__all__ = [
    "dashboard",
    "effect_of_forgetting",
    "momentum_against_surprise",
    "save",
    "surprise_over_time",
    "update_heat_map",
]

_CURVES = ("effect_of_forgetting", "momentum_against_surprise", "surprise_over_time", "update_heat_map")

__getattr__ = lazy_names(
    __name__,
    dict.fromkeys(_CURVES, "titans_core.figures.curves")
    | {"dashboard": "titans_core.figures.dashboard", "save": "titans_core.figures.style"},
    extras={"matplotlib": "figures"},
)


def __dir__() -> list[str]:
    return sorted(__all__)
