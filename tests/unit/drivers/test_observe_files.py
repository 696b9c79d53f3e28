"""What lies at host paths: which places of data are bare."""

from __future__ import annotations

from pathlib import Path

from agent.drivers.observe_files import bare_paths


def test_places_of_data_without_data(tmp_path: Path) -> None:
    """A place is bare when nothing lies there, or an empty directory; a file, a link and a directory with
    anything in it are data, and so is what cannot be read.
    """
    for name in ("empty", "full/below"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to("nowhere")
    paths = ["/empty", "/full", "/full/below", "/file", "/file/below", "/link", "/absent", "/absent/below"]
    assert bare_paths(paths, str(tmp_path)) == {"/empty", "/full/below", "/absent", "/absent/below"}
    assert bare_paths(["/empty"], f"{tmp_path}/") == {"/empty"}
    assert bare_paths([str(tmp_path / "absent")], "/") == {str(tmp_path / "absent")}
