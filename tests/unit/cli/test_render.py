"""The commands that work on a repository, and the render child."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from dulwich import porcelain
from dulwich.repo import Repo

from agent import sandbox
from agent.__main__ import main
from agent.compose import MemoryFiles, load_project
from agent.errors import BadInput, Stalled, Transient
from agent.model import Manifest, sha256
from tests.harness import broken

WHO = b"A <a@example.org>"


def committed(root: Path) -> str:
    """Makes a directory a repository with one commit of everything in it."""
    with Repo.init(str(root)) as repo:
        files = [
            str(path.relative_to(root)).encode()
            for path in root.rglob("*")
            if path.is_file() and ".git" not in path.parts
        ]
        repo.get_worktree().stage(files)
        return porcelain.commit(repo, b"x", author=WHO, committer=WHO).decode()


@pytest.fixture
def fleet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """What `limpet init` writes."""
    assert main(["init", str(tmp_path / "fleet")]) == 0
    capsys.readouterr()
    return tmp_path / "fleet"


def write(root: Path, files: dict[str, str]) -> Path:
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return root


def test_init_is_valid(fleet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What `init` writes must validate strictly, for all hosts."""
    assert main(["validate", "--strict", "--all", "--repo", str(fleet)]) == 0
    assert "no problems" in capsys.readouterr().out


