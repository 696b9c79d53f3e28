"""The private key of an SSH source, in every form that people have it in."""

from __future__ import annotations

import base64
import functools
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa, x25519

from agent.errors import EXIT_STALLED, Stalled
from agent.fetch.private_key import load_private_key, with_certificate

Pem = serialization.Encoding.PEM
Form = serialization.PrivateFormat
PLAIN = serialization.NoEncryption()
SECRET = serialization.BestAvailableEncryption(b"passphrase")
NAMES = ("ed25519", "ecdsa-256", "ecdsa-384", "ecdsa-521", "rsa")
PARAMETERS = b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
SshKey = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
SURROUNDINGS: dict[str, Callable[[bytes], bytes]] = {
    "nothing": lambda key: key,
    "blank lines": lambda key: b"\n\n" + key + b"\n\n",
    "a comment": lambda key: b"# the key of web-01\n" + key,
    "bag attributes": lambda key: b"Bag Attributes\n    localKeyID: 01 02\nKey Attributes: <none>\n" + key,
    "its parameters": lambda key: PARAMETERS + key,
    "line ends of Windows": lambda key: key.replace(b"\n", b"\r\n"),
    "a mark of UTF-8": lambda key: b"\xef\xbb\xbf" + key,
    "no line end": lambda key: key.rstrip(b"\n"),
    "more behind it": lambda key: key + b"ssh-ed25519 AAAA comment\ngarbage\xff\n",
    "another key behind it": lambda key: key + _pem("rsa", Form.PKCS8),
    "blanks": lambda key: b"".join(b"    " + line + b" \n" for line in key.splitlines()),
}


@functools.cache
def _key(name: str) -> SshKey:
    if name == "rsa":
        return rsa.generate_private_key(65537, 2048)
    if name == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    if name == "ecdsa-256":
        return ec.generate_private_key(ec.SECP256R1())
    return ec.generate_private_key(ec.SECP384R1() if name == "ecdsa-384" else ec.SECP521R1())


def _pem(name: str, form: Form, secret: serialization.KeySerializationEncryption = PLAIN) -> bytes:
    return _key(name).private_bytes(Pem, form, secret)


@functools.cache
def _dsa() -> dsa.DSAPrivateKey:
    return dsa.generate_private_key(1024)


