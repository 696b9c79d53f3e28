"""What is shown of a URL."""

from __future__ import annotations

import pytest

from agent.redact import redact


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://user:s3cret@git.example.org/f.git", "https://git.example.org/f.git"),
        ("https://s3cret@git.example.org/f.git", "https://git.example.org/f.git"),
        ("fatal: https://oauth2:s3cret@h:8443/x?a=1 said no", "fatal: https://h:8443/x?a=1 said no"),
        ("https://u:s3@cret@h/x", "https://h/x"),
        ("ssh://git@h/f.git", "ssh://git@h/f.git"),
        ("ssh://git:s3cret@h/f.git", "ssh://git@h/f.git"),
        ("https://h/x?private_token=s3cret&b=2", "https://h/x?private_token=***&b=2"),
        ("mail ops@example.org", "mail ops@example.org"),
        ("git@h:f.git", "git@h:f.git"),
    ],
)
def test_redaction(text: str, shown: str) -> None:
    """No password or token of a URL may be shown; what is no secret stays readable."""
    assert redact(text) == shown
