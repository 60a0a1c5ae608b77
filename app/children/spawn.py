"""Starts a child process: few environment variables, no descriptors but its own, a session of its own."""

import os
import pathlib
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Final

_PACKAGE: Final = pathlib.Path(__file__).resolve().parent.parent
#: Everything else stays here: keys and addresses of databases come in the environment.
_PASSED_ON: Final = ("LANG", "LC_ALL", "LC_CTYPE", "LD_LIBRARY_PATH", "PATH", "PYTHONPATH", "TMPDIR", "TZ")


def spawn(
    command: Sequence[str], *, channel: socket.socket, environment: Mapping[str, str] | None = None
) -> "subprocess.Popen[bytes]":
    """A child whose input and output are `channel`, which the caller closes. Call it in a thread that lives as long.

    (Linux ends a child that asked for it when the *thread* ends that started it.) Raises `OSError`.
    """
    return subprocess.Popen(
        command,
        stdin=channel.fileno(),
        stdout=channel.fileno(),
        env={name: os.environ[name] for name in _PASSED_ON if name in os.environ} | dict(environment or {}),
        cwd="/",
        close_fds=True,
        start_new_session=True,  # a Ctrl-C in the terminal is for us
    )


def spawn_python(module: str, *, channel: socket.socket) -> "subprocess.Popen[bytes]":
    """The same for one of our own modules, found wherever `app` was."""
    places = [
        str(_PACKAGE.parent),
        *map(os.path.abspath, filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))),
    ]
    command = [sys.executable, "-P", "-m", module]
    return spawn(command, channel=channel, environment={"PYTHONPATH": os.pathsep.join(places)})
