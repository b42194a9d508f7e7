"""Labs: sliders over pure functions."""

from .engine import Lab, Preset, slider

__all__ = ["Lab", "Preset", "slider"]
