"""Labs: sliders over pure functions."""

from .engine import Lab, Preset, slider, stops

__all__ = ["Lab", "Preset", "slider", "stops"]
