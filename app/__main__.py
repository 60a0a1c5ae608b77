"""`python -m app` is `parley`."""

from app.cli import main

main()
