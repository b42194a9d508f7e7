from pathlib import Path

REPOSITORY = Path(__file__).parent.parent


def write_pages(rows):
    pass
