"""HTTP in, JSON out (and the text that Prometheus reads): one noun per file."""

from app.api import health, metrics

ROUTES = [*health.ROUTES, *metrics.ROUTES]
