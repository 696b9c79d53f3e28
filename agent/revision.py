"""Where a branch is: `main@sha1:<commit>`. The one place that reads and writes this text."""

from __future__ import annotations

from dataclasses import dataclass

_SHOWN = 7  # digits of a commit that people see


@dataclass(frozen=True, slots=True)
class Revision:
    """A commit of a ref. `ref` is a name as people know it (`main`), empty when only the commit is known;
    `commit` has 40 (SHA-1) or 64 (SHA-256) hex digits. The empty revision is false: nothing is known.
    """

    ref: str = ""
    commit: str = ""

    def __str__(self) -> str:
        if not self.ref:
            return self.commit
        return f"{self.ref}@{'sha256' if len(self.commit) == 64 else 'sha1'}:{self.commit}"

    def __bool__(self) -> bool:
        return bool(self.commit)

    @classmethod
    def parse(cls, text: str) -> Revision:
        """The inverse of `str`; a text without `@` is a bare commit."""
        ref, separator, commit = text.rpartition("@")
        return cls(ref, commit.partition(":")[2]) if separator else cls("", text)

    @property
    def short(self) -> str:
        """As people write it: `main@1f2e3d4`; empty when nothing is known."""
        cut = self.commit[:_SHOWN]
        return f"{self.ref}@{cut}" if self.ref else cut

    def begins_with(self, text: str) -> bool:
        """Whether a person who typed `text` can mean this one: the whole, or its commit."""
        return str(self).startswith(text) or self.commit.startswith(text)


NOWHERE = Revision()
