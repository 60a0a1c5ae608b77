"""`python -m tests.children.program serve`: the real program, whose renderers obey the markers of `broken.py`.

`RENDERER_SECONDS` is how long they may take; a text waits for one a second longer.
"""

import os

from app.cli import main
from app.html.renderers import RENDERERS

if __name__ == "__main__":
    RENDERERS.program = "tests.children.broken"
    RENDERERS.deadline_seconds = float(os.environ["RENDERER_SECONDS"])
    RENDERERS.wait_seconds = RENDERERS.deadline_seconds + 1
    RENDERERS.start_seconds = 240.0
    main()
