"""What every host does when images are removed."""

from __future__ import annotations

from agent.drivers.observe import Look
from agent.kinds import container
from agent.model import Action, Key
from agent.observed import Observed
from tests.contract.bench import Bench, act, create


def look(bench: Bench, *references: str) -> Observed:
    return bench.host.observe(Look(images=references))


def remove(bench: Bench, image: str) -> None:
    """Twice: every verb is safe to repeat."""
    for _ in range(2):
        bench.host.execute(
            Action(1, "remove", Key("image", image), "contract", {"image": image}, stage="prune"), None
        )


def test_a_name_is_taken_away_before_the_image(bench: Bench) -> None:
    """Removing by a name must take just that name away, and with the last name the image."""
    mine, other = f"{bench.prefix}/own:1", f"{bench.prefix}/other:1"
    image_id = bench.own_image("one", mine)
    bench.tag(image_id, other)
    remove(bench, mine)
    seen = look(bench, mine, other)
    assert seen.images == {other: image_id} and image_id in seen.tagged & seen.image_ids
    remove(bench, other)
    seen = look(bench, mine, other)
    assert seen.images == {} and image_id not in seen.tagged | seen.image_ids


def test_the_user_of_an_image_is_seen(bench: Bench) -> None:
    """The USER of an image must be seen by its name and by its id, and of no image that was not asked for or
    that is not there.
    """
    one, two = f"{bench.prefix}/user:1", f"{bench.prefix}/user:2"
    numbered, plain = bench.own_image("one", one, "1000:1000"), bench.own_image("two", two)
    wanted = frozenset({one, numbered, two, f"{bench.prefix}/nowhere:1", f"sha256:{'0' * 64}"})
    assert bench.host.observe(Look(users=wanted)).users == {numbered: "1000:1000", plain: ""}
    assert bench.host.observe(Look(users=frozenset({plain}))).users == {plain: ""}
    assert bench.host.observe(Look()).users == {}
    for image in (one, two):
        remove(bench, image)


def test_an_image_without_a_name_is_removed_by_its_id(bench: Bench) -> None:
    """An image that lost its name to another one must still be seen, as unnamed, and go by its id."""
    name = f"{bench.prefix}/own:1"
    first, second = bench.own_image("one", name), bench.own_image("two", name)
    seen = look(bench, name)
    assert seen.images == {name: second} and {first, second} <= seen.image_ids
    assert (first in seen.tagged, second in seen.tagged) == (False, True)
    remove(bench, first)
    seen = look(bench, name)
    assert first not in seen.image_ids and second in seen.image_ids
    remove(bench, second)
    assert second not in look(bench).image_ids


def test_an_image_in_use_stays(bench: Bench) -> None:
    """What a container was made from, running or not, must stay under name and id, and that is no error."""
    name = f"{bench.prefix}/own:1"
    first = bench.own_image("one", name)
    web = container.container_resource(
        f"{bench.prefix}-web-1",
        app=bench.prefix,
        service="web",
        number=1,
        config={"image": name},
        inputs={},
        folded={},
        compose={"project": bench.prefix},
    )
    id = create(bench, web)
    remove(bench, name)
    assert look(bench, name).images == {name: first}
    bench.own_image("two", name)
    remove(bench, first)
    assert first in look(bench).image_ids
    act(bench, web, "remove", container=id)
    remove(bench, first)
    assert first not in look(bench).image_ids
