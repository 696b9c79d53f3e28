"""Content that stands for other content: what is recognised, and what only looks like it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.model import Key, sha256
from agent.render.ciphertext import recognise
from tests.unit.render.rendering import manifest, problems

VALUE = "ENC[AES256_GCM,data:Zm9v,iv:aXY=,tag:dGFn,type:str]"
SOPS_YAML = f"""\
# kept
password: {VALUE}
list:
    - {VALUE}
sops:
    age:
        - recipient: age1qyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqs3290gq
          enc: |
            -----BEGIN AGE ENCRYPTED FILE-----
            YWdlLWVuY3J5cHRpb24ub3JnL3YxCg==
            -----END AGE ENCRYPTED FILE-----
    lastmodified: "2026-01-01T00:00:00Z"
    mac: {VALUE}
    version: 3.13.3
"""
SECTION = {"lastmodified": "2026-01-01T00:00:00Z", "mac": VALUE, "version": "3.13.3"}
SOPS_JSON = json.dumps({"data": VALUE, "sops": SECTION}, indent="\t")
SOPS_DOTENV = f"#{VALUE}\nPASSWORD={VALUE}\nsops_mac={VALUE}\nsops_version=3.13.3\n"
SOPS_INI = f"[db]\npassword = {VALUE}\n\n[sops]\nversion = 3.13.3\nmac     = {VALUE}\n"
AGE_ARMOUR = "-----BEGIN AGE ENCRYPTED FILE-----\nYWdl\n-----END AGE ENCRYPTED FILE-----\n"
VAULT = "$ANSIBLE_VAULT;1.1;AES256\n36643864\n"
LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
ANNEX = (
    "/annex/objects/SHA256E-s31390--f50d7ac4c6b9031379986bc362fcefb65f1e52621ce1708d537e740fefc59cc0.mp3\n"
)
PKESK = b"\x84\x5e\x03" + b"12345678" + b"\x12" + b"k" * 84 + b"\xd2\x40" + b"c" * 64
PKESK_RSA = b"\x85\x01\x0c\x03" + b"12345678" + b"\x01" + b"k" * 258 + b"\xd2\x40" + b"c" * 64
SKESK = b"\xc3\x0d\x04\x09\x03\x08" + b"saltsalt" + b"\x60" + b"\xd2\x40" + b"c" * 64

STAND_INS: dict[str, tuple[str, bytes | str]] = {
    "sops yaml": ("sops", SOPS_YAML),
    "sops yaml with CRLF": ("sops", SOPS_YAML.replace("\n", "\r\n")),
    "sops yaml with a byte order mark": ("sops", "\ufeff" + SOPS_YAML),
    "sops yaml of several documents": ("sops", f"a: {VALUE}\n---\n{SOPS_YAML}"),
    "sops yaml in quotes": ("sops", SOPS_YAML.replace("sops:", '"sops":').replace("    mac:", "    'mac':")),
    "sops yaml in flow style": ("sops", f'a: {VALUE}\nsops: {{mac: "{VALUE}", version: 3}}\n'),
    "sops json": ("sops", SOPS_JSON),
    "sops json in one line": ("sops", json.dumps(json.loads(SOPS_JSON))),
    "sops dotenv": ("sops", SOPS_DOTENV),
    "sops ini": ("sops", SOPS_INI),
    "age": ("age", b"age-encryption.org/v1\n-> X25519 abc\nbody\n--- mac\n\x00\xff"),
    "age armour": ("age", AGE_ARMOUR),
    "age armour below a blank line": ("age", "\n" + AGE_ARMOUR),
    "age armour with CRLF": ("age", AGE_ARMOUR.replace("\n", "\r\n")),
    "pgp armour": ("pgp", "-----BEGIN PGP MESSAGE-----\n\nhQEM\n-----END PGP MESSAGE-----\n"),
    "pgp for a key": ("pgp", PKESK),
    "pgp for a key of RSA": ("pgp", PKESK_RSA),
    "pgp for a password": ("pgp", SKESK),
    "git-crypt": ("git-crypt", b"\0GITCRYPT\0\x01\x02\x03"),
    "ansible-vault": ("ansible-vault", VAULT),
    "ansible-vault with an id": ("ansible-vault", "$ANSIBLE_VAULT;1.2;AES256;prod\n3664\n"),
    "dotenvx": ("dotenvx", f'DOTENV_PUBLIC_KEY="03a1"\nPASSWORD="encrypted:{"QUJD" * 20}"\n'),
    "strongbox": (
        "strongbox",
        "# STRONGBOX ENCRYPTED RESOURCE ; See https://example.org/\nx\n",
    ),
    "openssl": ("openssl", b"Salted__12345678\x00\x01"),
    "transcrypt": ("openssl", "U2FsdGVkX19zYWx0c2FsdAAAAAAAAAAA\nAAAAAAAA=\n"),
    "lfs": ("lfs", LFS),
    "lfs of its early days": ("lfs", LFS.replace("git-lfs", "hawser")),
    "annex": ("annex", ANNEX),
}
NEAR_MISSES: dict[str, bytes | str] = {
    "nothing": "",
    "a readme that names them all": "`sops:` mac, age-encryption.org/v1, $ANSIBLE_VAULT;1.1;AES256\n",
    "a readme with an example of SOPS": f"# Secrets\n\nThey look so:\n\n```yaml\n{SOPS_YAML}```\n",
    "a readme with an example of dotenv": f"# Secrets\n\n```\n{SOPS_DOTENV}```\n",
    "a readme with an example of INI": f"Secrets\n=======\n\n~~~ini\n{SOPS_INI}~~~\n",
    "a readme with an indented example": "Like this::\n\n    " + SOPS_YAML.replace("\n", "\n    "),
    "a readme with armour": f"Encrypt it:\n\n{AGE_ARMOUR}",
    "a readme with a vault": f"It begins with\n\n{VAULT}",
    "a readme with a pointer": f"What LFS keeps:\n\n{LFS}",
    "an explanation of the pointer": "version https://git-lfs.github.com/spec/v1 is the first line.\n",
    "the configuration of SOPS": "creation_rules:\n  - path_regex: secrets/.*\n    age: age1qyqszqgp\n",
    "a service called sops": "services:\n  sops:\n    image: sops\n    environment: {mac: 'ENC[x'}\n",
    "a key called sops": "sops:\n  version: 3\n  note: the mac is ENC[ something\n",
    "an example in a text": f"example: |\n  a: {VALUE}\n  sops:\n    mac: {VALUE}\n",
    "a mac elsewhere": f"sops:\n  version: 3\nmac: {VALUE}\n",
    "an address of a network card": "sops:\n  mac: aa:bb:cc:dd:ee:ff\n",
    "a JSON text": json.dumps({"example": SOPS_JSON}),
    "a JSON list": json.dumps([{"sops": SECTION}]),
    "a script": f'#!/bin/sh\nset -e\nif test -n "$sops_mac"; then\nsops_mac={VALUE}\nfi\n',
    "a variable named after it": "MY_sops_mac=1\nSOPS_MACHINE=2\n",
    "an INI section": "[sops]\nenabled = yes\n[other]\nmac = ENC[x\n",
    "an encrypted private key": "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIF\n-----END",
    "an age identity": "# created: 2026\n# public key: age1qyq\nAGE-SECRET-KEY-1QQ\n",
    "age recipients": "age1qyqszqgpqyqszqgpqyqszqgpqyqszqgp\n",
    "a public key of PGP": "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmQEN\n-----END",
    "a signed text of PGP": "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nx\n",
    "a key ring": b"\x99\x01\x0d\x04" + b"k" * 0x10D + b"\xb4\x01a",
    "half a session key": PKESK[:40],
    "a picture": b"\x89PNG\r\n\x1a\n" + b"\0" * 64,
    "a gzip file": b"\x1f\x8b\x08\0" + b"\0" * 64,
    "a word in base64": "U2FsdGVkX1 is how they begin\n",
    "an env file": "PASSWORD=encrypted:short\nOTHER=1\n",
    "a path": "/annex/objects is where they lie\n",
    "a git-crypt word": b"GITCRYPT\0",
    "a large file with the line of LFS": LFS + "x" * 1024,
}


def _bytes(text: bytes | str) -> bytes:
    return text.encode() if isinstance(text, str) else text


@pytest.mark.parametrize("name", STAND_INS)
def test_content_that_stands_for_other_content_is_recognised(name: str) -> None:
    """An encrypted file or a pointer must be known by its documented format, so that no app gets it instead
    of its content.
    """
    form, text = STAND_INS[name]
    found = recognise(_bytes(text))
    assert found is not None and found.form == form


@pytest.mark.parametrize("name", NEAR_MISSES)
def test_content_that_only_mentions_a_format_is_deployed(name: str) -> None:
    """A document, a key or a file with the same words must not be taken for an encrypted one."""
    assert recognise(_bytes(NEAR_MISSES[name])) is None


@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
@settings(deadline=None)
def test_recognising_fails_for_no_content(data: bytes) -> None:
    """Any bytes at all, also behind and before the parts of a format, must give an answer and no error."""
    for part in (b"", b"sops mac ENC[\n", b"\x85", b"\xc1\xff", b"\xc3\xc0", SOPS_JSON[:40].encode()):
        recognise(part + data)
        recognise(data + part)


@given(
    st.dictionaries(st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True), st.text(max_size=40), max_size=6)
)
@settings(deadline=None)
def test_sops_documents_are_known_whatever_their_keys(values: dict[str, str]) -> None:
    """The keys of an encrypted document are the user's own: none of them may hide what SOPS wrote below."""
    values = {key: VALUE for key in values if key != "sops"}
    assert recognise(json.dumps({**values, "sops": SECTION}).encode())
    lines = "".join(f"{key}: {value}\n" for key, value in values.items())
    assert recognise((lines + SOPS_YAML).encode())


