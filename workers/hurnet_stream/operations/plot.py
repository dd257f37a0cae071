"""How far probabilities can be trusted, as a picture (SVG): for whoever would rather look than read.

left    as more is answered, the surest first: which share of it is wrong. Dots: what each error rate lets
        through
right   groups of questions: the mean probability, and the share of right answers. On the dashed line
        probabilities are true
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hurnet_stream.operations.curves import Trust

_SIDE, _GAP, _EDGE = 320, 90, 60
"""Of a panel, between the two, and around both, in pixels."""
_WIDTH, _HEIGHT = 2 * _SIDE + _GAP + 2 * _EDGE, _SIDE + 2 * _EDGE
_RIGHT = _EDGE + _SIDE + _GAP
_INK, _LINE, _FAINT = "#222222", "#0b6e99", "#cccccc"

Points = Sequence[tuple[float, float]]


def picture(trust: Trust) -> str:
    """The picture, an SVG document."""
    marks = [
        (point.answered / trust.questions, point.wrong / point.answered)
        for point in trust.curve
        if point.answered
    ]
    groups = [(group.probability, group.right) for group in trust.groups]
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{_HEIGHT}"'
            f' viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" font-size="12" fill="{_INK}">',
            f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
            *_panel(_EDGE, "answered", "wrong of these"),
            _polyline(_EDGE, trust.falling),
            *_dots(_EDGE, marks),
            *_panel(_RIGHT, "probability", "right"),
            f'<path d="M{_at(_RIGHT, 0, 0)} L{_at(_RIGHT, 1, 1)}" stroke="{_FAINT}" stroke-dasharray="4"/>',
            _polyline(_RIGHT, groups),
            *_dots(_RIGHT, groups),
            "</svg>\n",
        )
    )


def _panel(left: int, across: str, up: str) -> Iterable[str]:
    """A square with a line every 20 %, and what its axes are."""
    for step in range(6):
        share = step / 5
        yield (
            f'<path d="M{_at(left, share, 0)} L{_at(left, share, 1)} M{_at(left, 0, share)}'
            f' L{_at(left, 1, share)}" stroke="{_FAINT}" stroke-width="0.5"/>'
        )
        x, y = left + share * _SIDE, _EDGE + _SIDE
        yield f'<text x="{x:g}" y="{y + 18}" text-anchor="middle">{share:.0%}</text>'
        yield f'<text x="{left - 8}" y="{y - share * _SIDE + 4:g}" text-anchor="end">{share:.0%}</text>'
    yield f'<text x="{left + _SIDE / 2:g}" y="{_EDGE + _SIDE + 38}" text-anchor="middle">{across}</text>'
    yield f'<text x="{left - 30}" y="{_EDGE - 16}">{up}</text>'


def _polyline(left: int, points: Points) -> str:
    drawn = " ".join(_at(left, *point) for point in points)
    return f'<polyline points="{drawn}" fill="none" stroke="{_LINE}" stroke-width="2"/>'


def _dots(left: int, points: Points) -> Iterable[str]:
    for point in points:
        x, y = _at(left, *point).split(",")
        yield f'<circle cx="{x}" cy="{y}" r="4" fill="{_LINE}"/>'


def _at(left: int, x: float, y: float) -> str:
    """Where a point of a panel is, both its coordinates in [0, 1]."""
    return f"{left + x * _SIDE:.1f},{_EDGE + (1 - y) * _SIDE:.1f}"
