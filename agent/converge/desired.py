"""The parent side of fetch, verify and render. Each hostile input is handled in a child process of its own:
bytes in, manifest out.

Rules:
1. Nothing here touches the host. The tip is known by its commit id; everything is rendered from that commit's
   objects.
2. All content is hashed again on this side before it is stored.
3. Equal inputs are rendered once: the manifest is remembered by (commit, settings, facts, version).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from agent import __version__, sandbox
from agent.clock import at_most_patience
from agent.decide.descent import check_descent
from agent.errors import Interrupted, LimpetError, Stalled, Transient
from agent.installation import Paths
from agent.model import SCHEME, Manifest, canonical_json, sha256
from agent.revision import Revision
from agent.settings.values import Settings
from agent.store.content import Content
from agent.store.manifests import Manifests, RenderCache

FETCH_LIMIT = at_most_patience(660.0)  # seconds; the child itself gives up after ten minutes
RENDER_LIMIT = at_most_patience(120.0)


@dataclass(frozen=True, slots=True)
class Tip:
    """The newest commit of the pinned ref. `message`, `author` are the commit's; `at` is its author time,
    seconds.
    """

    commit: str
    revision: Revision
    message: str = ""
    author: str = ""
    at: float = 0.0


def request(
    paths: Paths, settings: Settings, pin: str, *, probe: bool = False, look: bool = False
) -> dict[str, Any]:
    """What the fetch child is asked for. `probe`: only whether the source answers; `look`: whether it has the
    ref, too.
    """
    source = settings.source
    kind = next((kind for kind in ("commit", "tag") if getattr(source, kind)), "branch")
    local = {name: getattr(source, name) for name in ("ssh_key", "known_hosts", "token_file", "ca_file")}
    credentials = {name: str(paths.host(value)) if value else "" for name, value in local.items()}
    return {
        "url": source.url,
        "mirrors": list(source.mirrors),
        "ref": {kind: getattr(source, kind)},
        "git_dir": str(paths.git),
        "lock": str(paths.run / "fetch.lock"),
        "pin": pin,
        "timeout": source.timeout,
        "probe": probe,
        "look": look,
        "credentials": {**credentials, "username": source.username, "proxy": source.proxy},
    }


class Desired:
    """The parent's side of fetch and render for one installation."""

    def __init__(self, paths: Paths, settings: Settings, cancel: sandbox.Cancel) -> None:
        self.paths, self.settings, self.cancel = paths, settings, cancel
        self.content, self.manifests = Content(paths.content), Manifests(paths.manifests)
        self.rendered = RenderCache(paths.run / "rendered.json")

    def fetch(self, pin: str) -> Tip:
        """The tip of the pinned ref, verified to descend from `pin` (empty: none yet). Errors: Transient,
        Stalled.
        """
        answer, _ = sandbox.call(
            "_fetch", request(self.paths, self.settings, pin), timeout=FETCH_LIMIT, cancel=self.cancel
        )
        check_descent(answer, pin, self.settings.source.ref_name)
        return self._tip(answer)

    def _tip(self, answer: dict[str, Any]) -> Tip:
        commit = answer["commit"]
        return Tip(
            commit,
            Revision(self.settings.source.ref_name, commit),
            answer.get("message") or "",
            answer.get("author") or "",
            float(answer.get("author_time") or 0.0),
        )

    def source_answers(self) -> str:
        """Empty when the source gives any protocol answer, else what is wrong (commit-confirmed)."""
        try:
            sandbox.call(
                "_fetch",
                request(self.paths, self.settings, "", probe=True),
                timeout=self.settings.source.timeout * (1 + len(self.settings.source.mirrors)) + 5,
                cancel=self.cancel,
            )
        except Interrupted:
            raise
        except LimpetError as error:
            return error.message
        return ""

    def newest_observed(self) -> str:
        """The commit that the last fetch (perhaps of another process) brought; empty when there is none."""
        try:
            return (self.paths.git / "refs/limpet/observed").read_text().strip()
        except OSError:
            return ""

    def render(self, tip: Tip, repo_name: str) -> Manifest:
        """The manifest of this host at a tip; its contents are in the store afterwards. Errors: BadInput,
        Stalled, Transient.
        """
        from agent.render import facts

        context = {
            "host": self.settings.host.name,
            "labels": dict(self.settings.host.labels),
            "facts": facts.gather(),
            "root": str(self.paths.root),
            "repo_name": repo_name,
            "strict": False,
            "max_file": self.settings.source.max_file,
        }
        inputs = sha256(canonical_json([tip.commit, self.settings.source.path, context, SCHEME, __version__]))
        known = self.rendered.find(inputs)
        if known and self.manifests.has(known):
            try:
                manifest = self.manifests.get(known)
                if all(self.content.has(digest) for digest in manifest.content()):
                    return manifest
            except Stalled:
                pass  # damaged: it is rendered again
        manifest = self._rendered(tip, context)
        self.manifests.put(manifest)
        self.rendered.note(inputs, manifest.digest)
        return manifest

    def _from_sound_cache(self, wanted: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        """The render child's answer; when it meets a damaged object, the cache is read through, replaced, and
        asked once more.
        """
        try:
            return sandbox.call("_render", wanted, timeout=RENDER_LIMIT, cancel=self.cancel)
        except Transient as error:
            if error.code != "CacheDamaged":
                raise
        again = request(self.paths, self.settings, "") | {"check": True}
        sandbox.call("_fetch", again, timeout=FETCH_LIMIT, cancel=self.cancel)
        return sandbox.call("_render", wanted, timeout=RENDER_LIMIT, cancel=self.cancel)

    def _rendered(self, tip: Tip, context: dict[str, Any]) -> Manifest:
        wanted = {
            "git_dir": str(self.paths.git),
            "commit": tip.commit,
            "path": self.settings.source.path,
            "context": context,
        }
        header, body = self._from_sound_cache(wanted)
        manifest = Manifest.from_json(header["manifest"])
        blobs, offset = [], 0
        for digest, size in header["blobs"]:
            blobs.append(body[offset : offset + size])
            offset += size
            if sha256(blobs[-1]) != digest:
                raise Stalled(
                    "the render child gave content that does not match its digest",
                    "report this",
                    code="RenderMismatch",
                )
        stored = set(self.content.put_many(blobs))
        lacking = manifest.content() - stored
        if lacking:
            raise Stalled(
                f"the render child gave no content for {len(lacking)} files",
                "report this",
                code="RenderMismatch",
            )
        return manifest
