"""Where templates, static files, migrations and translations stand: beside the package in a checkout, inside it in a wheel."""

import pathlib

_package = pathlib.Path(__file__).resolve().parent


def folder(name: str) -> pathlib.Path:
    """The folder of that name. Raises `FileNotFoundError` if the installation is damaged."""
    for place in (_package / "shipped" / name, _package.parent / name):
        if place.is_dir():
            return place
    raise FileNotFoundError(f"Parley's folder {name!r} is missing from this installation.")