def test_a_large_file_is_looked_through_in_time() -> None:
    """Megabytes of lines that almost fit a format must not hold up a release."""
    lines = b"a key: " + b" " * 50 + b"value of sops and mac ENC[\n"
    assert recognise(lines * 50_000 + b"sops:\n  x: 1\n") is None
    assert recognise(b"sops mac ENC[" + b" " * 2_000_000) is None


SOPS_COMPOSE = SOPS_YAML.replace(f"password: {VALUE}", f"services:\n  a:\n    image: {VALUE}")
USES = """\
services:
  a:
    image: x
    volumes: ["./conf:/conf", "./one:/one"]
    env_file: [app.env]
    label_file: [labels]
    secrets: [s, {source: owned, mode: 0400}]
    configs: [c]
secrets: {s: {file: s.txt}, owned: {file: owned.txt}}
configs: {c: {file: c.txt}}
"""
PLAIN = {
    "compose.yaml": USES,
    ".env": "A=1\n",
    "conf/deep/a": "a",
    "one": "1",
    "app.env": "B=1\n",
    "labels": "l=1\n",
    "s.txt": "s",
    "owned.txt": "o",
    "c.txt": "c",
    "files/etc/x": "x",
    "files/etc/y.j2": "{{ host }}",
    "layer.yaml": "vars: {a: 1}\n",
    "fleet.yaml": "layers: [.]\n",
}


