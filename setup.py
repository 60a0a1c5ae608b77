"""What pyproject.toml has no words for: the files that a wheel carries beside the modules."""

from setuptools import find_packages, setup

SHIPPED = ("templates", "static", "migrations", "locale")

setup(
    packages=[*find_packages(include=["app", "app.*"]), *(f"app.shipped.{name}" for name in SHIPPED)],
    package_dir={f"app.shipped.{name}": name for name in SHIPPED},
    package_data={"app.providers": ["*.json"], **{f"app.shipped.{name}": ["**/*"] for name in SHIPPED}},
)
