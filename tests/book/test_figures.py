"""Figures: accessible, alike in both themes, turned by keyboard, drawn from what was recorded."""

from __future__ import annotations

import re
from itertools import pairwise

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from companion.book import figures
from companion.measures import Operation


@pytest.fixture
def shown(monkeypatch):
    """What a figure would put on the page."""
    bundles: list[dict] = []
    monkeypatch.setattr("IPython.display.display", lambda bundle, raw: bundles.append(bundle))
    return bundles


def frames(count=3):
    return [(str(i), figures.figure()[0], f"frame {i}") for i in range(count)]


def test_an_svg_names_itself_and_follows_the_page():
    def drawn():
        drawing, axes = figures.figure()
        figures.plot_condition(
            axes, [1, 2], np.array([[1, 2], [2, 3]]), residual=True, label="residual"
        )
        return drawing

    text = figures.svg(drawn(), 'a "line" < rising')
    assert 'role="img" aria-label="a &quot;line&quot; &lt; rising"' in text
    assert "currentColor" in text and "var(--companion-residual" in text and "#010203" not in text
    assert text == figures.svg(drawn(), 'a "line" < rising')
    drawing = drawn()
    for alt in ("", "  ", None):
        with pytest.raises(ValueError, match="alt"):
            figures.svg(drawing, alt)


def test_a_slide_shows_one_frame_and_prints_them_all(shown):
    figures.slider("depth", frames(), start=1)
    (bundle,) = shown
    page = bundle["text/html"]
    assert page.count(" hidden>") == 2 and page.count('role="img"') == 3
    assert 'data-frame="depth: 1">' in page and 'aria-valuetext="1"' in page
    assert 'type="range" min="0" max="2" value="1"' in page and "<output>1</output>" in page
    assert 'data-frame="depth: 2"' in page  # what paper shows in the control's place
    assert bundle["text/plain"].splitlines() == [f"depth {i}: frame {i}" for i in range(3)]


@pytest.mark.parametrize("hover", [False, True])
def test_a_choice_is_a_group_of_radio_buttons(shown, hover):
    figures.selector("path <a>", frames(), start=2, hover=hover)
    figures.selector("path <a>", [*frames(2), ("2", figures.figure()[0], "another")])
    page, other = (bundle["text/html"] for bundle in shown)
    assert page.count('type="radio"') == 3 and page.count(" checked") == 1
    assert 'value="2" checked' in page and 'data-frame="path &lt;a>: 2">' in page
    assert "<legend>path &lt;a></legend>" in page
    assert ("onmouseenter" in page) == hover
    group = page.split('name="')[1].split('"')[0]
    assert page.count(f'name="{group}"') == 3 and group not in other  # groups do not mix


@pytest.mark.parametrize("turn", [figures.slider, figures.selector])
@pytest.mark.parametrize(("count", "start"), [(1, 0), (3, 3), (3, -1)])
def test_turning_needs_frames_and_a_start_among_them(shown, turn, count, start):
    with pytest.raises(ValueError, match=f"{turn.__name__} needs two frames"):
        turn("depth", frames(count), start)
    assert not shown


def test_a_table_is_markdown_and_refuses_ragged_rows(shown):
    figures.table(["a", "b"], [["1", "2"]], "Numbers:")
    assert shown[0]["text/markdown"] == "Numbers:\n\n| a | b |\n| --- | --- |\n| 1 | 2 |"
    for rows in ([], [["1"]], [["1", "2"], ["1", "2", "3"]]):
        with pytest.raises(ValueError, match="rows must hold 2"):
            figures.table(["a", "b"], rows)


def texts(axes):
    return [t.get_text() for t in axes.texts]


def colours_of_lines(axes):
    return [line.get_color() for line in axes.lines]


def test_a_graph_puts_the_longest_way_in_the_middle_and_shortcuts_beside_it():
    operations = [
        Operation("pad", "pad", ("x",)),
        Operation("c1", "conv", ("x",)),
        Operation("c2", "conv", ("c1",)),
        Operation("sum", "+", ("pad", "c2")),
        Operation("both", "concatenate", ("c1", "sum")),
    ]
    _, axes = figures.operation_graph(operations)
    middle = [t.get_text() for t in axes.texts if t.get_position()[0] == 0 and t.get_text()]
    assert middle == ["x", "conv", "conv", "+", "concatenate", "y"]
    beside = [t for t in axes.texts if t.get_text() == "pad"]
    assert len(beside) == 1 and beside[0].get_position()[0] > 1
    # an addition in the residual colour, a concatenation dotted
    assert colours_of_lines(axes).count(figures.RESIDUAL) == 1
    assert [line.get_linestyle() for line in axes.lines].count(":") == 1
    with pytest.raises(ValueError, match="operations"):
        figures.operation_graph([])


