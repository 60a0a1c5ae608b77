"""Tests, laid out as `app/` is."""
