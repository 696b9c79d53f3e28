"""Properties of rendering that must hold for every repository."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.errors import BadInput
from agent.render.assembly import RenderContext
from agent.render.render import render
from tests.fakes.tree import MemoryTree

words = st.text("abz/.*{}: -\n\t'\"&!%|#$[],0é", max_size=60)
names = st.sampled_from(["a", "b", "c"])
MOUNTS = ["./conf:/c", "./data:/d", "v1:/v", ".:/all", "/etc/a:/a"]
services = st.dictionaries(
    names,
    st.fixed_dictionaries(
        {"image": st.sampled_from(["x", "y:1"])},
        optional={
            "volumes": st.lists(st.sampled_from(MOUNTS), unique=True, max_size=3),
            "environment": st.dictionaries(st.sampled_from(["A", "B"]), st.sampled_from(["1", "${X:-y}"])),
            "deploy": st.fixed_dictionaries({"replicas": st.integers(0, 3)}),
            "configs": st.just(["k"]),
        },
    ),
    min_size=1,
    max_size=3,
)


@st.composite
def repositories(draw: st.DrawFn) -> dict[str, str]:
    """A repository that is right, with one or two apps, host files and templates."""
    import json

    tree: dict[str, str] = {"README.md": draw(words)}
    for app in draw(st.lists(st.sampled_from(["shop", "blog"]), unique=True, min_size=1)):
        document = {"services": draw(services), "volumes": {"v1": {}}, "configs": {"k": {"file": "./conf/k"}}}
        tree[f"apps/{app}/compose.yaml"] = json.dumps(document)
        tree[f"apps/{app}/conf/k"] = draw(words)
        for name in draw(st.lists(names, unique=True)):
            tree[f"apps/{app}/conf/{name}"] = draw(words)
    for name in draw(st.lists(names, unique=True)):
        tree[f"files/etc/{name}"] = draw(words)
    if draw(st.booleans()):
        tree["files/etc/t.j2"] = "{{ host }} {{ vars.n }}\n"
        tree["layer.yaml"] = f"vars: {{n: {draw(st.integers())}}}\n"
    return tree


@settings(max_examples=60, deadline=None)
@given(repositories())
def test_equal_input_equal_manifest(tree: dict[str, str]) -> None:
    """Equal trees, in whatever order they are given, must give equal manifests, digests and content."""
    one = render(MemoryTree(tree), RenderContext("h"))
    two = render(MemoryTree(dict(reversed(tree.items()))), RenderContext("h"))
    assert one.manifest.to_json() == two.manifest.to_json()
    assert one.manifest.digest == two.manifest.digest
    assert one.content == two.content and list(one.content) == list(two.content)
    assert one.manifest.content() == set(one.content)


@settings(max_examples=40, deadline=None)
@given(repositories(), words)
def test_what_nothing_uses_changes_nothing(tree: dict[str, str], text: str) -> None:
    """A change of a file that nothing uses must not change the digest."""
    mounted = any(".:/all" in data for path, data in tree.items() if path.endswith("compose.yaml"))
    before = render(MemoryTree(tree), RenderContext("h")).manifest
    changed = {**tree, "README.md": text, "docs/x.md": text}
    assert render(MemoryTree(changed), RenderContext("h")).manifest.digest == before.digest
    if not mounted:
        app = next(path for path in tree if path.endswith("compose.yaml")).rpartition("/")[0]
        assert (
            render(MemoryTree({**tree, f"{app}/NOTES": text}), RenderContext("h")).manifest.digest
            == before.digest
        )


@settings(max_examples=40, deadline=None)
@given(repositories())
def test_a_changed_file_changes_exactly_its_users(tree: dict[str, str]) -> None:
    """A changed file of an app must change the containers that have it as an input, and no other
    container.
    """
    path = next(path for path in tree if path.endswith("/conf/k"))
    before = render(MemoryTree(tree), RenderContext("h")).manifest
    after = render(MemoryTree({**tree, path: tree[path] + "changed"}), RenderContext("h")).manifest
    host = f"/var/lib/limpet/{path}"
    for resource in before.of_kind("container"):
        assert (after.resources[resource.key].digest != resource.digest) is (host in resource.spec["inputs"])


@settings(max_examples=150, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(
            [
                "fleet.yaml",
                "layer.yaml",
                "compose.yaml",
                "apps/a/compose.yaml",
                "apps/a/.env",
                "files/etc/x.j2",
                "base/layer.yaml",
            ]
        ),
        words,
    )
)
def test_any_text_is_rendered_or_refused(tree: dict[str, str]) -> None:
    """Whatever stands in the files, rendering must give a manifest or problems with a file and a message,
    never crash.
    """
    try:
        render(MemoryTree(tree), RenderContext("h"))
    except BadInput as error:
        for problem in error.problems:
            assert problem.file in tree or problem.line == 0
            assert problem.message
