"""One fetch, top to bottom: asks for the ref and, when its commit is new, brings the objects, checks them and
says whether the commit descends from the pin.

Rules: the url is asked first, then the mirrors in their order, each only when none before it could be
reached. Asking needs no lock; changing the cache does. A cache that turns out to be damaged is replaced once;
when the fresh one is incomplete too, the source is incomplete.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from agent.errors import LimpetError, Stalled, Transient
from agent.fetch import trouble
from agent.fetch.absent import missing_ref
from agent.fetch.address import Address, parse_address
from agent.fetch.cache import Cache, CacheDamaged, hold
from agent.fetch.request import Request
from agent.fetch.source import Source, TransferMeter
from agent.sandbox import JsonObject

if TYPE_CHECKING:
    from dulwich.objects import ObjectID


OUR_OWN = ("Locked", "Deadline", "DiskFull")  # codes of errors that a mirror cannot mend
Work = Callable[[Request, Source, bool, JsonObject], JsonObject]  # the bool: whether the source is a mirror


@dataclass(frozen=True, slots=True)
class RemoteTip:
    """The source's answer: the object that the ref names, and the commit behind it if the source told it."""

    oid: str
    commit: str


def handle_fetch(document: JsonObject) -> tuple[JsonObject, tuple[bytes, ...]]:
    """The work of the child: takes a request, gives an answer. Errors: Transient, Stalled."""
    request = Request.from_json(document)
    with _deadline(request):
        return _each(request, WORKS[request.work]), ()


def _each(request: Request, work: Work) -> JsonObject:
    """`work` with the first source that can be reached."""
    meter = TransferMeter(request.max_bytes)
    stamp = {} if request.check else Cache(request.git_dir).stamp()
    failures: list[LimpetError] = []
    for position, url in enumerate(request.urls):
        address = parse_address(url)
        source = connect(address, request, meter, stamp.get("offers", {}).get(address.shown, []))
        try:
            with closing(source):
                answer = work(request, source, position > 0, stamp)
        except LimpetError as error:
            if position == 0 and not error.retryable:
                raise
            failures.append(error)
            if error.code in OUR_OWN:
                break
        else:
            return answer | {"requests": meter.requests, "bytes": meter.received, "url": address.shown}
    raise _together(failures)


def _together(failures: list[LimpetError]) -> LimpetError:
    """One error for a source and its mirrors, none of which could be reached."""
    first, *rest = failures
    if not rest:
        return first
    others = "; ".join(error.message for error in rest)
    return Transient(
        f"{first.message}; the mirrors do not help either: {others}", first.hint, code=first.code
    )


def connect(address: Address, request: Request, meter: TransferMeter, recalled: list[str]) -> Source:
    """The source behind an address. Loads only the libraries that this kind of source needs, and makes no
    connection yet. `recalled` is what the source's `offer` gave before.
    """
    if address.scheme == "file":
        from agent.fetch.local import LocalSource

        return LocalSource(address, meter)
    if address.scheme == "bundle":
        from agent.fetch.local import BundleSource

        return BundleSource(address, meter)
    if address.scheme == "git":
        from agent.fetch.stream import TcpSource

        return TcpSource(address, request.timeout, meter)
    if address.scheme == "ssh":
        from agent.fetch.ssh import SshSource

        return SshSource(address, request.credentials, request.timeout, meter)
    from agent.fetch.http import HttpSource

    return HttpSource(address, request.credentials, request.timeout, meter, recalled)


def _probe(request: Request, source: Source, mirror: bool, stamp: JsonObject) -> JsonObject:
    refusal = source.probe()
    return {"answers": True} | ({"refused": refusal.message, "hint": refusal.hint} if refusal else {})


def _look(request: Request, source: Source, mirror: bool, stamp: JsonObject) -> JsonObject:
    """Whether the source answers and has the ref. A commit is only known to be there when it is fetched."""
    if request.kind == "commit":
        return _probe(request, source, mirror, stamp)
    return {"answers": True, "commit": _ask(request, source).commit}


def _fetch(request: Request, source: Source, mirror: bool, stamp: JsonObject) -> JsonObject:
    tip = _ask(request, source)
    known = stamp.get("answer", {})
    if known and known["oid"] == tip.oid:
        ancestry = _remembered(stamp, request.pin)
        if ancestry != "unknown":
            answer: JsonObject = known | {"descends": ancestry, "changed": False, "replaced": ""}
            return answer
    try:
        with hold(request.lock, request.overall / 2):
            return _bring(request, source, tip, mirror)
    except OSError as error:
        raise trouble.disk_trouble(error, Path(error.filename or request.git_dir)) from None


def _remembered(stamp: JsonObject, pin: str) -> bool | str | None:
    """Whether the stamp's commit descends from the pin; None without a pin, "unknown" when nobody looked."""
    if not pin:
        return None
    if stamp["answer"]["commit"] == pin:
        return True
    found: bool | str = stamp["ancestry"].get(pin, "unknown")
    return found


def _ask(request: Request, source: Source) -> RemoteTip:
    """Errors: Stalled when the source has no such ref."""
    if request.kind == "commit":
        return RemoteTip(request.ref, request.ref)
    refs = source.refs([request.ref])
    oid = refs.get(request.ref)
    if oid is not None:
        return RemoteTip(oid, refs.get(f"{request.ref}^{{}}", oid))
    raise missing_ref(source.address, request.kind, request.name, source.refs(["refs/heads/", "refs/tags/"]))


