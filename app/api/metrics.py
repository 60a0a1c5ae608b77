"""Figures for Prometheus."""

from typing import Any

from litestar import Request, Response, get
from litestar.di import NamedDependency

from app.api.bearer import brings
from app.chat.health import Process, gather
from app.chat.metrics import CONTENT_TYPE, exposition
from app.errors import NotFound, NotSignedIn
from app.words import gettext as _


@get("/metrics")
async def show(
    request: Request[Any, Any, Any], process: NamedDependency[Process], metrics_token: NamedDependency[str]
) -> Response[bytes]:
    """This process's figures, for who brings the token. 404 where no token is set."""
    if not metrics_token:
        raise NotFound(_("There is nothing here: it does not exist, or it is not yours."))
    if not brings(request, metrics_token):
        raise NotSignedIn(_("Send the token of the metrics as a bearer."))
    return Response(exposition(await gather(process)).encode(), headers={"content-type": CONTENT_TYPE})


ROUTES = [show]