@pytest.mark.parametrize("path", PLAIN)
def test_whatever_is_read_is_refused_when_it_is_encrypted(path: str) -> None:
    """Wherever a file is used (mounted, as env file, secret, config, host file, template or setting), its
    ciphertext must be an error with file and line.
    """
    for name in ("sops yaml", "git-crypt", "ansible-vault", "age", "lfs", "sops json"):
        form, text = STAND_INS[name]
        found = problems({**PLAIN, path: _bytes(text)})
        assert [each for each in found if each.startswith(f"{path}:1: is ")], (form, found)


def test_a_compose_file_that_is_encrypted_is_refused() -> None:
    """A Compose file whose values SOPS has encrypted must be named as encrypted, and not as wrong."""
    (found,) = problems({"compose.yaml": SOPS_COMPOSE})
    assert found.startswith("compose.yaml:1: is encrypted (SOPS)")


def test_what_a_template_makes_is_looked_at_too() -> None:
    """A template that writes ciphertext must be refused like a file that holds it."""
    template = "{% raw %}" + VAULT + "{% endraw %}"
    (found,) = problems({"files/etc/x.j2": template})
    assert found.startswith("files/etc/x.j2:1: is encrypted (ansible-vault)")


def test_inline_content_that_is_encrypted_is_refused() -> None:
    """An inline config, or a secret of a variable, that holds ciphertext must be an error where it is
    written.
    """
    compose = {
        "services": {"a": {"image": "x", "configs": ["c"], "secrets": ["s"]}},
        "configs": {"c": {"content": AGE_ARMOUR}},
        "secrets": {"s": {"environment": "S"}},
    }
    found = problems({"compose.yaml": json.dumps(compose, indent=1), ".env": f'S="{AGE_ARMOUR}"\n'})
    assert [each.partition(": ")[2].partition("\n")[0] for each in found] == [
        "the config c is encrypted (age)",
        "the secret s is encrypted (age)",
    ]


