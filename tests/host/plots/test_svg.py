"""The loss curve of a run as SVG."""

from xml.etree import ElementTree

import numpy as np
import pytest
from microgpt.plots import svg
from microgpt.plots.curves import Curve, smoothed


def drawn(losses: list[float], validation: list[tuple[int, float]] | None = None) -> list[object]:
    """Return the points of the curve, of the dots, and the texts."""
    values = np.array(losses)
    curve = Curve("r", np.arange(len(values)), values, smoothed(values, 1), validation or [])
    page = ElementTree.fromstring(f"<div>{svg.loss_curve(curve)}</div>")
    line = page.find(".//polyline")
    assert line is not None
    points = [tuple(map(float, p.split(","))) for p in line.attrib["points"].split()]
    dots = [(float(c.attrib["cx"]), float(c.attrib["cy"])) for c in page.iter("circle")]
    return [points, dots, [text.text for text in page.iter("text")]]


def test_the_curve_fills_the_picture_and_the_axes_say_what_they_are() -> None:
    points, dots, texts = drawn([4.0, 3.0, 2.0], [(0, 4.0), (2, 2.0)])
    right, bottom = svg.WIDTH - svg.RIGHT, svg.HEIGHT - svg.BOTTOM
    middle = ((svg.LEFT + right) / 2, (svg.TOP + bottom) / 2)
    assert points == [(svg.LEFT, svg.TOP), middle, (right, bottom)]
    assert dots == [points[0], points[2]]
    assert texts == ["4", "2", "0", "2", "step", "loss"]


def test_a_long_run_has_a_bounded_number_of_points() -> None:
    points, _, texts = drawn(list(np.linspace(3, 2, 100_000)))
    assert len(points) == svg.MOST_POINTS
    assert "99,999" in texts


@pytest.mark.parametrize("losses", [[2.5], [2.5, 2.5], [1e100, -1e100]])
def test_curves_without_a_slope_or_with_an_absurd_one(losses: list[float]) -> None:
    points, _, texts = drawn(losses)
    assert all(0 <= x <= svg.WIDTH and 0 <= y <= svg.HEIGHT for x, y in points)
    assert all(len(text) < 12 for text in texts)


def test_a_run_without_a_step_has_no_picture() -> None:
    assert svg.loss_curve(Curve("r", np.array([]), np.array([]), np.array([]))) == ""