def _bring(request: Request, source: Source, tip: RemoteTip, mirror: bool) -> JsonObject:
    """Under the lock: brings the tip's objects into a cache that is sound. The answer."""
    cache = Cache(request.git_dir)
    cache.tidy()
    before, known = cache.observed(), cache.stamp()
    answer = None
    with closing(cache):
        damage = _problem(request, cache)
        if cache.exists() and not damage:
            try:
                answer = _obtain(request, source, tip, cache, before if mirror else "")
            except CacheDamaged as error:
                damage = str(error)
    if answer is None:
        answer = _obtain_anew(request, source, tip, cache.path)
    ancestry = known["ancestry"] if known and known["answer"]["commit"] == answer["commit"] else {}
    if request.pin:
        ancestry[request.pin] = answer["descends"]
    cache.remember(answer, ancestry, {source.address.shown: source.offer()})
    return answer | {"changed": answer["commit"] != before, "replaced": damage}


def _obtain_anew(request: Request, source: Source, tip: RemoteTip, place: Path) -> JsonObject:
    """The tip's objects in a fresh cache, which replaces the one at `place` when it is whole."""
    fresh = Cache.create(place)
    try:
        answer = _obtain(request, source, tip, fresh, "")
        fresh.swap(place)
    except CacheDamaged as damage:
        raise _incomplete(source, damage) from None
    finally:
        fresh.close()
        if fresh.path != place:
            fresh.discard()
    return answer


def _problem(request: Request, cache: Cache) -> str:
    """The trouble with the cache on the disk; empty when there is none. Reads all content when its files have
    changed.
    """
    if not cache.exists():
        return ""
    if not cache.whole():
        return "it is not a repository"
    if cache.stamp() and not request.check:
        return ""
    from agent.fetch import objects

    try:
        observed = cache.observed()
        if not observed:
            return "it does not say which commit was seen last"
        objects.inspect(cache.store(), _id(observed), rehash=True)
        if request.pin and _id(request.pin) in cache.store():
            objects.head(cache.store(), _id(request.pin), rehash=True)
    except CacheDamaged as damage:
        return str(damage)
    except Stalled:
        return ""  # the revision is bad, not the cache
    except Exception as error:  # whatever a damaged index makes the library say
        return f"its files cannot be read ({type(error).__name__})"
    return ""


def _obtain(request: Request, source: Source, tip: RemoteTip, cache: Cache, ahead: str) -> JsonObject:
    """Brings the tip's objects into the cache, from the source unless they are there, and makes them durable.
    The answer, without what `_each` adds.

    request: what is asked for
    source: where the objects come from
    tip: what the source has
    cache: where the objects go
    ahead: the commit that was seen last when the source is a mirror; one that lags behind moves nothing back

    Errors: CacheDamaged, and those of the source.
    """
    from agent.fetch import objects, packs

    store = cache.store()
    try:
        commit = objects.peel(store, _id(tip.oid))
        objects.inspect(store, commit)
    except CacheDamaged:
        _receive(source, tip, cache, request.pin)
        commit = objects.peel(store, _id(tip.oid))
        objects.inspect(store, commit)
    if ahead and _id(ahead) in store and objects.descends(store, _id(ahead), commit):
        commit, tip = _id(ahead), RemoteTip(ahead, ahead)
    descends = None
    if request.pin:
        descends = _id(request.pin) in store and objects.descends(store, commit, _id(request.pin))
    tag = tip.oid if tip.oid != commit.decode() and request.kind == "tag" else ""
    told = objects.commit_details(store, commit)
    cache.close()
    packs.join_packs(cache.path / "objects" / "pack")
    cache.settle(commit.decode())
    return {"commit": commit.decode(), "oid": tip.oid, "tag": tag, "descends": descends, **told}


def _receive(source: Source, tip: RemoteTip, cache: Cache, pin: str) -> None:
    """Errors: those of the source; CacheDamaged when the objects that came and those that were there do not
    fit together.
    """
    from dulwich.object_store import ObjectStoreGraphWalker

    from agent.fetch import objects

    store = cache.store()
    known = [_id(oid) for oid in (cache.observed(), pin) if oid and _id(oid) in store]
    walker = ObjectStoreGraphWalker(known, lambda oid: list(objects.head(store, oid).parents))
    try:
        source.receive(store, [_id(tip.oid)], walker)
    except (LimpetError, CacheDamaged, OSError):
        raise
    except Exception as error:  # the library's many words for a pack that is wrong
        raise CacheDamaged(f"the received pack cannot be used ({type(error).__name__})") from None


WORKS: dict[str, Work] = {"probe": _probe, "look": _look, "fetch": _fetch}


def _incomplete(source: Source, damage: CacheDamaged) -> Transient:
    return Transient(
        f"{source.address.shown} sent an incomplete or damaged history: {damage}",
        "check it there with `git fsck`; it must not be a shallow clone",
        code="Incomplete",
    )


def _id(oid: str) -> ObjectID:
    from dulwich.objects import ObjectID

    return ObjectID(oid.encode())


@contextmanager
def _deadline(request: Request) -> Iterator[None]:
    """Ends the fetch after `overall` seconds, wherever it is, even if its source sends byte after byte."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise Transient(
            f"the fetch was not finished after {request.overall:g} s", "it is tried again", code="Deadline"
        )

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, request.overall)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