def _half(content: bytes) -> bytes:
    return content[: len(content) // 2]


def _emptied(content: bytes) -> bytes:
    lines = content.splitlines(keepends=True)
    return lines[0] + lines[1] + lines[-1]


def _wire(*parts: bytes) -> bytes:
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def _token() -> bytes:
    public = _wire(b"sk-ssh-ed25519@openssh.com", bytes(32), b"ssh:")
    data = b"openssh-key-v1\0" + _wire(b"none", b"none", b"") + (1).to_bytes(4, "big") + _wire(public)
    begin, end = (f"-----{word} OPENSSH PRIVATE KEY-----\n".encode() for word in ("BEGIN", "END"))
    return begin + base64.encodebytes(data) + end


def _public(name: str) -> str:
    form = serialization.PublicFormat.OpenSSH
    return _key(name).public_key().public_bytes(serialization.Encoding.OpenSSH, form).decode()


def _refused(path: Path) -> Stalled:
    with pytest.raises(Stalled) as caught:
        load_private_key(path)
    error = caught.value
    assert error.exit_code == EXIT_STALLED and error.code == "Credentials"
    assert "source.ssh_key" in error.message and str(path) in error.message and error.hint
    return error


@pytest.mark.parametrize("name", NAMES)
def test_every_form_of_a_key_is_read(name: str, tmp_path: Path) -> None:
    """A key must work in each form that ssh-keygen, openssl and Terraform write, whatever stands around
    it.
    """
    path = tmp_path / "key"
    forms = [Form.OpenSSH, Form.PKCS8] + [Form.TraditionalOpenSSL] * (name != "ed25519")
    for form in forms:
        for where, surround in SURROUNDINGS.items():
            path.write_bytes(surround(_pem(name, form)))
            key = load_private_key(path)
            assert f"{key.get_name()} {key.get_base64()}" == _public(name), (form, where)
            assert key.can_sign()


@pytest.mark.parametrize("options", [[], ["-m", "PEM"], ["-m", "PKCS8"]], ids=["OpenSSH", "PEM", "PKCS8"])
@pytest.mark.parametrize("kind", ["rsa", "ecdsa", "ed25519"])
def test_what_ssh_keygen_writes_is_read(kind: str, options: list[str], tmp_path: Path) -> None:
    """A key of ssh-keygen must be the same key here."""
    path = tmp_path / "key"
    bits = ["-b", "2048"] if kind == "rsa" else []
    subprocess.run(["ssh-keygen", "-q", "-t", kind, *bits, *options, "-N", "", "-f", str(path)], check=True)
    key = load_private_key(path)
    public = Path(f"{path}.pub").read_text().split()
    assert [key.get_name(), key.get_base64()] == public[:2]


@pytest.mark.parametrize("form", ["OpenSSH", "PEM", "PKCS8"])
def test_the_hint_takes_a_passphrase_off(form: str, tmp_path: Path) -> None:
    """A protected key must be told from a damaged one, in each form, and the command of the hint must make it
    usable, also below an odd path.
    """
    path = tmp_path / "it's a key"
    options = {"OpenSSH": [], "PEM": ["-m", "PEM"], "PKCS8": ["-m", "PKCS8"]}[form]
    argv = ["ssh-keygen", "-q", "-t", "ecdsa", *options, "-N", "passphrase", "-f", str(path)]
    subprocess.run(argv, check=True)
    error = _refused(path)
    assert "is protected by a passphrase" in error.message
    command = shlex.split(error.hint.split("`")[1])
    assert command[0] == "ssh-keygen"
    subprocess.run([*command, "-P", "passphrase"], check=True, capture_output=True)
    assert load_private_key(path).can_sign()


SPKI, PKCS1 = serialization.PublicFormat.SubjectPublicKeyInfo, serialization.PublicFormat.PKCS1
PUBLIC = ("is a public key", "without .pub")
PROTECTED = ("is protected by a passphrase", 'ssh-keygen -p -N ""')
DAMAGED = ("holds a damaged key", "copy the whole file")
NOT_WHOLE = ("holds a key that is not whole", "copy the whole file")
NO_KEY = ("is not a usable private key", "ssh-keygen -t ed25519")
# name -> the content, words of the message, words of the hint
OTHERS: dict[str, tuple[Callable[[], bytes], str, str]] = {
    "a public key": (lambda: _public("ed25519").encode(), *PUBLIC),
    "a public key of ECDSA": (lambda: _public("ecdsa-256").encode(), *PUBLIC),
    "a public key in PEM": (lambda: _key("rsa").public_key().public_bytes(Pem, SPKI), *PUBLIC),
    "a public key in PKCS#1": (lambda: _key("rsa").public_key().public_bytes(Pem, PKCS1), *PUBLIC),
    "a public key of ssh.com": (lambda: b"---- BEGIN SSH2 PUBLIC KEY ----\n", *PUBLIC),
    "a certificate of SSH": (
        lambda: b"ssh-ed25519-cert-v01@openssh.com AAAA",
        "is a certificate",
        "without .pub",
    ),
    "a certificate": (lambda: b"-----BEGIN CERTIFICATE-----\nMII=\n", "is a certificate", "ssh-keygen"),
    "a key of PuTTY": (lambda: b"PuTTY-User-Key-File-3: ssh-ed25519\n", "PuTTY", "puttygen"),
    "a key of ssh.com": (
        lambda: b"---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----\n",
        "ssh.com",
        "ssh-keygen -i",
    ),
    "a key of version 1": (lambda: b"SSH PRIVATE KEY FILE FORMAT 1.1\n\0", "version 1", "ssh-keygen"),
    "a key of OpenPGP": (lambda: b"-----BEGIN PGP PRIVATE KEY BLOCK-----\n", "OpenPGP", "ssh-keygen"),
    "a key of a token": (_token, "security token", "ssh-keygen"),
    "binary": (
        lambda: _key("rsa").private_bytes(serialization.Encoding.DER, Form.PKCS8, PLAIN),
        "binary",
        "openssl pkey -inform DER",
    ),
    "DSA": (lambda: _dsa().private_bytes(Pem, Form.TraditionalOpenSSL, PLAIN), "DSA", "ed25519"),
    "DSA in PKCS#8": (lambda: _dsa().private_bytes(Pem, Form.PKCS8, PLAIN), "DSA", "ed25519"),
    "DSA of OpenSSH": (lambda: _dsa().private_bytes(Pem, Form.OpenSSH, PLAIN), "DSA", "ed25519"),
    "another curve": (
        lambda: ec.generate_private_key(ec.SECP256K1()).private_bytes(Pem, Form.PKCS8, PLAIN),
        "secp256k1",
        "ed25519",
    ),
    "a key for agreement": (
        lambda: x25519.X25519PrivateKey.generate().private_bytes(Pem, Form.PKCS8, PLAIN),
        "of a type that SSH does not use",
        "ed25519",
    ),
    "protected": (lambda: _pem("ed25519", Form.OpenSSH, SECRET), *PROTECTED),
    "protected PKCS#8": (lambda: _pem("ed25519", Form.PKCS8, SECRET), *PROTECTED),
    "protected and surrounded": (
        lambda: b"\n# mine\n" + _pem("rsa", Form.TraditionalOpenSSL, SECRET).replace(b"\n", b"\r\n"),
        *PROTECTED,
    ),
    "no key": (lambda: b"not a key\n", *NO_KEY),
    "no text": (lambda: b"\x7fELF\x00\xff" * 20, *NO_KEY),
    "text of Windows": (
        lambda: _pem("rsa", Form.PKCS8).decode().encode("utf-16"),
        "is text in UTF-16",
        "iconv",
    ),
    "a public key below a comment": (lambda: b"# web-01\n" + _public("rsa").encode(), *PUBLIC),
    "binary Ed25519": (
        lambda: _key("ed25519").private_bytes(serialization.Encoding.DER, Form.PKCS8, PLAIN),
        "binary",
        "openssl pkey -inform DER",
    ),
    "nothing": (lambda: b"", "is empty", "put the private key"),
    "only blanks": (lambda: b" \r\n\n", "is empty", "put the private key"),
    "half a key": (lambda: _half(_pem("rsa", Form.OpenSSH)), *NOT_WHOLE),
    "a key on one line": (lambda: _pem("rsa", Form.PKCS8).replace(b"\n", b" "), *NOT_WHOLE),
    "a key with other signs": (lambda: _pem("rsa", Form.PKCS8).replace(b"\n", b"\n!", 3), *DAMAGED),
    "a key with a gap": (lambda: _emptied(_pem("rsa", Form.PKCS8)), *DAMAGED),
    "a key of OpenSSH with a gap": (lambda: _emptied(_pem("rsa", Form.OpenSSH)), *DAMAGED),
    "an empty block": (
        lambda: b"-----BEGIN RSA PRIVATE KEY-----\n-----END RSA PRIVATE KEY-----\n",
        *DAMAGED,
    ),
}


@pytest.mark.filterwarnings("ignore:SSH DSA key")
@pytest.mark.parametrize("case", OTHERS)
def test_what_is_no_usable_key_is_named(case: str, tmp_path: Path) -> None:
    """A file that cannot serve must be told by what it is, never as trouble with the network, with a command
    that helps.
    """
    content, word, hint = OTHERS[case]
    path = tmp_path / "key"
    path.write_bytes(content())
    error = _refused(path)
    assert word in error.message and hint in error.hint, (error.message, error.hint)


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    """A missing file, a directory and a link to nothing must be told as such."""
    assert "is not there" in _refused(tmp_path / "none").message
    assert "is no file" in _refused(tmp_path).message
    (tmp_path / "link").symlink_to("nothing")
    assert "is not there" in _refused(tmp_path / "link").message
    (tmp_path / "loop").symlink_to("loop")
    assert "cannot be read" in _refused(tmp_path / "loop").message


def test_a_damaged_certificate_beside_the_key_is_named(tmp_path: Path) -> None:
    """A certificate is used when it lies beside the key; one that cannot be read must be named."""
    path = tmp_path / "key"
    path.write_bytes(_pem("ed25519", Form.OpenSSH))
    assert with_certificate(path) is None
    beside = tmp_path / "key-cert.pub"
    beside.write_text("ssh-ed25519-cert-v01@openssh.com AAAA\n")
    with pytest.raises(Stalled) as caught:
        with_certificate(path)
    assert str(beside) in caught.value.message and "source.ssh_key" in caught.value.message