def test_init_takes_image_name_and_port(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The image, the app's name and the port must be the ones asked for, everywhere."""
    assert (
        main(["init", str(tmp_path / "f"), "--image", "limpet-demo:1", "--name", "demo", "--port", "18080"])
        == 0
    )
    assert main(["render", "--repo", str(tmp_path / "f"), "-o", str(tmp_path / "out")]) == 0
    manifest = Manifest.from_json(json.loads((tmp_path / "out/manifest.json").read_text()))
    assert manifest.images() == ["limpet-demo:1"]
    assert {r.spec["app"] for r in manifest.of_kind("container")} == {"demo"}
    assert [c for r in manifest.of_kind("container") for c in r.claims if c.startswith("port/")] == [
        "port/tcp/127.0.0.1/18080"
    ]
    assert manifest.checks[0].http == "http://127.0.0.1:18080/"


def test_init_overwrites_nothing(fleet: Path) -> None:
    """`init` must refuse a directory that holds something."""
    assert main(["init", str(fleet)]) == 78


def test_render_lists_resources(fleet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`render` must list every resource with its digest and origin."""
    assert main(["render", "--repo", str(fleet), "--host", "a"]) == 0
    output = capsys.readouterr().out
    assert "container/hello-web-1  (apps/hello/compose.yaml:8)" in output
    assert "9 resources" in output


def test_render_writes_files(fleet: Path, tmp_path: Path) -> None:
    """`render -o` must write the files as the host would get them, and refuse a directory that holds
    something.
    """
    out = tmp_path / "out"
    assert main(["render", "--repo", str(fleet), "--host", "a", "-o", str(out)]) == 0
    assert (out / "files/etc/hello/app.conf").read_text() == "greeting = Hello from Limpet\nhost = a\n"
    assert main(["render", "--repo", str(fleet), "--host", "a", "-o", str(out)]) == 78


def test_render_compose_loads_to_the_same(fleet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`render --compose` must print YAML that loads to the same project."""
    assert main(["render", "--repo", str(fleet), "--compose"]) == 0
    text = capsys.readouterr().out
    app = fleet / "apps/hello"
    files = {str(path.relative_to(app)): path.read_bytes() for path in app.rglob("*") if path.is_file()}
    again = load_project(MemoryFiles({**files, "compose.yaml": text.encode()}))
    assert again.services == load_project(MemoryFiles(files)).services
    assert main(["render", "--repo", str(fleet), "--compose", "nothing"]) == 78


def test_render_compose_reads_what_this_host_cannot_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`render --compose` must print any app that Compose reads, and say what keeps it from being run;
    `validate` refuses it.
    """
    write(tmp_path, {"compose.yaml": "services:\n  a: {build: ./src}\n  b: {image: 'x:${TAG}'}\n"})
    assert main(["render", "--repo", str(tmp_path), "--compose"]) == 0
    captured = capsys.readouterr()
    assert load_project(MemoryFiles({"compose.yaml": captured.out.encode()})).services["b"]["image"] == "x:"
    assert "warning: compose.yaml:2: services.a has no image, and Limpet does not build" in captured.err
    assert "warning: compose.yaml:3: services.b: 'x:' is not an image reference" in captured.err
    assert main(["validate", "--repo", str(tmp_path)]) == 1
    told = capsys.readouterr().out
    assert "services.a has no image" in told and "services.b: 'x:' is not an image reference" in told


def test_render_compose_refuses_what_compose_refuses(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file that Compose does not read must be an error with file and line, also when another app is
    fine.
    """
    write(
        tmp_path,
        {
            "apps/a/compose.yaml": "services: {a: {image: x}}\n",
            "apps/b/compose.yaml": "services:\n  b: {imag: x}\n",
        },
    )
    assert main(["render", "--repo", str(tmp_path), "--compose", "a"]) == 1
    captured = capsys.readouterr()
    assert captured.out == "" and "apps/b/compose.yaml:2: services.b: unknown key 'imag'" in captured.err


def test_render_tells_problems(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`render` of a broken repository must tell the problems on stderr and exit 1."""
    write(tmp_path, {"layer.yaml": "vras: {}\n"})
    assert main(["render", "--repo", str(tmp_path)]) == 1
    captured = capsys.readouterr()
    assert captured.out == "" and "layer.yaml:1: unknown key vras" in captured.err


def test_facts_are_json(capsys: pytest.CaptureFixture[str]) -> None:
    """`facts` must print what templates see."""
    assert main(["facts"]) == 0
    assert json.loads(capsys.readouterr().out)["cpus"] >= 1


FLEET = {
    "fleet.yaml": """\
layers:
  - base
  - {path: roles/web, when: {role: web}}
  - {path: roles/db, when: {role: db}}
  - {path: "sites/{site}", optional: true}
  - {path: "hosts/{host}", optional: true}
""",
    "base/apps/shop/compose.yaml": "services: {a: {image: x}}\n",
    "roles/web/files/etc/web.j2": "{{ labels.role }}\n",
    "roles/db/files/etc/db": "x\n",
    "sites/berlin/files/etc/site.j2": "{{ labels.site }}",
    "sites/rome/files/etc/site": "rome\n",
    "hosts/web-01/files/etc/host.j2": "{{ facts.hostname }}",
}


def test_validate_all_is_content_with_a_good_fleet(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A fleet whose every combination is right must validate, and say how much was looked at."""
    assert main(["validate", "--all", "--strict", "--repo", str(write(tmp_path, FLEET))]) == 0
    assert "1 named host, 4 combinations of labels" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("path", "text", "wanted"),
    [
        ("roles/db/files/etc/db.j2", "{{ nothing }}", "roles/db/files/etc/db.j2"),
        ("roles/web/layer.yaml", "vras: {}\n", "roles/web/layer.yaml:1: unknown key vras"),
        (
            "sites/rome/files/etc/x.j2",
            "{{ vars.none }}\n",
            "sites/rome/files/etc/x.j2:1: vars.none is not defined",
        ),
        ("hosts/web-01/files/etc/y.j2", "{{ vars.none }}\n", "hosts/web-01/files/etc/y.j2:1"),
        (
            "hosts/db-9/apps/shop/compose.override.yaml",
            "services: {a: {imgae: x}}\n",
            "db-9/apps/shop/compose.override.yaml:1",
        ),
    ],
)
def test_validate_all_finds_what_one_host_would_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], path: str, text: str, wanted: str
) -> None:
    """A problem in any role, site or host must be found by --all, and not be seen by another host."""
    write(tmp_path, {**FLEET, path: text})
    assert main(["validate", "--all", "--repo", str(tmp_path)]) == 1
    assert wanted in capsys.readouterr().out
    assert main(["validate", "--repo", str(tmp_path), "--host", "other"]) == 0


def test_validate_all_spares_hosts_whose_labels_are_unknown(tmp_path: Path) -> None:
    """A host's own files that fit one combination of labels must not be a problem because of the others."""
    own = {
        "roles/web/layer.yaml": "vars: {port: 80}\n",
        "hosts/web-01/files/etc/port.j2": "{{ vars.port }}\n",
    }
    write(tmp_path, {**FLEET, **own})
    assert main(["validate", "--all", "--repo", str(tmp_path)]) == 0


