"""The figures in the pictures of the model: sampling as the board does it, principal components."""

from typing import Any

import numpy as np
import pytest
from ugpt.rng import Rng

from tests.support.web.node import call, evaluate

SAMPLING = "site/inside/sampling.js"
EMBEDDINGS = "site/inside/embeddings.js"
PCA = "site/inside/pca.js"


@pytest.mark.parametrize("temperature", [0.05, 0.5, 1, 2])
def test_softmax_of_the_logits_over_the_temperature(temperature: float) -> None:
    logits = np.random.default_rng(1).normal(0, 3, 27).astype("float32")
    powers = np.exp(logits.astype("float64") / temperature)
    chances = evaluate(
        f"return [...(await load({SAMPLING!r})).softmax(...args)]", logits, temperature
    )
    np.testing.assert_allclose(chances, powers / powers.sum(), rtol=1e-12)
    scaled = evaluate(
        f"return [...(await load({SAMPLING!r})).scaled(...args)]", logits, temperature
    )
    np.testing.assert_allclose(scaled, logits.astype("float64") / temperature)


def test_softmax_of_large_logits_and_at_temperature_0() -> None:
    code = f"const m = await load({SAMPLING!r}); return args.map(([l, t]) => [...m.softmax(l, t)])"
    large, zero, tie = evaluate(code, ([800, 790], 0.5), ([1, 3, 2], 0), ([3, 3], 0))
    np.testing.assert_allclose(large, [1, 0], atol=1e-8)
    assert zero == [0, 1, 0]
    assert tie == [1, 0]


def test_the_draw_is_the_boards() -> None:
    """The board's generator draws the same tokens with the same numbers."""
    numbers = np.random.default_rng(2)
    chances = numbers.dirichlet(np.full(27, 0.3), 40)
    chances[:, 5] = 0
    chances /= chances.sum(1, keepdims=True)
    rng, same = Rng(9), Rng(9)
    expected = [rng.draw(row, 27) for row in chances]
    us = [same.uniform() for _ in chances]
    code = f"""
        const {{ drawn }} = await load({SAMPLING!r});
        return args[0].map((chances, i) => drawn(chances, args[1][i]));"""
    assert evaluate(code, chances.tolist(), us) == expected
    assert 5 not in expected


def test_the_edges_of_a_draw() -> None:
    code = f"const m = await load({SAMPLING!r}); return args.map(([p, u]) => m.drawn(p, u))"
    assert evaluate(code, ([0.5, 0.5], 0.4999), ([0.5, 0.5], 0.5), ([0.5, 0.5, 0], 1 - 2**-24)) == [
        0,
        1,
        1,
    ]
    assert evaluate(code, ([0, 1], 0)) == [1]
    ends = evaluate(f"return [...(await load({SAMPLING!r})).cumulative(args[0])]", [0.1] * 10)
    assert ends[-1] == 1
    assert call(SAMPLING, "largest", [0.1, 0.5, 0.1, 0.3], 2) == [1, 3]


def projected(code: str, *args: object) -> Any:
    """What `code` returns with `project`, its arrays as lists."""
    return evaluate(
        f"""
        const {{ project }} = await load({PCA!r});
        const plain = ({{ axes, ...rest }}) => ({{ axes: axes.map((axis) => [...axis]), ...rest }});
        {code}""",
        *args,
    )


@pytest.mark.parametrize(("rows", "columns"), [(27, 16), (5, 64), (60, 2), (254, 48)])
def test_components_are_those_of_numpy(rows: int, columns: int) -> None:
    matrix = np.random.default_rng(rows).normal(0, 0.08, (rows, columns))
    matrix[:, 0] *= 2
    matrix = matrix.astype("float32")
    centred = matrix.astype("float64") - matrix.mean(0, dtype="float64")
    _, spread, axes = np.linalg.svd(centred, full_matrices=False)
    found = projected("return plain(project(...args))", matrix.ravel(), rows, columns)
    np.testing.assert_allclose(found["shares"], (spread**2 / (spread**2).sum())[:2], rtol=1e-5)
    points = np.array(found["points"])
    expected = centred @ axes[:2].T
    signs = np.sign((points * expected).sum(0))
    np.testing.assert_allclose(points, expected * signs, atol=2e-3)
    assert (points[np.abs(points).argmax(0), [0, 1]] > 0).all()


def test_points_do_not_flip_while_the_rows_change_little() -> None:
    rng = np.random.default_rng(4)
    matrix = rng.normal(0, 1, (27, 16)) * np.linspace(2, 0.2, 16)
    direction = rng.normal(0, 0.02, matrix.shape)
    steps = [matrix + i * direction for i in range(60)]
    steps += [-step for step in steps[-1:]]  # all signs turned at once: the axes stay
    code = """
        let now = null;
        return args.map((step) => (now = project(step, 27, 16, now)).points);"""
    points = np.array(projected(code, *[step.astype("float32").ravel() for step in steps]))
    jumps = np.abs(np.diff(points[:-1], axis=0)).max((1, 2))
    assert jumps.max() < 0.6
    np.testing.assert_allclose(points[-1], -points[-2], atol=1e-3)


@pytest.mark.parametrize(("second", "places"), [(1.1, [0, 1]), (2.0, [1, 0])])
def test_the_larger_component_comes_first_in_the_end(second: float, places: list[int]) -> None:
    """Of two axes whose shares cross, the second becomes the first when it is clearly larger."""
    rng = np.random.default_rng(5)
    matrix = rng.normal(0, 1, (400, 4))
    matrix, _ = np.linalg.qr(matrix - matrix.mean(0))  # columns without correlation
    matrix *= [1, 0.8, 0.01, 0.01]
    later = matrix * [1, second / 0.8, 1, 1]
    code = """
        const [first, later] = args;
        const before = project(first, 400, 4);
        return [plain(before), plain(project(later, 400, 4, before))];"""
    given = [each.astype("float32").ravel() for each in (matrix, later)]
    before, after = projected(code, *given)
    assert [int(np.abs(axis).argmax()) for axis in before["axes"]] == [0, 1]
    assert [int(np.abs(axis).argmax()) for axis in after["axes"]] == places


@pytest.mark.parametrize(
    ("matrix", "rows", "points"),
    [([0.0] * 6, 2, [[0, 0], [0, 0]]), ([1.0, 2, 3], 3, [[1, 0], [0, 0], [-1, 0]])],
)
def test_rows_without_two_dimensions(
    matrix: list[float], rows: int, points: list[list[float]]
) -> None:
    found = projected("return plain(project(...args))", matrix, rows, len(matrix) // rows)
    np.testing.assert_allclose(np.abs(found["points"]), np.abs(points), atol=1e-9)
    assert not np.isnan(found["shares"]).any()


def test_characters_move_apart_and_stay_near_their_points() -> None:
    random = np.random.default_rng(1)
    dense = random.normal(200, 12, (60, 2))
    dense[7] = dense[3]
    lone = np.array([[400.0, 20.0], [20.0, 300.0]])
    spots = np.concatenate([dense, lone])
    places = np.array(call(EMBEDDINGS, "apart", spots.tolist(), [10, 10, 500, 330]))
    gaps = np.hypot(*(places[:, None] - places[None]).T)
    assert gaps[np.triu_indices(len(spots), 1)].min() > 13
    assert np.hypot(*(places - spots).T).max() < 90
    assert np.array_equal(places[-2:], lone)
    corner = np.array(call(EMBEDDINGS, "apart", [[10, 10]] * 9, [10, 10, 500, 330]))
    assert corner.min() >= 10
