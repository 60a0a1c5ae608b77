"""The rows: one file per table, each with the behaviour of its own rows."""

from app.tables.engine import EngineRow
from app.tables.generation import Generation
from app.tables.invitation import Invitation
from app.tables.message import Message
from app.tables.model import ModelRow
from app.tables.model_task import ModelTask
from app.tables.preset import Preset
from app.tables.provider import ProviderRow
from app.tables.session import Session
from app.tables.setting import Setting
from app.tables.sign_in_attempt import SignInAttempt
from app.tables.slash_prompt import SlashPrompt
from app.tables.thread import Thread
from app.tables.user import User
from app.tables.worker import Worker

TABLES = [
    User,
    Session,
    Invitation,
    SignInAttempt,
    ProviderRow,
    ModelRow,
    Thread,
    Message,
    Generation,
    Worker,
    Setting,
    ModelTask,
    EngineRow,
    Preset,
    SlashPrompt,
]

__all__ = ["TABLES", *(table.__name__ for table in TABLES)]
