"""Paths: which are the repository's, where they start, and what is told of one that leaves."""

from __future__ import annotations

import pytest

from agent.compose import Place, paths
from agent.compose.document import parse_yaml
from agent.compose.limits import Budget
from tests.unit.compose.loading import Files, load, outline, told


@pytest.mark.parametrize(
    ("name", "path", "result"),
    [
        ("is_host_path", "/a", True),
        ("is_host_path", "~", True),
        ("is_host_path", "~/a", True),
        ("is_host_path", "C:\\a", True),
        ("is_host_path", "C:/a", True),
        ("is_host_path", "C:", False),
        ("is_host_path", "C:a", False),
        ("is_host_path", "C:Xa", False),
        ("is_host_path", "\\\\a", True),
        ("is_host_path", "a", False),
        ("is_host_path", "./a", False),
        ("is_host_path", "", False),
        ("is_host_path", "1:/a", False),
        ("clean_path", "/a//b/", "/a/b"),
        ("clean_path", "//a", "/a"),
        ("clean_path", "", "."),
        ("clean_path", "a/../b", "b"),
        ("clean_path", "/", "/"),
        ("escapes", "..", True),
        ("escapes", "../a", True),
        ("escapes", "/a", True),
        ("escapes", "a/..", False),
        ("escapes", "...", False),
        ("escapes", "..a", False),
        ("escapes", "", False),
    ],
)
def test_paths_are_told_apart(name: str, path: str, result: object) -> None:
    """A path must be judged and cleaned by its text alone."""
    assert getattr(paths, name)(path) == result


@pytest.mark.parametrize(
    ("base", "path", "joined"),
    [
        (".", "a", "a"),
        ("a", "../b", "b"),
        ("a", "../../b", "../b"),
        ("a", "/b", "/b"),
        ("a", "", "a"),
    ],
)
def test_paths_are_joined(base: str, path: str, joined: str) -> None:
    """A path must be joined to its directory, and keep what leaves the root."""
    assert paths.join_path(base, path) == joined


@pytest.mark.parametrize(
    ("path", "start", "seen"),
    [
        ("a/b", "a", "b"),
        ("a", "a/b", ".."),
        ("a", "", "a"),
        (".", ".", "."),
        ("a", "b/c", "../../a"),
    ],
)
def test_paths_are_made_relative(path: str, start: str, seen: str) -> None:
    """A path must be told as seen from a directory."""
    assert paths.relative(path, start) == seen