def test_overlapping_shortcuts_take_lanes_of_their_own():
    chain = [Operation("a", "conv", ("x",)), Operation("b", "conv", ("a",))]
    nested = [Operation("c", "+", ("b", "a")), Operation("d", "+", ("c", "x"))]
    _, axes = figures.operation_graph([*chain, *nested])
    lanes = [max(line.get_xdata()) for line in axes.lines]
    assert len(set(lanes)) == 2


def test_a_path_goes_over_the_branches_it_takes():
    _, axes = figures.path_diagram([True, False])
    assert [t for t in texts(axes) if "F_" in t] == ["$F_1$", "$F_2$"]
    bold = [line for line in axes.lines if line.get_color() == figures.RESIDUAL]
    reached = {max(line.get_ydata()) for line in bold if min(line.get_xdata()) < 2.9}
    later = {max(line.get_ydata()) for line in bold if min(line.get_xdata()) >= 2.9}
    assert 1 in reached and 1 not in later
    with pytest.raises(ValueError, match="taken"):
        figures.path_diagram([])


def test_a_decision_path_leads_aside_or_on():
    steps = [("deep?", "no", "an end\nof two lines", "yes"), ("norm?", "no", "start small", "")]
    drawing, axes = figures.decision_path(steps, "check", width=4.0)
    assert [t for t in texts(axes) if t] == [
        *("deep?", "an end\nof two lines", "no", "yes"),
        *("norm?", "start small", "no", "check"),
    ]
    asides = [box for box in axes.patches if box.get_edgecolor()[:3] == to_rgb(figures.RESIDUAL)]
    boxes = sorted((box.get_y(), box.get_height()) for box in axes.patches)
    assert len(asides) == 3 and len(boxes) == 5 and drawing.get_figwidth() == 4.0
    levels = sorted(set(boxes))
    assert all(y + height < above for (y, height), (above, _) in pairwise(levels))
    with pytest.raises(ValueError, match="steps"):
        figures.decision_path([], "check")


def test_maps_share_one_scale_around_zero():
    drawing = figures.feature_maps(np.array([[[1.0, -2.0]], [[0.5, 0.0]]]), ["one", "two"])
    limits = {image.get_clim() for axes in drawing.axes for image in axes.images}
    assert limits == {(-2.0, 2.0)}
    with pytest.raises(ValueError, match="images must be"):
        figures.feature_maps(np.zeros((3, 2, 2)), ["one", "two"])


def test_axes_side_by_side():
    assert len(figures.figure(columns=3)[1]) == 3
    for bad in (0, 1.5):
        with pytest.raises(ValueError, match="columns"):
            figures.figure(columns=bad)


def test_the_two_arms_differ_by_more_than_colour():
    _, axes = figures.figure()
    figures.plot_condition(
        axes, [1, 2], np.array([[1.0, 2.0], [3.0, 4.0]]), residual=True, label="one"
    )
    figures.plot_condition(
        axes, [1, 2], np.array([[0.0, 0.0], [2.0, 0.0]]), residual=False, label="other"
    )
    curves = [container.lines[0] for container in axes.containers]
    assert [c.get_linestyle() for c in curves] == ["-", "--"]
    assert [c.get_color() for c in curves] == [figures.RESIDUAL, figures.PLAIN]
    assert curves[0].get_ydata().tolist() == [2, 3]
    bars = axes.containers[1].lines[2][0].get_segments()
    assert [float(np.ptp(bar[:, 1])) for bar in bars] == pytest.approx([2 * 2**0.5, 0])


def test_two_drawings_share_no_ids_and_text_follows_the_page():
    def drawn(value):
        drawing, axes = figures.figure()
        axes.plot([0, value])
        axes.text(0, 0, "a word")
        return figures.svg(drawing, "the same words")

    one, other = drawn(1), drawn(2)
    ids = [set(re.findall(r'\bid="([^"]+)"', text)) for text in (one, other)]
    assert ids[0] and not ids[0] & ids[1]
    assert all(f"#{name}" not in other for name in ids[0])
    assert re.match(r"<svg [^>]*fill=\"currentColor\"", one)


def test_values_that_a_slider_could_not_tell_apart_are_refused(shown):
    with pytest.raises(ValueError, match="must not contain"):
        figures.slider("depth", [("1|2", *frame[1:]) for frame in frames()])


def test_a_way_that_forks_at_the_side_is_not_drawn_wrongly():
    gate = [
        Operation("gate", "sigmoid", ("x",)),
        Operation("c1", "conv", ("x",)),
        Operation("c2", "conv", ("c1",)),
        Operation("c3", "conv", ("c2",)),
        Operation("carried", "times", ("gate", "x")),
        Operation("sum", "+", ("carried", "c3")),
    ]
    with pytest.raises(ValueError, match="fork at the side"):
        figures.operation_graph(gate)
