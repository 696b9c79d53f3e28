"""The rules between the values of limpet.toml, and the values whose form depends on their key. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from agent.fetch.address import read_address
from agent.settings import values

Contradiction = tuple[tuple[str, ...], str, str]  # the parts of a key, message, hint

_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_REF = re.compile(r"(?!.*(?:\.\.|@\{|//|[\x00-\x20\x7f~^:?*\[\\]))(?![/.-])[^/].*(?<![/.])")
_REGISTRY = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::[0-9]+)?")


def contradictions(settings: values.Settings) -> Iterator[Contradiction]:
    """All that is wrong, in the order of the file."""
    yield from _source(settings.source)
    yield from _in_the_clear(("source", "url"), settings.source.url, settings.source)
    for number, mirror in enumerate(settings.source.mirrors):
        yield from _in_the_clear(("source", "mirrors", str(number)), mirror, settings.source)
    if not settings.host.name or re.search(r"[/\s]", settings.host.name):
        message = f"{settings.host.name!r} cannot be a host's name"
        yield ("host", "name"), message, "use letters, digits, dots and dashes"
    yield from _times(settings)
    for number, window in enumerate(settings.converge.windows):
        yield from _window(("converge", "windows", str(number)), window)
    for name, table in settings.engine.registries.items():
        yield from _registry(("engine", "registries", name), name, table)


def _source(source: values.SourceSettings) -> Iterator[Contradiction]:
    if (source.branch != "") + (source.tag != "") + (source.commit != "") > 1:
        yield ("source", "branch"), "is given beside tag or commit", "keep one of branch, tag, commit"
    for name in ("branch", "tag"):
        value = getattr(source, name)
        if value and not _REF.fullmatch(value):
            message = f"{value!r} is not a Git {name} name"
            yield ("source", name), message, f"write it as `git {name}` shows it"
    for name in ("commit", "trust_from"):
        value = getattr(source, name)
        if value and not _COMMIT.fullmatch(value):
            yield ("source", name), f"{value!r} is not a full commit id", "write all 40 hex digits"
    if source.path.startswith("/") or ".." in source.path.split("/"):
        hint = "write a directory inside it, such as hosts/web"
        yield ("source", "path"), f"{source.path!r} leaves the repository", hint


def _in_the_clear(loc: tuple[str, ...], url: str, source: values.SourceSettings) -> Iterator[Contradiction]:
    """Plain http to another host: only when the settings say so, and never with credentials."""
    address = read_address(url or "/")
    if not address.in_the_clear:
        return
    if address.username or address.password or source.username or source.token_file:
        message = f"http://{address.server} would get the credentials in the clear"
        remedy = (
            "write https://; or leave out source.username and source.token_file: http:// is anonymous only"
        )
        yield loc, message, remedy
    elif not source.insecure_http:
        message = "has scheme 'http': whoever is on the way could change what this host runs"
        remedy = "write https:// or ssh://; where the network is trusted: insecure_http = true below [source]"
        yield loc, message, remedy


def _times(settings: values.Settings) -> Iterator[Contradiction]:
    gate = settings.gate
    for section, name, seconds in (
        ("source", "poll", settings.source.poll),
        ("source", "timeout", settings.source.timeout),
        ("converge", "resync", settings.converge.resync),
        ("gate", "deadline", gate.deadline),
    ):
        if seconds <= 0:
            yield (section, name), "is zero", "give it a positive duration"
    if gate.settle >= gate.deadline:
        message = f"{gate.settle:g} s is not less than the deadline of {gate.deadline:g} s"
        yield ("gate", "settle"), message, "make gate.deadline longer: no release could pass"


def _window(loc: tuple[str, ...], window: values.Window) -> Iterator[Contradiction]:
    if bool(window.allow) == bool(window.deny):
        yield loc, "has not exactly one of allow and deny", "keep one of them"
    if window.duration <= 0:
        yield loc, "does not say for how long", 'add for = "2h"'


def _registry(loc: tuple[str, ...], name: str, table: values.RegistrySettings) -> Iterator[Contradiction]:
    if name in ("index.docker.io", "registry-1.docker.io") or not _REGISTRY.fullmatch(name):
        yield loc, "is not the name of a registry", "write HOST or HOST:PORT as images name it, or docker.io"
    for mirror in table.mirrors:
        if not _REGISTRY.fullmatch(mirror.partition("/")[0]) or "://" in mirror:
            hint = "write HOST[:PORT][/PATH], without https://"
            yield (*loc, "mirrors"), f"{mirror!r} is not a mirror", hint
