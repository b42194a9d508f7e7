"""Where episodes come from."""

from .episodes import Characters, Episode, Points
from .omniglot import CharacterData, load_characters
from .sines import SineTasks

__all__ = ["CharacterData", "Characters", "Episode", "Points", "SineTasks", "load_characters"]