def test_validate_all_reports_unused_layers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A layer that no host uses must be reported."""
    write(
        tmp_path,
        {**FLEET, "fleet.yaml": FLEET["fleet.yaml"] + "  - {path: 'racks/{rack}', optional: true}\n"},
    )
    assert main(["validate", "--all", "--repo", str(tmp_path)]) == 0
    assert "fleet.yaml:7: no host uses the layer racks/{rack}" in capsys.readouterr().out
    assert main(["validate", "--all", "--strict", "--repo", str(tmp_path)]) == 1


def test_validate_needs_nothing_but_the_directory(fleet: Path) -> None:
    """`validate` must work as a command in the repository, without settings, and import neither docker nor
    pydantic.
    """
    code = (
        "import sys; from agent.__main__ import main; code = main(['validate']); "
        "sys.exit(code or bool({'docker', 'pydantic', 'paramiko'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=fleet,
        capture_output=True,
        text=True,
        timeout=60,
        env={"PYTHONPATH": str(Path(__file__).parents[3])},
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_child_renders_a_commit(fleet: Path) -> None:
    """The child must give the manifest and every content, equal to what is rendered from the directory."""
    sha = committed(fleet)
    request = {
        "git_dir": str(fleet / ".git"),
        "commit": sha,
        "path": ".",
        "context": {
            "host": "a",
            "labels": {},
            "facts": {"cpus": 2, "arch": "x", "os": {"name": "n", "version": "1"}},
            "root": "/",
            "repo_name": "fleet",
            "strict": False,
        },
    }
    header, body = sandbox.call("_render", request, timeout=60)
    manifest = Manifest.from_json(header["manifest"])
    assert len(manifest.resources) == 9
    position = 0
    for digest, size in header["blobs"]:
        assert sha256(body[position : position + size]) == digest
        position += size
    assert position == len(body)
    again, _ = sandbox.call("_render", request, timeout=60)
    assert again == header


def test_child_tells_all_problems(tmp_path: Path) -> None:
    """All problems must come through to the parent, with places and hints."""
    root = broken.materialise("many-at-once", tmp_path)
    request = {
        "git_dir": str(root / ".git"),
        "commit": broken.commit(root),
        "path": ".",
        "context": {"host": "web-01"},
    }
    with pytest.raises(BadInput) as caught:
        sandbox.call("_render", request, timeout=60)
    assert len(caught.value.problems) == 4 and all(
        p.file and p.line and p.hint for p in caught.value.problems
    )


def test_child_reports_a_damaged_cache(fleet: Path) -> None:
    """A commit that is not there must be transient, so that the cache is fetched again."""
    committed(fleet)
    request = {"git_dir": str(fleet / ".git"), "commit": "1" * 40, "path": "", "context": {"host": "a"}}
    with pytest.raises(Transient) as caught:
        sandbox.call("_render", request, timeout=60)
    assert caught.value.code == "CacheDamaged"


def test_child_is_bounded(tmp_path: Path) -> None:
    """A template that loops for ever must end with the child's limit and be blamed on the repository."""
    loops = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
    sha = committed(write(tmp_path, {"files/etc/x.j2": loops}))
    request = {"git_dir": str(tmp_path / ".git"), "commit": sha, "path": "", "context": {"host": "a"}}
    with pytest.raises(Stalled):
        sandbox.call("_render", request, timeout=60, limits=sandbox.ResourceLimits(cpu=2))


def test_untracked_files_are_noted(fleet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`validate` must say which files no host will see because they are not added, and be silent about
    ignored ones.
    """
    committed(fleet)
    write(
        fleet,
        {
            "apps/new/compose.yaml": "servces: {}\n",
            ".gitignore": "*.log\n",
            "apps/hello/x.log": "",
            "data/y": "",
        },
    )
    assert main(["validate", "--repo", str(fleet)]) == 0
    output = capsys.readouterr().out
    assert (
        "does not track 3 of the files here" in output
        and "apps/new/compose.yaml" in output
        and "x.log" not in output
    )
    assert main(["validate", "--repo", str(fleet / "apps")]) == 0
    assert "new/compose.yaml" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("services: {a: {image: 'x:${TAG:?}'}}\n", ".env"),
        ("services: {a: {image: x, env_file: a.env}}\n", "a.env"),
        ("services: {a: {image: x, command: '${TAG}'}}\n", ".env"),
    ],
)
def test_a_file_that_is_only_not_added_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, path: str
) -> None:
    """Where a file is missing only because Git does not track it, the hint must say so."""
    committed(write(tmp_path, {"compose.yaml": text}))
    write(tmp_path, {path: "TAG=1\n"})
    main(["validate", "--repo", str(tmp_path)])
    assert f"hint: {path}: it exists, but Git does not track it: git add {path}" in capsys.readouterr().out


def test_lines_of_a_rendered_compose_file_are_explained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An error in a rendered Compose file must say that its line is that of the rendered text."""
    write(tmp_path, {"compose.yaml.j2": "services:\n  a:\n    imgae: x\n"})
    assert main(["validate", "--repo", str(tmp_path)]) == 1
    assert "compose.yaml.j2:3: " in (output := capsys.readouterr().out) and "rendered text" in output
