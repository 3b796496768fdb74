import numpy as np
import pytest

from demist.data.readers import scenes
from demist.data.readers.scenes import COLOURS, PLACES, Scene, Thing, draw
from demist.evaluation.judge.scenes import TAGS, find
from demist.training.judge import train_judge


@pytest.fixture(scope="module")
def judge():
    data, known = draw(1000, "train", seed=1)
    return train_judge(data.x, known, COLOURS, PLACES, epochs=8)


@pytest.fixture(scope="module")
def real():
    data, asked = draw(120, "test", seed=2)
    return data.x, list(asked)


def changed(scene, **changes):
    first, *rest = scene.things
    things = (Thing(**{**vars(first), **changes}), *rest)
    return Scene(things, scene.layout, scene.background)


@pytest.mark.slow
def test_real_scenes_are_right_and_others_wrong(judge, real):
    images, asked = real
    ceiling = judge.score(images, asked)
    floor = judge.score(np.roll(images, 1, 0), asked)
    assert set(ceiling) == set(TAGS)
    for tag in ("count", "colours", "sizes", "layout", "background"):
        assert ceiling[tag] > 0.97
    assert ceiling["bindings"] > 0.6  # a classifier of seconds
    assert floor["all"] < 0.03
    assert floor["bindings"] < 0.1


@pytest.mark.slow
def test_each_tag_sees_its_own_mistake(judge, real):
    images, asked = real

    def lost(scenes):
        base, now = judge.score(images, asked), judge.score(images, scenes)
        return {tag for tag in TAGS if base[tag] - now[tag] > 0.3}

    digit = [changed(s, digit=(s.things[0].digit + 1) % 10) for s in asked]
    assert lost(digit) == {"digits", "bindings", "all"}
    size = [changed(s, large=not s.things[0].large) for s in asked]
    assert lost(size) == {"sizes", "all"}
    other = {"dark": "light", "light": "dark"}
    ground = [Scene(s.things, s.layout, other[s.background]) for s in asked]
    assert lost(ground) == {"background", "all"}
    fewer = [s for s in asked if len(s.things) > 1]
    chosen = images[[len(s.things) > 1 for s in asked]]
    swapped = [
        Scene(
            tuple(
                Thing(t.digit, o.colour, t.large)
                for t, o in zip(s.things, s.things[1:] + s.things[:1], strict=True)
            ),
            s.layout,
            s.background,
        )
        for s in fewer
    ]
    base, now = judge.score(chosen, fewer), judge.score(chosen, swapped)
    assert base["bindings"] - now["bindings"] > 0.5
    assert now["colours"] == base["colours"]
    assert now["digits"] == base["digits"]
    turned = [
        Scene(s.things, {"beside": "above", "above": "beside"}[s.layout], s.background)
        for s in fewer
        if len(s.things) == 2
    ]
    pairs = images[[len(s.things) == 2 for s in asked]]
    assert judge.score(pairs, turned)["layout"] == 0


@pytest.mark.slow
def test_an_empty_page_has_nothing(judge):
    blank = np.full((2, 3, 32, 32), 20, np.uint8)
    assert find(blank[0], scenes.COLOURS) == []
    asked = draw(2)[1]
    assert judge.score(blank, asked)["colours"] == 0
