"""What adapts to an episode, one method a file."""