@pytest.mark.parametrize(
    ("files", "messages"),
    [
        (
            {
                "app/compose.yaml": (
                    "services:\n  a:\n    image: x\n    volumes: ['../../x:/x', ./y:/y]\nconfigs: {}\n"
                ),
                "app/l": "",
            },
            (
                "app/compose.yaml:4:15: the path '../../x' leaves the repository | move the file "
                "into the repository, or write an absolute path of the host"
            ),
        ),
        (
            {
                "app/compose.yaml": (
                    "services:\n"
                    "  a:\n"
                    "    image: x\n"
                    "    volumes:\n"
                    "      - type: bind\n"
                    "        source: ../../x\n"
                    "        target: /x\n"
                    "configs: {}\n"
                ),
                "app/l": "",
            },
            (
                "app/compose.yaml:6:9: the path '../../x' leaves the repository | move the file into "
                "the repository, or write an absolute path of the host"
            ),
        ),
        (
            {
                "app/compose.yaml": (
                    "services:\n"
                    "  a:\n"
                    "    image: x\n"
                    "    volumes: [{type: bind, source: '', target: /x}, '../..:/z']\n"
                    "configs: {}\n"
                ),
                "app/l": "",
            },
            (
                "app/compose.yaml:4:53: the path '../..' leaves the repository | move the file into "
                "the repository, or write an absolute path of the host"
            ),
        ),
        (
            {
                "app/compose.yaml": (
                    "services:\n"
                    "  a:\n"
                    "    image: x\n"
                    "    label_file:\n"
                    "      - l\n"
                    "      - ../../x\n"
                    "configs: {}\n"
                ),
                "app/l": "",
            },
            (
                "app/compose.yaml:6:9: the path '../../x' leaves the repository | move the file into "
                "the repository, or write an absolute path of the host"
            ),
        ),
        (
            {
                "app/compose.yaml": (
                    "services:\n  a:\n    image: x\n    env_file:\n      - ../../x\nconfigs: {}\n"
                ),
                "app/l": "",
            },
            (
                "app/compose.yaml:5:9: the path '../../x' leaves the repository | move the file into "
                "the repository, or write an absolute path of the host"
            ),
        ),
        (
            {
                "app/compose.yaml": (
                    "services: {a: {image: x}}\n"
                    "configs:\n"
                    "  c:\n"
                    "    file: ../../x\n"
                    "secrets: {s: {file: ../../y}}\n"
                    "volumes:\n"
                    "  v:\n"
                    "    driver: local\n"
                    "    driver_opts:\n"
                    "      o: bind\n"
                    "      device: ../../z\n"
                )
            },
            (
                "app/compose.yaml:4:5: the path '../../x' leaves the repository | move the file into "
                "the repository, or write an absolute path of the host\n"
                "app/compose.yaml:5:15: the path '../../y' leaves the repository | move the file "
                "into the repository, or write an absolute path of the host\n"
                "app/compose.yaml:11:7: the path '../../z' leaves the repository | move the file "
                "into the repository, or write an absolute path of the host"
            ),
        ),
    ],
)
def test_a_path_that_leaves_the_repository_is_told_at_its_place(files: Files, messages: str) -> None:
    """A path out of the repository must be told where it is written, with what to do."""
    assert told(files, working_dir="app") == messages


@pytest.mark.parametrize(
    ("files", "form"),
    [
        (
            (
                "services:\n"
                "  a:\n"
                "    image: x\n"
                "    build: {context: ../../c, additional_contexts: [k=d, l=https://x/y, "
                "m=service:b, n=git@x, o=/p], ssh: [k=s]}\n"
                "  b: {build: 'https://x/y.git'}\n"
            ),
            (
                "{build@4:5 {additional_contexts@4:31 {k@4:53 './d', l@4:58 'https://x/y', m@4:73 "
                "'service:b', n@4:86 'git@x', o@4:95 '/p'}@4:31, context@4:13 '../../c', "
                "dockerfile@4:12 'Dockerfile', ssh@4:102 {k@4:108 './s'}@4:107}@4:12, image@3:5 'x', "
                "networks@2:3 {default@2:3 None}@2:3}@3:5"
            ),
        ),
        (
            (
                "services:\n"
                "  a:\n"
                "    image: x\n"
                "    volumes: [{type: bind, source: '', target: /x}, './/a/../b:/y', '~/c:/z', "
                "'C:/d:/w']\n"
            ),
            (
                "{image@3:5 'x', networks@2:3 {default@2:3 None}@2:3, volumes@4:5 [{source@4:28 '.', "
                "target@4:40 '/x', type@4:16 'bind'}@4:15@4:15, {bind@4:53 {create_host_path@4:53 "
                "True}@4:53, source@4:53 './b', target@4:53 '/y', type@4:53 'bind'}@4:53@4:53, "
                "{bind@4:69 {create_host_path@4:69 True}@4:69, source@4:69 '~/c', target@4:69 '/z', "
                "type@4:69 'bind'}@4:69@4:69, {bind@4:79 {create_host_path@4:79 True}@4:79, "
                "source@4:79 'C:/d', target@4:79 '/w', type@4:79 'bind'}@4:79@4:79]@4:14}@3:5"
            ),
        ),
        (
            "services:\n  a:\n    image: x\n    build: github.com/x/y\n",
            (
                "{build@4:5 {context@4:5 'github.com/x/y', dockerfile@4:5 'Dockerfile'}@4:5, "
                "image@3:5 'x', networks@2:3 {default@2:3 None}@2:3}@3:5"
            ),
        ),
        (
            ("services:\n  a:\n    image: x\n    develop: {watch: [{path: ../../w, action: rebuild}]}\n"),
            (
                "{develop@4:5 {watch@4:15 [{action@4:39 'rebuild', path@4:24 "
                "'../../w'}@4:23@4:23]@4:22}@4:14, image@3:5 'x', networks@2:3 {default@2:3 "
                "None}@2:3}@3:5"
            ),
        ),
    ],
)
def test_paths_start_at_the_project(files: Files, form: str) -> None:
    """Each path of the repository must start at the project's directory, and those of the host be kept."""
    assert outline(load(files).services["a"]) == form


