"""Takes the credentials out of URLs; every text that leaves the agent goes through here. Pure."""

from __future__ import annotations

import re

_USERINFO = r"\b([a-zA-Z][a-zA-Z0-9+.-]*://)([^/\s?#\"'<>]*)@"
_SECRET_WORDS = "token|password|passwd|secret|signature|api_?key|auth"
_QUERY = rf"(?i)([?&][^=&\s]*(?:{_SECRET_WORDS})[^=&\s]*=)[^&\s#\"'<>]+"


def redact(text: str) -> str:
    """The text without passwords and tokens in its URLs. The user of an ssh URL is not a secret and stays."""

    def userinfo(found: re.Match[str]) -> str:
        user = found[2].partition(":")[0] if "ssh" in found[1] else ""
        return f"{found[1]}{user}@" if user else found[1]

    if "://" in text:
        text = re.sub(_USERINFO, userinfo, text)
    return re.sub(_QUERY, r"\1***", text) if "=" in text else text
