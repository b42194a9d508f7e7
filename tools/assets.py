"""Makes the files in mlcourse/assets anew: python tools/assets.py [name ...]"""

import sys

from mlcourse import paths
from mlcourse.tasks import omniglot
from mlcourse.tasks.glyphs import make_glyphs


def glyphs() -> None:
    """The generated alphabets that stand in for Omniglot."""
    made = omniglot.CharacterData(*make_glyphs(seed=0), "generated alphabets")
    omniglot.write_cache(paths.asset("glyphs_28.npz"), made, omniglot.GLYPHS)


MAKERS = {"glyphs": glyphs}

if __name__ == "__main__":
    for name in sys.argv[1:] or MAKERS:
        print(f"making {name}", flush=True)
        MAKERS[name]()