@pytest.mark.parametrize(
    ("files", "form"),
    [
        (
            (
                "services: {a: {image: x}}\n"
                "volumes:\n"
                "  v: {driver: local, driver_opts: {o: bind, device: d}}\n"
            ),
            (
                "{driver@3:7 'local', driver_opts@3:22 {o@3:36 'bind', device@3:45 './d'}@3:22, "
                "name@3:6 'app_v'}@3:6"
            ),
        ),
        (
            ("services: {a: {image: x}}\nvolumes:\n  v: {driver: local, driver_opts: {o: nfs, device: d}}\n"),
            (
                "{driver@3:7 'local', driver_opts@3:22 {o@3:36 'nfs', device@3:44 'd'}@3:22, "
                "name@3:6 'app_v'}@3:6"
            ),
        ),
        (
            ("services: {a: {image: x}}\nvolumes:\n  v: {driver: nfs, driver_opts: {o: bind, device: d}}\n"),
            (
                "{driver@3:7 'nfs', driver_opts@3:20 {o@3:34 'bind', device@3:43 'd'}@3:20, name@3:6 "
                "'app_v'}@3:6"
            ),
        ),
        (
            (
                "services: {a: {image: x}}\n"
                "volumes:\n"
                "  v: {driver: local, driver_opts: {o: bind, device: /d}}\n"
            ),
            (
                "{driver@3:7 'local', driver_opts@3:22 {o@3:36 'bind', device@3:45 '/d'}@3:22, "
                "name@3:6 'app_v'}@3:6"
            ),
        ),
        (
            ("services: {a: {image: x}}\nvolumes:\n  v: {driver: local, driver_opts: {o: bind}}\n"),
            "{driver@3:7 'local', driver_opts@3:22 {o@3:36 'bind'}@3:22, name@3:6 'app_v'}@3:6",
        ),
    ],
)
def test_the_device_of_a_bind_mount_is_a_path(files: Files, form: str) -> None:
    """The device of a local volume must be a path only where it is bind mounted."""
    assert outline(load(files).volumes["v"]) == form


def test_a_change_of_paths_knows_the_places() -> None:
    """Whoever changes the paths of a tree must be told where each stands, and change no others."""
    text = (
        b"services:\n  a:\n    volumes:\n      - {type: bind, source: v}\n      - {type: volume, source: w}\n"
        b"    env_file:\n      - path: e\n      - path: /f\n    label_file:\n      - l\n"
        b"    build: {context: c}\n"
        b"configs:\n  c:\n    file: ''\nvolumes:\n  v:\n    driver: local\n"
        b"    driver_opts:\n      o: bind\n      device: d\n"
    )
    root = parse_yaml("compose.yaml", text, Budget())[0].root
    seen: list[tuple[str, int]] = []

    def change(path: str, place: Place) -> str:
        seen.append((path, place.line))
        return f"<{path}>"

    paths.visit(root, root.at, change, paths.PATHS)
    assert seen == [("v", 4), ("e", 7), ("l", 10), ("c", 11), (".", 14), ("d", 20)]
    assert root["services"]["a"]["volumes"] == [
        {"type": "bind", "source": "<v>"},
        {"type": "volume", "source": "w"},
    ]
    assert root["volumes"]["v"]["driver_opts"]["device"] == "<d>"
