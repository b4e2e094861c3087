"""The loss curve of a run as SVG, for a notebook: it needs no matplotlib and no file."""

from html import escape

import numpy as np

from microgpt.plots.curves import Curve

WIDTH, HEIGHT = 560, 220  # of the picture
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 12, 40  # margins, in which the labels are
MOST_POINTS = 300  # of a curve


def loss_curve(curve: Curve) -> str:
    """Return the smoothed losses of a run, and its validation losses as dots; "" without any.

    Text and axes have the colour of the text around the picture.
    """
    if not len(curve.steps):
        return ""
    chosen = np.unique(np.linspace(0, len(curve.steps) - 1, MOST_POINTS).round().astype(int))
    measured = np.array([loss for _, loss in curve.validation])
    values = np.concatenate([curve.means[chosen], measured])
    low, high = float(values.min()), float(values.max())
    last = max(float(curve.steps[-1]), 1.0)

    def x(step: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * step / last

    def y(loss: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (high - loss) / ((high - low) or 1.0)

    points = " ".join(f"{x(curve.steps[i]):.1f},{y(curve.means[i]):.1f}" for i in chosen)
    dots = "".join(
        f'<circle cx="{x(step):.1f}" cy="{y(loss):.1f}" r="3" fill="#d95f02"/>'
        for step, loss in curve.validation
    )
    below, end = HEIGHT - BOTTOM, WIDTH - RIGHT
    texts = [
        _text(LEFT - 6, y(high) + 4, f"{high:.3g}", "end"),
        _text(LEFT - 6, y(low) + 4, f"{low:.3g}", "end") if high > low else "",
        _text(LEFT, below + 16, "0", "middle"),
        _text(end, below + 16, f"{curve.steps[-1]:,.0f}", "end"),
        _text((LEFT + end) / 2, HEIGHT - 6, "step", "middle"),
        f'<g transform="rotate(-90 14 {(TOP + below) / 2})">'
        + _text(14, (TOP + below) / 2, "loss", "middle")
        + "</g>",
    ]
    shown = f"loss, {curve.mean}" + ("; dots: validation loss" if dots else "")
    return (
        f'<svg width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'font-family="sans-serif" font-size="12"><title>{escape(shown)}</title>'
        f'<path d="M{LEFT},{TOP}V{below}H{end}" fill="none" stroke="currentColor"/>'
        f'<polyline points="{points}" fill="none" stroke="#1b7fbd" stroke-width="2"/>{dots}'
        + "".join(texts)
        + f"</svg><div>{escape(shown)}</div>"
    )


def _text(x: float, y: float, text: str, anchor: str) -> str:
    """Return a text that starts, ends or has its middle at (x, y)."""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="currentColor">'
        f"{escape(text)}</text>"
    )
