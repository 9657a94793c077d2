"""Charts as SVG, without a library: bars of ratios against goals, and lines over sizes."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import NamedTuple

WIDTH, LEFT, ROW = 760, 300, 34
INK, GRID, BAR, GOOD, GOAL = "#222", "#ddd", "#c9702f", "#3b7d4f", "#555"


class Bar(NamedTuple):
    """value, goal: ratios; more is better unless `less`."""

    label: str
    value: float
    goal: float
    less: bool = False

    @property
    def met(self) -> bool:
        return self.value <= self.goal if self.less else self.value >= self.goal


class Line(NamedTuple):
    label: str
    points: Sequence[tuple[float, float]]


def bars(title: str, rows: Sequence[Bar]) -> str:
    """Each bar's scale is its own: the goal stands at the same place in all."""
    at_goal = LEFT + (WIDTH - LEFT) * 0.55
    height = 70 + ROW * len(rows)
    parts = [_head(height), _text(20, 28, title, 16, "bold")]
    parts.append(
        f'<line x1="{at_goal}" y1="44" x2="{at_goal}" y2="{height - 22}" stroke="{GOAL}" stroke-dasharray="4 3"/>'
    )
    parts.append(_text(at_goal, height - 8, "goal", 12, anchor="middle"))
    for number, row in enumerate(rows):
        y = 52 + ROW * number
        length = min((at_goal - LEFT) * row.value / row.goal if row.goal else 0, WIDTH - LEFT - 110)
        word = "at most" if row.less else "at least"
        parts.append(_text(LEFT - 12, y + 16, row.label, 13, anchor="end"))
        colour = GOOD if row.met else BAR
        parts.append(f'<rect x="{LEFT}" y="{y}" width="{max(2.0, length):.1f}" height="22" rx="2" fill="{colour}"/>')
        told = f"{row.value:.2f} ({word} {row.goal:g})"
        x = LEFT + max(2.0, length) + 8
        parts.append(f'<rect x="{x - 4:.1f}" y="{y + 2}" width="130" height="18" fill="#fff" opacity="0.85"/>')
        parts.append(_text(x, y + 16, told, 12))
    return "\n".join([*parts, "</svg>\n"])


def lines(title: str, x_label: str, y_label: str, series: Sequence[Line]) -> str:
    """Both axes begin at zero, so that what is linear is a straight line through the corner."""
    height, bottom, top, right = 420, 360, 60, WIDTH - 40
    xs = [x for line in series for x, _ in line.points] or [1.0]
    ys = [y for line in series for _, y in line.points] or [1.0]
    scale_x, scale_y = (right - 80) / (max(xs) or 1.0), (bottom - top) / (max(ys) or 1.0)
    parts = [_head(height), _text(20, 28, title, 16, "bold")]
    for step in range(6):
        y = bottom - (bottom - top) * step / 5
        parts.append(f'<line x1="80" y1="{y:.1f}" x2="{right}" y2="{y:.1f}" stroke="{GRID}"/>')
        parts.append(_text(74, y + 4, f"{max(ys) * step / 5:,.4g}", 11, anchor="end"))
        x = 80 + (right - 80) * step / 5
        parts.append(_text(x, bottom + 18, f"{max(xs) * step / 5:,.7g}", 11, anchor="middle"))
    parts.append(_text((80 + right) / 2, bottom + 42, x_label, 13, anchor="middle"))
    parts.append(_text(20, top - 12, y_label, 13))
    for number, line in enumerate(series):
        colour = (BAR, GOOD, "#345f9c")[number % 3]
        at = [(80 + x * scale_x, bottom - y * scale_y) for x, y in line.points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in at)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"/>' for x, y in at]
        parts.append(_text(96, top + 16 + 18 * number, line.label, 13, colour=colour))
    return "\n".join([*parts, "</svg>\n"])


def _head(height: int) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
        f' font-family="sans-serif"><rect width="{WIDTH}" height="{height}" fill="#fff"/>'
    )


def _text(
    x: float, y: float, text: str, size: int, weight: str = "normal", anchor: str = "start", colour: str = INK
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" font-weight="{weight}" text-anchor="{anchor}"'
        f' fill="{colour}">{escape(text)}</text>'
    )
