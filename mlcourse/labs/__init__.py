"""Labs: sliders over pure functions."""

from .engine import Lab, Preset, named_stops, slider, stops

__all__ = ["Lab", "Preset", "named_stops", "slider", "stops"]
