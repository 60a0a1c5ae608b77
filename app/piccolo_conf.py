"""Where Piccolo's commands find the engine and the app; named by PICCOLO_CONF."""

from piccolo.conf.apps import AppRegistry

from app.database import engine as DB

APP_REGISTRY = AppRegistry(apps=["app.piccolo_app"])

__all__ = ["APP_REGISTRY", "DB"]
