"""Reads the private key of `source.ssh_key` before anything is sent.

Rules:
1. What a file holds is told from its content, by its own header, never from which reader failed last.
2. Every form that OpenSSH takes is taken (its own, PKCS#1, SEC 1, PKCS#8), and with anything before and
   after the key, with blanks around its lines and with the line ends of Windows.
3. Whatever is wrong with the file, a person has to act: Stalled, with `source.ssh_key`, the path and a
   command.
"""

from __future__ import annotations

import base64
import io
import re
import shlex
import stat
from pathlib import Path

import paramiko
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa

from agent.errors import Stalled
from agent.fetch.request import reason

MAX_BYTES = 1 << 20
MAGIC = b"openssh-key-v1\0"
BLOCK = re.compile(
    rb"^-----BEGIN ([A-Z0-9 ]*PRIVATE KEY)-----$(.*?)^-----END \1-----$", re.MULTILINE | re.DOTALL
)
ANY_BEGIN = re.compile(rb"^-----BEGIN ([A-Z0-9 ]*PRIVATE KEY)-----", re.MULTILINE)
SSH_CURVES = ("secp256r1", "secp384r1", "secp521r1")

NEW_KEY = 'make one of its own with `ssh-keygen -t ed25519 -N "" -f NEW`, and add NEW.pub as a deploy key'
NAME_PRIVATE = "name the private half, usually the file without .pub"
DER = rb"\A\x30([\x80-\x84]|.\x02\x01)"
UTF_16 = rb"\A(\xff\xfe|\xfe\xff)"
# How a line begins of what is something else -> what it is, and what to do; {file} is the path.
MISTAKEN = (
    (DER, "is binary (DER)", "write it anew: `openssl pkey -inform DER -in {file} -out NEW`"),
    (UTF_16, "is text in UTF-16", "write it anew: `iconv -f UTF-16 -t UTF-8 {file} >NEW`"),
    (
        rb"^PuTTY-User-Key-File-",
        "is a key of PuTTY",
        "write it anew: `puttygen {file} -O private-openssh -o NEW`",
    ),
    (rb"^[\w.@-]+-cert-v01@openssh\.com ", "is a certificate, not a private key", NAME_PRIVATE),
    (
        rb"^(ssh-(rsa|dss|ed25519)|(sk-)?ecdsa-sha2-|sk-ssh-)\S* ",
        "is a public key, not a private one",
        NAME_PRIVATE,
    ),
    (rb"^-----BEGIN ([A-Z]+ )?PUBLIC KEY-----", "is a public key, not a private one", NAME_PRIVATE),
    (rb"^---- BEGIN SSH2 PUBLIC KEY ----", "is a public key, not a private one", NAME_PRIVATE),
    (rb"^-----BEGIN ([A-Z0-9]+ )*CERTIFICATE-----", "is a certificate, not a private key", NEW_KEY),
    (
        rb"^---- BEGIN SSH2 ",
        "is a key in the form of ssh.com",
        "write it anew: `ssh-keygen -i -f {file} >NEW`",
    ),
    (rb"^SSH PRIVATE KEY FILE FORMAT", "is a key for version 1 of SSH, which is no more", NEW_KEY),
    (rb"^-----BEGIN PGP ", "is a key of OpenPGP, not one of SSH", NEW_KEY),
)


