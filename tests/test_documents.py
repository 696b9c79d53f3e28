"""What can be checked of the documents: links lead somewhere, named files exist, lines can be read."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LINE = 110  # characters of prose
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
NAMED = re.compile(r"`((?:agent|tests|docs|tools|packaging|systemd)/[\w./-]+)`")


def documents() -> list[Path]:
    """The Markdown files that Git tracks, or would: not those of environments and of broken repositories."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"]
    found = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    return [ROOT / name for name in found if not name.startswith("tests/broken/") and (ROOT / name).exists()]


def prose(path: Path) -> str:
    """A document without its code blocks."""
    return re.sub(r"^```.*?^```$", "", path.read_text(), flags=re.MULTILINE | re.DOTALL)


def anchors(path: Path) -> set[str]:
    """The anchors of a document's headings, as forges make them."""
    headings = re.findall(r"^#+ (.+)$", prose(path), re.MULTILINE)
    shown = [re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower() for heading in headings]
    return {re.sub(r"[^\w\- ]", "", heading).strip().replace(" ", "-") for heading in shown}


def test_links_lead_somewhere() -> None:
    """Every link between documents must lead to a file that exists, and to a heading of it."""
    bad = []
    for path in documents():
        for link in LINK.findall(prose(path)):
            if "://" in link:
                continue
            place, _, anchor = link.partition("#")
            target = (path.parent / place).resolve() if place else path
            if not target.exists() or (anchor and anchor not in anchors(target)):
                bad.append(f"{path.relative_to(ROOT)}: {link}")
    assert bad == []


def test_named_files_exist() -> None:
    """Every file of the project that a document names must exist; a word in capitals stands for a name."""
    bad = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in documents()
        for name in NAMED.findall(prose(path))
        if not re.search(r"[A-Z]{2}", name) and not (ROOT / name).exists()
    ]
    assert bad == []


def test_lines_can_be_read() -> None:
    """A line of prose must have at most 110 characters. A row of a table is as long as its names."""
    bad = [
        f"{path.relative_to(ROOT)}: {line}"
        for path in documents()
        for line in prose(path).splitlines()
        if len(line) > LINE and not line.startswith("|")
    ]
    assert bad == []


def test_every_decision_is_in_the_index() -> None:
    """docs/decisions/README.md must list every decision with its date, and nothing else."""
    place = ROOT / "docs/decisions"
    found = {
        f"- {date}: {title}"
        for path in place.glob("*.md")
        for title, date in re.findall(r"^## (.+)\n\n(\d{4}-\d\d-\d\d)[.;]", path.read_text(), re.MULTILINE)
    }
    assert found == {line for line in (place / "README.md").read_text().splitlines() if line.startswith("- ")}
