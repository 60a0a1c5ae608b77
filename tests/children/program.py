"""`python -m tests.children.program serve`: the real program, whose renderers obey the markers of `broken.py`."""

from app.cli import main
from app.html.renderers import RENDERERS

if __name__ == "__main__":
    RENDERERS.program = "tests.children.broken"
    main()