@pytest.mark.parametrize(
    "kept",
    ["apps/a/conf/vault.yaml", "apps/a/conf", "apps/*/conf/*.yaml", "'**/vault.yaml'", "[x, apps/a/conf/]"],
)
def test_an_encrypted_file_can_be_meant(kept: str) -> None:
    """A file that its reader decrypts itself must be placed as it is, when layer.yaml says so."""
    tree = {
        "apps/a/compose.yaml": 'services: {a: {image: x, volumes: ["./conf:/conf"]}}\n',
        "apps/a/conf/vault.yaml": VAULT,
    }
    (found,) = problems(tree)
    assert found.startswith("apps/a/conf/vault.yaml:1: is encrypted") and "keep_encrypted" in found
    (placed,) = (
        resource
        for resource in manifest({**tree, "layer.yaml": f"keep_encrypted: {kept}\n"}).resources.values()
        if resource.key.kind == "file"
    )
    assert placed.spec["content"] == sha256(VAULT)


def test_a_meant_file_of_another_layer() -> None:
    """What one layer keeps must hold for the same path of all layers: they are laid over one another."""
    tree = {
        "fleet.yaml": "layers: [base, top]\n",
        "base/files/etc/vault": VAULT,
        "top/layer.yaml": "keep_encrypted: [files/etc/vault]\n",
    }
    assert Key("file", "/etc/vault") in manifest(tree).resources


def test_a_pointer_cannot_be_meant() -> None:
    """A Git LFS pointer must be refused whatever layer.yaml keeps: no app can read the file behind it."""
    (found,) = problems({"files/etc/x": LFS, "layer.yaml": 'keep_encrypted: "**"\n'})
    assert found.startswith("files/etc/x:1: is a Git LFS pointer")


@pytest.mark.parametrize("value", ["/etc/x", "../x", "1", "''", "{a: b}"])
def test_what_is_kept_is_a_path_of_a_layer(value: str) -> None:
    """A path that can be in no layer must be an error with its line."""
    (found,) = problems({"layer.yaml": f"vars: {{}}\nkeep_encrypted: [{value}]\n"})
    assert found.startswith("layer.yaml:2: keep_encrypted: ") and "relative to the layer" in found
