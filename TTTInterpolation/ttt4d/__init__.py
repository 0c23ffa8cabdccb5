"""ttt4d: the missing moments of a 4D medical image, by test-time training. Not for clinical use.

Examples
--------
>>> import ttt4d
>>> sorted(ttt4d.__all__)[:3]
['AdaptationSettings', 'Geometry', 'InterpolationSettings']
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, List

if TYPE_CHECKING:
    from .images.readers import read_sequence, read_volume
    from .images.volume import Geometry, Volume
    from .images.writers import open_writer
    from .settings import AdaptationSettings, InterpolationSettings
    from .temporal.pipeline import Interpolator
    from .through_plane.pipeline import SliceInterpolator, SliceRequest
    from .through_plane.settings import SliceAdaptationSettings, SliceSettings

__version__ = "0.1.0"
__all__ = ["AdaptationSettings", "Geometry", "InterpolationSettings", "Interpolator", "SliceAdaptationSettings",
           "SliceInterpolator", "SliceRequest", "SliceSettings", "Volume", "open_writer", "read_sequence",
           "read_volume"]

# Loaded when they are first used, so that `import ttt4d` loads neither torch nor NumPy.
_MODULES = {
    "AdaptationSettings": "settings", "InterpolationSettings": "settings", "Interpolator": "temporal.pipeline",
    "SliceAdaptationSettings": "through_plane.settings", "SliceSettings": "through_plane.settings",
    "SliceInterpolator": "through_plane.pipeline", "SliceRequest": "through_plane.pipeline",
    "Geometry": "images.volume", "Volume": "images.volume", "open_writer": "images.writers",
    "read_sequence": "images.readers", "read_volume": "images.readers"}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(import_module(f".{_MODULES[name]}", __name__), name)


def __dir__() -> List[str]:
    return sorted([*globals(), *__all__])