def load_private_key(path: Path) -> paramiko.PKey:
    """The key in a file. Errors: Stalled."""
    content = _read(path)
    text = b"\n".join(line.strip() for line in content.removeprefix(b"\xef\xbb\xbf").splitlines()) + b"\n"
    found = BLOCK.search(text)
    if found is None:
        raise _no_key(path, text, content)
    label = found[1].decode()
    if label == "DSA PRIVATE KEY":
        raise _dsa(path)
    if _encrypted(label, found[2]):
        raise _unusable(
            path,
            "is protected by a passphrase",
            "use a key of its own without one, that may only read this repository; or take it off: "
            f'`ssh-keygen -p -N "" -f {_quoted(path)}`',
        )
    _check_token(path, label, found[2])
    try:
        if label == "OPENSSH PRIVATE KEY":
            loaded: object = serialization.load_ssh_private_key(found[0] + b"\n", None)
        else:
            loaded = serialization.load_pem_private_key(found[0] + b"\n", None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise _damaged(path, f"holds a damaged key ({label})") from None
    return _as_paramiko(path, loaded)


def with_certificate(path: Path) -> paramiko.PKey | None:
    """The key together with the certificate beside it (PATH-cert.pub), as ssh offers it; None when there is
    none. Errors: Stalled.
    """
    beside = Path(f"{path}-cert.pub")
    if not beside.is_file():
        return None
    key = load_private_key(path)
    try:
        key.load_certificate(str(beside))
    except (OSError, ValueError, paramiko.SSHException):
        raise Stalled(
            f"{beside}, the certificate of source.ssh_key {path}, cannot be read",
            "write it anew with `ssh-keygen -s`, or remove it",
            code="Credentials",
        ) from None
    return key


def _read(path: Path) -> bytes:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise _unusable(path, "is no file", "name the file with the private key")
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise _unusable(path, "is not there", "put the private key into that file") from None
    except OSError as error:
        hint = "make it a file that root can read, with the private key"
        raise _unusable(path, f"cannot be read: {reason(error)}", hint) from None
    if not content.strip():
        raise _unusable(path, "is empty", "put the private key into that file")
    return content


def _no_key(path: Path, text: bytes, content: bytes) -> Stalled:
    begun = ANY_BEGIN.search(text)
    if begun:
        return _damaged(path, f"holds a key that is not whole ({begun[1].decode()})")
    for beginning, what, hint in MISTAKEN:
        if re.search(beginning, content if beginning in (DER, UTF_16) else text, re.MULTILINE):
            return _unusable(path, what, hint.replace("{file}", _quoted(path)))
    return _unusable(
        path, "is not a usable private key: it has no line -----BEGIN … PRIVATE KEY-----", NEW_KEY
    )


def _encrypted(label: str, body: bytes) -> bool:
    if label == "OPENSSH PRIVATE KEY":
        cipher = _strings(body)[:1]
        return bool(cipher) and cipher != [b"none"]
    return label == "ENCRYPTED PRIVATE KEY" or re.search(rb"^Proc-Type:.*ENCRYPTED", body, re.M) is not None


def _check_token(path: Path, label: str, body: bytes) -> None:
    """Errors: Stalled when OpenSSH's own form holds a type of key that is not used."""
    strings = _strings(body) if label == "OPENSSH PRIVATE KEY" else []
    if len(strings) < 4:
        return
    kind = _strings_of(strings[3])[:1]
    if kind == [b"ssh-dss"]:
        raise _dsa(path)
    if kind and kind[0].startswith(b"sk-"):
        raise _unusable(path, "is a key that needs its security token", NEW_KEY)


def _strings(body: bytes) -> list[bytes]:
    """Of OpenSSH's form: cipher, derivation and its options, and the public key; fewer when it is damaged."""
    try:
        data = base64.b64decode(b"".join(body.split()), validate=True)
    except ValueError:
        return []
    if not data.startswith(MAGIC):
        return []
    head = _strings_of(data[len(MAGIC) :], 3)
    after = len(MAGIC) + sum(4 + len(part) for part in head) + 4  # the number of keys
    return head + _strings_of(data[after:], 1) if len(head) == 3 else head


def _strings_of(data: bytes, most: int = 1) -> list[bytes]:
    found: list[bytes] = []
    while len(found) < most and len(data) >= 4:
        end = 4 + int.from_bytes(data[:4], "big")
        if len(data) < end:
            break
        found.append(data[4:end])
        data = data[end:]
    return found


def _as_paramiko(path: Path, key: object) -> paramiko.PKey:
    if isinstance(key, rsa.RSAPrivateKey):
        return paramiko.RSAKey(key=key)
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name in SSH_CURVES:
        return paramiko.ECDSAKey(vals=(key, key.public_key()))
    if isinstance(key, ed25519.Ed25519PrivateKey):
        form = serialization.PrivateFormat.OpenSSH  # the only one that paramiko takes for this type
        text = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
        return paramiko.Ed25519Key.from_private_key(io.StringIO(text.decode()))
    if isinstance(key, ec.EllipticCurvePrivateKey):
        raise _unusable(path, f"is a key on the curve {key.curve.name}, which SSH does not use", NEW_KEY)
    if isinstance(key, dsa.DSAPrivateKey):
        raise _dsa(path)
    raise _unusable(path, "is a key of a type that SSH does not use", NEW_KEY)


def _dsa(path: Path) -> Stalled:
    return _unusable(path, "is a DSA key, which servers do not accept any more", NEW_KEY)


def _damaged(path: Path, what: str) -> Stalled:
    file = _quoted(path)
    hint = (
        "copy the whole file again, from -----BEGIN to -----END; if `ssh-keygen -y -f "
        f'{file}` can read it, write it anew: `ssh-keygen -p -N "" -f {file}`'
    )
    return _unusable(path, what, hint)


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))


def _unusable(path: Path, what: str, hint: str) -> Stalled:
    return Stalled(f"source.ssh_key {path} {what}", hint, code="Credentials")
