"""Sends the heartbeat by HTTP PUT. A receiver that is down or refuses it is reported, and fails nothing."""

from __future__ import annotations

import base64
from http.client import HTTPException
from urllib.error import HTTPError
from urllib.parse import unquote, urlsplit, urlunsplit
from urllib.request import Request, urlopen


def put(url: str, data: bytes, *, timeout: float) -> str:
    """Sends `data`. Returns the problem, in a sentence without the URL's credentials, or an empty text."""
    parts = urlsplit(url)
    server = parts.netloc.rpartition("@")[2]
    request = Request(urlunsplit(parts._replace(netloc=server)), data=data, method="PUT")
    request.add_header("Content-Type", "application/json")
    if parts.username:
        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
        request.add_header("Authorization", f"Basic {base64.b64encode(login).decode()}")
    try:
        with urlopen(request, timeout=timeout) as answer:
            answer.read(1024)
    except HTTPError as error:
        return f"heartbeat.url: {server} answered {error.code}"
    except (OSError, HTTPException, ValueError) as error:
        return f"heartbeat.url: {server} cannot be reached: {getattr(error, 'reason', error)}"
    return ""
