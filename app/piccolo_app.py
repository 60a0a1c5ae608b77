"""What Piccolo's migration commands need to know of us."""

from piccolo.conf.apps import AppConfig

from app.paths import folder
from app.tables import TABLES

APP_CONFIG = AppConfig(app_name="parley", migrations_folder_path=str(folder("migrations")), table_classes=list(TABLES))
