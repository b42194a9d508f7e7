"""Learning to Learn, by Hand: the package under the course's notebooks."""

__version__ = "0.1.0"
