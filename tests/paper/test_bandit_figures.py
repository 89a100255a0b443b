"""Figures of bandit experiments: drawn, captioned, and saved whole and with the same bytes each time."""

from dataclasses import fields

import pytest

from asymre.bandit import experiments
from paper.figures import (
    bandit_entropy,
    bandit_improvement,
    bandit_limit,
    bandit_prompts,
    bandit_threshold,
    style,
)
from paper.specs import FigureSpec


@pytest.fixture(scope="module")
def limit_table():
    return experiments.limit(
        arms=20,
        reward_seed=43,
        instances=3,
        steps=200,
        learning_rate=1.0,
        baselines=[-0.5, 0.0, 0.3, 0.9],
        support_threshold=1e-3,
        sampled_batch=32,
        sampled_seeds=[0, 1],
    )


@pytest.fixture(scope="module")
def improvement_table():
    return experiments.improvement(
        arms=20,
        reward_seed=43,
        instances=3,
        baselines=[0.0, 0.4, 0.54],
        iterations=10,
        steps=50,
        learning_rate=1.0,
    )


def look(width, height, title):
    """A figure of a size; its chart reads nothing else of it."""
    others = dict.fromkeys(field.name for field in fields(FigureSpec))
    return FigureSpec(**others | {"width": width, "height": height, "title": title})


PLOTS = {
    "limit": (bandit_limit, "limit_table"),
    "entropy": (bandit_entropy, "limit_table"),
    "improvement": (bandit_improvement, "improvement_table"),
    "threshold": (bandit_threshold, "threshold_table"),
    "prompts": (bandit_prompts, "prompts_table"),
}


@pytest.mark.parametrize(
    "name", ["entropy", *(pytest.param(n, marks=pytest.mark.slow) for n in PLOTS if n != "entropy")]
)
def test_figures_save_the_same_bytes_twice(name, request, tmp_path):
    chart, table = PLOTS[name]
    saved = []
    for folder in ("first", "second"):
        (tmp_path / folder).mkdir()
        fig = chart.draw(request.getfixturevalue(table), look(7.0, 3.5, "A title"))
        style.add_note(fig, "A note of several words. " * 12)
        saved.append([p.read_bytes() for p in style.save(fig, tmp_path / folder, name)])
    assert saved[0] == saved[1]
    assert saved[0][0].startswith(b"%PDF")
    assert saved[0][1].startswith(b"\x89PNG")
    assert len(list((tmp_path / "first").iterdir())) == 2


def test_a_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
    with style.styled():
        fig = style.new_figure(look(2, 2, ""))
    pdf, _ = style.save(fig, tmp_path, "x")
    before = pdf.read_bytes()

    def fail(path, **_):
        path.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(fig, "savefig", fail)
    with pytest.raises(OSError, match="disk full"):
        style.save(fig, tmp_path, "x")
    assert pdf.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x.pdf", "x.png"]


def test_a_new_figure_replaces_the_file_at_once(tmp_path):
    with style.styled():
        first, second = (
            style.new_figure(look(2, 2, "first")),
            style.new_figure(look(2, 2, "second")),
        )
    pdf, _ = style.save(first, tmp_path, "x")
    before = pdf.read_bytes()
    with pdf.open("rb") as reader:
        style.save(second, tmp_path, "x")
        assert reader.read() == before
    assert pdf.read_bytes() != before


def test_note_is_below_all_axes_and_inside_the_figure():
    with style.styled():
        fig = style.new_figure(look(5, 3, "Title"))
        fig.subplots().set_xlabel("x")
    text = "Wide words WWW everywhere and many of them, too. " * 3
    style.add_note(fig, text)
    fig.draw_without_rendering()
    note = fig.texts[-1].get_window_extent()
    width, height = fig.bbox.size
    assert note.x0 >= 0 and note.x1 <= width and note.y0 >= 0
    assert note.y1 < fig.axes[0].get_tightbbox().y0
    assert height > 3 * fig.dpi
    assert " ".join(fig.texts[-1].get_text().split()) == text.strip()


def test_sweep_colours_are_blue_black_and_red():
    colours = style.sweep_colours([-0.5, -0.1, 0, 0.1, 0.3])
    rgb = {v: [int(c[i : i + 2], 16) for i in (1, 3, 5)] for v, c in colours.items()}
    assert rgb[0] == [0, 0, 0]
    assert all(rgb[v][2] > rgb[v][0] for v in (-0.5, -0.1))
    assert all(rgb[v][0] > rgb[v][2] for v in (0.1, 0.3))
    assert sum(rgb[-0.5]) > sum(rgb[-0.1]) and sum(rgb[0.3]) < sum(rgb[0.1])
    # The value that the paper recommends has the strongest blue, alone as among others.
    assert style.sweep_colours([-0.1])[-0.1] == colours[-0.1]


def test_figure_1_spreads_what_lies_close_to_v_mu(limit_table):
    fig = bandit_limit.draw(limit_table, look(7.0, 3.5, "A title"))
    assert {axis.get_xscale() for axis in fig.axes} == {"symlog"}
    demo = limit_table[(limit_table.instance == 0) & (limit_table.curve == "simulated")]
    line = next(line for line in fig.axes[0].get_lines() if line.get_label() == "expected gradient")
    assert line.get_xdata() == pytest.approx(demo.baseline - demo.v_mu)


def test_figure_2_names_its_lines_where_they_end(improvement_table):
    for axis in bandit_improvement.draw(improvement_table, look(7.0, 3.5, "A title")).axes:
        assert len(axis.texts) == len(axis.get_legend().get_texts()) == 3


def test_figure_D_is_log_log_and_has_the_entropy_of_the_first_cycle(prompts_table):
    prompts, means, entropy = bandit_prompts.draw(prompts_table, look(9.0, 3.5, "A title")).axes
    assert prompts.get_xscale() == prompts.get_yscale() == "log"
    values = sorted(prompts_table.delta_v.unique())
    assert len(means.get_lines()) == len(entropy.get_lines()) == len(values)
    first = prompts_table[prompts_table.cycle <= 1].groupby(["delta_v", "step"]).entropy.mean()
    for value, line in zip(values, entropy.get_lines(), strict=True):
        assert line.get_ydata() == pytest.approx(first[value].to_numpy())
