"""Training figures: every line and label is where the data say; captions say what is shown."""

import itertools
import re
from dataclasses import replace

import matplotlib
import numpy as np
import pandas as pd
import pytest

from asymre.engines.local.pretraining import HELD_OUT, SAMPLES
from asymre.specs import Rewards
from paper import captions
from paper.configuration import reading
from paper.configuration.schema import OBJECTIVES
from paper.figures import (
    calibration,
    curves,
    diversity,
    first_cycle,
    mechanism,
    pass_rates,
    phase_diagram,
    regime_map,
)
from paper.figures.charts import CHARTS
from paper.figures.style import (
    CUT,
    MINUS,
    NOTE_LINES,
    add_note,
    label_ends,
    new_figure,
    save,
    sweep_colours,
    wrapped,
)
from paper.specs import CalibrationSpec, Candidate, Curve, FigureSpec, Look, PanelSpec, ShownRun
from scripts import choose_learning_rates
from tests.helpers import ROOT
from workflow.plan import build

DRAWN = {name: Look(entry.label, entry.colour) for name, entry in OBJECTIVES.items()}


def frame(title="Title", width=6.0, height=3.0, **fields):
    nothing = {"panels": (), "runs": (), "rewards": None, "smoothing_window": None, "columns": None}
    nothing["group_size"] = None
    size = {"title": title, "width": width, "height": height}
    return FigureSpec(chart="", note="", caption="", objectives=DRAWN, **size, **nothing | fields)


def shown(**fields):
    run = {"input": "i", "model": "m", "dataset": "d", "task": "t", "objective": "asymre", "delta_v": 0}
    return ShownRun(**run | {"N": 100, "refreshed": True, "seed": 0, "learning_rate": 1e-4} | fields)


def rows(values, *, delta_v=-0.1, objective="asymre", seed=0, control=False, **other):
    steps = np.arange(len(values)) * 50
    described = {
        "panel": 0,
        "panel_title": "Test accuracy",
        "measure": "test_accuracy",
        "draw": "mean",
        "control": control,
        "objective": objective,
        "delta_v": np.nan if objective == "grpo" else delta_v,
        "model": "A",
        "dataset": "D",
        "N": 1 if control else 100,
        "seed": seed,
        "collapse_step": np.nan,
    } | other
    return pd.DataFrame({"step": steps, "value": values, "smoothed": values}).assign(**described)


ROLLOUT_COLUMNS = ["panel", "control", "objective", "delta_v", "model", "dataset", "N", "seed"]


def rollouts(**described):
    table = pd.DataFrame({"step": [0, 100, 150], "rollout_accuracy": [0.4, 0.8, 0.8]})
    empty = {
        "panel": 0,
        "control": False,
        "objective": "asymre",
        "delta_v": -0.1,
        "model": "A",
        "dataset": "D",
    }
    return table.assign(**empty, N=100, seed=0).assign(**described)


def draw(*tables, steps=None):
    steps = [] if steps is None else [steps.assign(measure=curves.ROLLOUTS)]
    return curves.draw(pd.concat([*tables, *steps]), frame())


def lines(axis):
    return {line.get_label(): line for line in axis.get_lines() if not line.get_label().startswith("_")}


def at(delta_v):
    """The label of AsymRE at a delta_v in a legend."""
    return f"AsymRE, $\\delta V$ = {delta_v.replace('-', MINUS)}"


def legend(fig):
    return [text.get_text() for text in fig.legends[0].get_texts()]


def at_ends(axis):
    """The texts at the right ends of a panel's lines, from the highest to the lowest, with their colours."""
    texts = sorted(axis.texts, key=lambda text: -text.get_position()[1])
    return {text.get_text(): text.get_color() for text in texts}


def test_titles_and_notes_are_text_and_no_formulas(tmp_path):
    unclosed = "from 5 $ to {$"
    table = rows([0.2, 0.4, 0.6], panel_title=unclosed)
    fig = curves.draw(table, frame(unclosed))
    add_note(fig, unclosed)
    assert all(path.is_file() for path in save(fig, tmp_path, "figure"))


def test_every_run_is_drawn_thin_below_the_mean_over_seeds():
    fig = draw(rows([0.2, 0.4, 0.6]), rows([0.4, 0.8, 0.6], seed=1))
    (axis,) = fig.axes
    mean = lines(axis)[at("-0.1")]
    assert mean.get_ydata() == pytest.approx([0.3, 0.6, 0.6])
    thin = [line for line in axis.get_lines() if line.get_linewidth() < 1 and len(line.get_xdata()) == 3]
    assert [line.get_ydata().tolist() for line in thin] == [[0.2, 0.4, 0.6], [0.4, 0.8, 0.6]]
    assert all(axis.get_lines().index(line) < axis.get_lines().index(mean) for line in thin)


def test_the_end_of_a_line_says_the_mean_of_the_last_three_evaluations():
    fig = draw(
        rows([0.5, 0.6, 0.9, 0.9], objective="grpo"),
        rows([0.5, 0.1, 0.2, 0.6]),
        rows([0.5, 0.3, 0.2, 0.4], seed=1),
    )
    assert list(at_ends(fig.axes[0])) == ["0.80 GRPO", f"0.30 {at('-0.1')}"]
    assert list(at_ends(draw(rows([0.5, 0.1, 0.2, 0.6])).axes[0])) == ["0.30"]


def test_labels_at_ends_stand_apart_and_within_reach():
    fig = new_figure(frame())
    axis = fig.subplots()
    axis.set_ylim(-0.02, 1.02)
    label_ends(axis, [(0.0, "a", "k"), (0.0, "b", "k"), (0.0, "c", "k"), (1.0, "d", "k"), (0.99, "e", "k")])
    heights = sorted(text.get_position()[1] for text in axis.texts)
    assert all(b - a > 0.05 for a, b in zip(heights[:-1], heights[1:], strict=True))
    assert heights[0] == pytest.approx(0.02 / 1.04) and heights[-1] <= 1


def test_a_line_that_ends_in_nothing_has_no_text():
    """The entropy of runs that diverged."""
    fig = new_figure(frame())
    axis = fig.subplots()
    label_ends(axis, [(0.5, "a", "k"), (np.nan, "b", "k")])
    assert [text.get_text() for text in axis.texts] == ["a"]
    fig.draw_without_rendering()


@pytest.mark.parametrize("measure", ["test_accuracy", "train_accuracy", "entropy"])
def test_lines_at_zero_do_not_vanish_into_the_axis(measure):
    low, high = draw(rows([0.5, 0.0, 0.0], measure=measure), steps=rollouts()).axes[0].get_ylim()
    assert low == pytest.approx(-0.02 * high, rel=0.05)


def test_errors_are_drawn_on_a_logarithmic_axis():
    axis = draw(rows([0.5, 0.02, 0.0], measure="test_error", collapse_step=50.0)).axes[0]
    assert axis.get_yscale() == "log" and 0 < axis.get_ylim()[0] < 0.02
    assert crosses(axis) == [[50.0, 0.02]]


def test_the_legend_says_what_every_mark_means():
    """Refreshes, collapses and the rollouts' steps; what a panel does not have is not in the legend."""
    train = {"measure": "train_accuracy"}
    both = draw(
        rows([0.5, 0.1, 0.1, 0.1], collapse_step=50.0),
        rows([0.5, 0.1, 0.1, 0.1], panel=1, **train),
        steps=rollouts(panel=1),
    )
    assert {curves.COLLAPSED, curves.OF_ROLLOUTS, curves.REFRESHED} <= set(legend(both))
    assert legend(draw(rows([0.5, 0.6]))) == [at("-0.1")]


def test_refreshes_are_seen_and_no_grid_beside_them():
    axis = draw(rows([0.1] * 6)).axes[0]
    marked = [line for line in axis.get_lines() if len(set(line.get_xdata())) == 1]
    assert [line.get_xdata()[0] for line in marked] == [100, 200]
    assert all(line.get_color() == curves.REFRESH["color"] for line in marked)
    assert not any(line.get_visible() for line in axis.get_xgridlines())


def test_unevenly_spaced_curves_begin_at_the_base_policy():
    """A moving average over them would let one base policy begin at another height in each run."""
    evaluation = pd.DataFrame(
        [
            {"step": step, "split": split, "temperature": t, "top_p": 1.0, "accuracy": a, "entropy": 0.1}
            for step, a in zip([0, 5, 50, 100], [0.4, 0.6, 0.9, 0.5], strict=True)
            for split, t in (("test", 0.1), ("train", 1.0))
        ]
    )
    panels = (PanelSpec("t", "test_accuracy", "mean", (Curve(shown(), False),)),)
    data = curves.table(frame(panels=panels, smoothing_window=3), lambda *_: evaluation)
    assert data["smoothed"].tolist() == data["value"].tolist() == [0.4, 0.6, 0.9, 0.5]


def test_models_data_sets_and_N_are_never_mixed():
    for name, value, label in (("model", "B", "B"), ("dataset", "E", "E"), ("N", 20, "N = 20")):
        first, second = rows([0.1, 0.1, 0.1]), rows([0.9, 0.9, 0.9], **{name: value})
        drawn = lines(draw(first, second).axes[0])
        mine = drawn[f"{at('-0.1')}, {label}"]
        assert mine.get_ydata() == pytest.approx([0.9] * 3)
        (other,) = [line for line in drawn.values() if line is not mine]
        assert other.get_ydata() == pytest.approx([0.1] * 3)
        assert other.get_linestyle() != mine.get_linestyle()


def test_every_run_by_itself_in_a_panel_of_runs():
    fig = draw(rows([0.1, 0.2], draw="runs"), rows([0.3, 0.4], draw="runs", seed=1))
    drawn = [line.get_ydata().tolist() for line in fig.axes[0].get_lines()]
    assert [0.1, 0.2] in drawn and [0.3, 0.4] in drawn
    assert list(lines(fig.axes[0])) == [at("-0.1")]


def test_colours_labels_and_controls():
    tables = [rows([0.5, 0.1], delta_v=0.0), rows([0.5, 0.0], delta_v=0.2)]
    tables += [rows([0.5, 0.8], delta_v=0.0, control=True)]
    drawn = lines(draw(*tables).axes[0])
    critical = f"{at('0')} (critical)"
    assert set(drawn) == {critical, at("+0.2"), f"{at('0')}, N = 1"}
    assert drawn[critical].get_color() == drawn[f"{at('0')}, N = 1"].get_color() == "#000000"
    assert drawn[critical].get_linewidth() > drawn[f"{at('0')}, N = 1"].get_linewidth()
    fig = draw(*tables, rows([0.5, 0.9], objective="grpo"))
    assert at_ends(fig.axes[0])["0.70 GRPO"] == DRAWN["grpo"].colour
    assert legend(fig) == [f"{at('0')}, N = 1"]


def test_an_objective_at_one_delta_v_is_named_without_it():
    """Panels at different delta_v show it in the same colour, and would repeat it in the legend."""
    fig = draw(rows([0.5, 0.6], objective="asymre_kl"), rows([0.5, 0.6], objective="asymre_kl", panel=1))
    assert legend(fig) == [DRAWN["asymre_kl"].label]


def test_a_sweep_over_delta_v_has_its_colours_whatever_the_objective():
    tables = [rows([0.5, 0.6], objective="asymre_tapered", delta_v=value) for value in (-0.1, 0.0)]
    found = [line.get_color() for line in lines(draw(*tables).axes[0]).values()]
    assert found == list(sweep_colours([-0.1, 0.0]).values())


# How far apart colours are in CIELAB, with full colour vision and with each kind of dichromacy (Machado et
# al. 2009, severity 1); 2 is just noticeable.
APART, SHADES_APART = 25, 15
SEEN = {
    "trichromat": np.eye(3),
    "deuteranope": [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
    "protanope": [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
}


def cielab(colour, seen):
    rgb = np.array(matplotlib.colors.to_rgb(colour))
    linear = np.clip(
        np.array(seen) @ np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4), 0, 1
    )
    to_xyz = np.array([[0.4125, 0.3576, 0.1804], [0.2127, 0.7152, 0.0722], [0.0193, 0.1192, 0.9503]])
    xyz = to_xyz @ linear / [0.9505, 1, 1.0888]
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("seen", SEEN)
def test_colours_are_told_apart_by_the_colour_blind(seen):
    def least(colours):
        points = [cielab(colour, SEEN[seen]) for colour in colours]
        return min(np.linalg.norm(a - b) for a, b in itertools.combinations(points, 2))

    sweep = sweep_colours([-0.5, -0.3, -0.2, -0.1, 0, 0.1, 0.2, 0.3])
    assert least(sweep.values()) > SHADES_APART
    assert least([*colours_of_curves(), sweep[-0.1], sweep[0]]) > APART


def colours_of_curves():
    """The own colours of the objectives that a published figure draws as curves. Ablations are rows of H."""
    figures = reading.load(ROOT).figures.values()
    panels = [panel for figure in figures if figure.chart == "curves" for panel in figure.panels]
    shown = {objective for panel in panels for sweep in panel.runs for objective in sweep.objective}
    assert {"grpo", "asymre_tapered", "topr"} <= shown
    return [DRAWN[objective].colour for objective in sorted(shown) if DRAWN[objective].colour]


def crosses(axis):
    return [line.get_xydata()[0].tolist() for line in axis.get_lines() if line.get_marker() == "x"]


def test_a_cross_stands_at_the_step_of_collapse_of_each_run():
    fig = draw(rows([0.5, 0.1, 0.1], collapse_step=50.0), rows([0.5, 0.6, 0.1], seed=1))
    assert crosses(fig.axes[0]) == [[50.0, 0.1]]
    assert crosses(draw(rows([0.5, 0.1, 0.1], collapse_step=50.0, measure="entropy")).axes[0]) == []


def test_accuracy_of_the_rollouts_is_a_step_line_of_the_same_runs():
    train = {"measure": "train_accuracy"}
    steps = pd.concat(
        [rollouts(), rollouts(seed=1).assign(rollout_accuracy=[0.2, 0.4, 0.4]), rollouts(delta_v=0.2)]
    )
    fig = draw(rows([0.1, 0.2], **train), rows([0.3, 0.4], seed=1, **train), steps=steps)
    (line,) = [line for line in fig.axes[0].get_lines() if line.get_drawstyle() == "steps-post"]
    assert line.get_xdata().tolist() == [0, 100, 150]
    assert line.get_ydata() == pytest.approx([0.3, 0.6, 0.6])


def test_the_same_figure_gives_the_same_bytes(tmp_path):
    for folder in (tmp_path / "a", tmp_path / "b"):
        folder.mkdir()
        fig = draw(rows([0.2, 0.4, 0.6]))
        add_note(fig, "A caption.")
        save(fig, folder, "figure")
    for name in ("figure.pdf", "figure.png"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_a_users_matplotlibrc_changes_nothing(tmp_path):
    theirs = {"font.size": 20, "axes.facecolor": "red", "savefig.bbox": "tight", "lines.linewidth": 9}
    for folder, settings in (("ours", {}), ("theirs", theirs)):
        (tmp_path / folder).mkdir()
        with matplotlib.rc_context(settings):
            fig = draw(rows([0.2, 0.4, 0.6]))
            add_note(fig, "A caption.")
            save(fig, tmp_path / folder, "figure")
    for name in ("figure.pdf", "figure.png"):
        assert (tmp_path / "ours" / name).read_bytes() == (tmp_path / "theirs" / name).read_bytes()


def test_an_objective_at_several_delta_v_beside_others_has_a_shade_for_each():
    tables = [rows([0.5, 0.1], objective="asymre_kl", delta_v=v) for v in (-0.2, -0.1, 0.0)]
    colours = set(at_ends(draw(*tables, rows([0.5, 0.9], objective="grpo")).axes[0]).values())
    assert len(colours) == 4 and {DRAWN["asymre_kl"].colour, DRAWN["grpo"].colour} <= colours


@pytest.fixture(scope="module")
def cpu():
    return reading.load(ROOT)


def texts(c, name):
    return captions.training_texts(c, name, c.figures[name])


def test_caption_says_what_is_shown(cpu):
    text = texts(cpu, "figure_3")["caption"]
    for part in (
        "tiny Llama (for Llama 8B): stand-in Llama decoder of 88,256 parameters, trained here from scratch",
        "sums (for MATH): stand-in sums of 3 numbers",
        "Rewards +1 and -1",
        "N = 100 (the paper: 250)",
        "AdamW at 0.0002 (asymre), each by the calibration's rule",
        "Seeds: 0, 1, 2.",
        "Thick: mean over seeds; thin: runs.",
        "Curves are not smoothed.",
    ):
        assert part in text, part
    assert "Not run at this scale" not in text and "Dashed" not in text


def test_caption_of_a_moving_average():
    text = texts(reading.load(ROOT, {"scale": "gpu"}), "figure_3")["caption"]
    assert "Moving average over 3 evaluation points, centred; the ends as measured." in text


def test_a_caption_begins_with_title_and_note(cpu):
    for name in ("figure_3", "figure_A", "figure_F"):
        own = texts(cpu, name)
        assert own["caption"].startswith(f"{own['title']}. {own['note']} ")


def test_caption_of_panels_with_different_seeds_and_controls(cpu):
    own = texts(cpu, "figure_5")
    assert "Seeds, panel by panel: 0, 1, 2, 3, 4, 5, 6; 0, 1, 2; 0, 1, 2." in own["caption"]
    assert "Dashed, not in the paper: controls at N = 1, mean over seeds 0, 1." in own["note"]


def test_note_says_what_the_scale_leaves_out_of_this_figure(cpu):
    assert "Not run at this scale: δV -0.3, -0.2, 0.2, 0.3 and seeds 2." in texts(cpu, "figure_9")["note"]
    smaller = cpu.figures["figure_9"].runs[0].model_copy(update={"delta_v": [-0.1, 0.3], "seeds": [0]})
    figure = cpu.figures["figure_9"].model_copy(update={"runs": [smaller]})
    note = captions.training_texts(cpu, "figure_9", figure)["note"]
    assert "Not run at this scale: δV 0.3. " in note


def test_a_note_of_many_words_is_cut_at_two_lines():
    lines = wrapped("many words " * 100, 9)
    assert len(lines) == NOTE_LINES == 2 and lines[-1].endswith(CUT)


SCALES = sorted(path.stem for path in (ROOT / "config/scale").glob("*.yaml"))


@pytest.mark.parametrize("scale", SCALES)
def test_texts_of_every_scale(scale):
    """Notes are whole in two lines; nobody has to know the configuration's keys; stand-ins are called so."""
    plan = build(ROOT, reading.load(ROOT, {"scale": scale}))
    c = plan.configuration
    names = [c.models[model] for model in c.stand_ins] + [c.datasets[d] for d in c.tasks if c.stand_ins]
    assert all("(for " in name for name in names)
    for name, artefact in plan.figures.items():
        spec = artefact.params
        assert not any(CUT in line for line in wrapped(spec["note"], spec["width"])), name
        titles = [spec["title"], *(panel["title"] for panel in spec["panels"])]
        for text in [*titles, spec["note"], spec["caption"]]:
            assert "delta_v" not in text and "{" not in text, f"{name}: {text}"
        if c.stand_ins:
            real = ("Llama", "Qwen", "MATH", "NuminaMath")
            said = re.sub(r"tiny (Llama|Qwen) |\(for [^)]*\)", "", " ".join(titles))
            assert not any(word in said for word in real), f"{name}: {said}"


def test_another_name_of_a_model_trains_nothing():
    def others(models):
        plan = build(ROOT, reading.load(ROOT, {"scale": "smoke", "results": "mine", "models": models}))
        return {a.path for a in plan.graph.artefacts.values() if a.kind not in ("figure", "claims")}

    assert others({}) == others({"llama-8b": "Another"})


def test_phase_diagram_shows_shares_and_means():
    """N = never stands last; the largest delta_v on top."""
    rows = [
        {"delta_v": 0.0, "N": 1.0, "final_accuracy": 1.0, "collapse_step": np.nan},
        {"delta_v": 0.0, "N": np.inf, "final_accuracy": 0.2, "collapse_step": 20.0},
        {"delta_v": 0.0, "N": np.inf, "final_accuracy": 0.4, "collapse_step": np.nan},
        {"delta_v": -0.1, "N": 1.0, "final_accuracy": 0.9, "collapse_step": np.nan},
        {"delta_v": -0.1, "N": np.inf, "final_accuracy": 0.7, "collapse_step": np.nan},
    ]
    figure = phase_diagram.draw(pd.DataFrame(rows), frame())
    collapsed, accuracy = figure.axes[:2]
    assert [label.get_text() for label in collapsed.get_xticklabels()] == ["1", "never"]
    assert [label.get_text() for label in collapsed.get_yticklabels()] == ["0", f"{MINUS}0.1"]
    assert [text.get_text() for text in collapsed.texts] == ["0.00", "0.50", "0.00", "0.00"]
    assert [text.get_text() for text in accuracy.texts] == ["1.00", "0.30", "0.90", "0.70"]


def test_pass_rates_are_shares_of_the_problems_of_each_model():
    rates = {"llama": [0, 0, 0.5, 1], "qwen": [0.25, 0.25, 0.25, 0.25]}
    rows = [
        {"problem": f"{i}", "pass_rate": p, "model": m, "dataset": d}
        for d in ("math", "numina")
        for m, ps in rates.items()
        for i, p in enumerate(ps)
    ]
    figure = pass_rates.draw(pd.DataFrame(rows), frame(width=9))
    assert [axis.get_title() for axis in figure.axes] == ["math", "numina"]
    named = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert named == ["llama, mean 0.38", "qwen, mean 0.25"]
    highest = sorted(line.get_ydata().max() for line in figure.axes[0].get_lines())
    assert highest == pytest.approx([0.5, 1.0])


def test_regime_map_shows_early_and_late_means_and_marks_collapse():
    rows = [
        {"model": "m", "dataset": d, "objective": o, "delta_v": v, "learning_rate": rate, "seed": seed}
        | {"first_cycle": early, "final_accuracy": late, "collapse_step": step}
        for d in ("even", "uneven")
        for o, v, rate, early, late, step in [
            ("asymre", -0.1, 1e-4, 0.5, 0.9, np.nan),
            ("asymre", 0.0, 1e-4, 0.3, 0.2, 20.0),
            ("grpo", None, 1e-4, 0.4, 0.8, np.nan),
        ]
        for seed in (0, 1)
    ]
    figure = regime_map.draw(pd.DataFrame(rows), frame(width=12))
    lowest = f"end; lowest below 0: {MINUS}0.1 in 1 of 1"
    assert [axis.get_title() for axis in figure.axes[:4]] == [
        f"{d}\n{when}" for d in ("even", "uneven") for when in ("first cycle", lowest)
    ]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["0", f"{MINUS}0.1", "GRPO"]
    assert [text.get_text() for text in figure.axes[0].texts] == ["0.30", "0.50", "0.40"]
    assert [text.get_text() for text in figure.axes[1].texts] == ["0.20 ×", "0.90", "0.80"]


def test_regime_map_measures_the_first_cycle_and_the_end():
    steps = [0, 50, 100, 150, 200]
    evaluation = pd.DataFrame(
        [
            {"step": step, "split": split, "temperature": t, "top_p": 1.0, "accuracy": a, "entropy": 0.1}
            for step, a in zip(steps, [0.0, 0.5, 1.0, 0.6, 0.8], strict=True)
            for split, t in (("test", 0.1), ("train", 1.0))
        ]
    )
    (row,) = regime_map.table(frame(runs=(shown(),)), lambda *_: evaluation).to_dict("records")
    assert row["first_cycle"] == pytest.approx(0.5) and row["final_accuracy"] == pytest.approx(0.8)
    assert np.isnan(row["collapse_step"])


def of_mechanism(objective="asymre", delta_v=-0.1, rate=2e-4, model="m", dataset="d", **values):
    """Rows of figure H at steps 0 and 50, the end of a cycle; values by quantity."""
    described = {"model": model, "dataset": dataset, "objective": objective, "delta_v": delta_v}
    described |= {"learning_rate": rate}
    errors = dict.fromkeys(mechanism.ERROR_COLOURS, 0.0) | {"ten too high": 0.25}
    quantities = {"kl_behaviour": 0.3, "effective_samples": 0.5, "final_accuracy": 0.8} | errors | values
    return [
        described | {"N": 50, "seed": 0, "step": step, "quantity": name, "value": value}
        for name, value in quantities.items()
        for step in ((0, 50) if name in errors else (50,))
    ]


def test_the_mechanism_shows_distances_objectives_and_errors():
    rows = [
        *of_mechanism(delta_v=-0.5, kl_behaviour=0.06),
        *of_mechanism(),
        *of_mechanism(delta_v=0.0, kl_behaviour=1.2, final_accuracy=0.2),
        *of_mechanism("asymre_tapered", delta_v=0.0, kl_behaviour=0.1, final_accuracy=0.9),
        *of_mechanism(rate=1e-4, kl_behaviour=0.2, final_accuracy=0.1),
        *of_mechanism(model="other", kl_behaviour=0.4, final_accuracy=0.1),
        *of_mechanism(dataset="more", kl_behaviour=0.5, final_accuracy=0.1),
    ]
    spec = replace(frame(width=14, height=7), runs=(shown(learning_rate=2e-4),))
    looks = {name: DRAWN[name] for name in ("asymre", "asymre_tapered")}
    figure = mechanism.draw(pd.DataFrame(rows), replace(spec, objectives=looks))
    kl, samples, accuracy, *errors = figure.get_axes()
    drawn = {line.get_label(): line.get_ydata().tolist() for line in kl.get_lines()}
    assert drawn["at 1e-4"] == [0.2] and drawn["other"] == [0.4] and drawn["more"] == [0.5]
    # A line of 0.03 / |delta_v| through both values below 0.
    assert drawn["0.03 / |$\\delta V$|"] == pytest.approx([0.06, 0.3])
    assert kl.get_yscale() == "log" and samples.get_yscale() == "linear"
    # Runs of the first run's model and learning rate, at the delta_v of the other objectives.
    points = [xy for line in accuracy.get_lines() if line.get_marker() == "o" for xy in line.get_xydata()]
    assert sorted(x for x, _ in points) == pytest.approx([0.2, 0.9])
    assert [axis.get_title() for axis in errors] == [
        f"$\\delta V$ = {v}" for v in (f"{MINUS}0.5", f"{MINUS}0.1", "0")
    ]


def test_errors_are_told_apart_by_their_difference_from_the_right_answer():
    differences = [0, -1, -10, 10, 3, np.nan, 0, 1]
    train = {"split": "train", "temperature": 1.0, "step": 0, "differences": differences}
    diverged = train | {"step": 50, "differences": None}
    test = train | {"split": "test", "temperature": 0.1, "differences": [10]}
    found = mechanism.errors(pd.DataFrame([train, diverged, test]))
    assert {kind: share for step, kind, share in found if step == 0} == {
        "ten too low": 1 / 8,
        "ten too high": 1 / 8,
        "one too low": 1 / 8,
        "one too high": 1 / 8,
        "no number": 1 / 8,
        "another number": pytest.approx(1 / 8),
    }
    assert {kind: share for step, kind, share in found if step == 50}["no number"] == 1


def test_the_first_cycle_is_drawn_beside_the_theorem():
    """A converged cycle lies on the line; a run that diverged solves nothing."""
    before = [0.0, 0.03, 0.5, 1.0]
    rows = {0: [0.0, 0.03, 0.5, 1.0], 100: [0.0, 0.0882, 1.0, 1.0]}
    evaluation = pd.DataFrame({"step": [0, 100], "pass_rates": list(rows.values())})
    spec = frame(width=9, runs=(shown(delta_v=-1.0),), rewards=Rewards(1, -1))
    data = first_cycle.table(spec, lambda *_: evaluation)
    assert data["before"].tolist() == before and data["after"].tolist() == rows[100]
    figure = first_cycle.draw(data, spec)
    axis = figure.axes[0]
    drawn = [
        line for line in axis.get_lines() if line.get_label() != "_nolegend_" or line.get_marker() == "o"
    ]
    points, means, line, same = (
        dict(zip(*line.get_data(), strict=True)) for line in drawn if line.get_marker() not in ("|", "_")
    )
    assert same == {0: 0, 1: 1}
    assert points == dict(zip(before, rows[100], strict=True))
    assert line[0.5] == pytest.approx(1.0) and line[0.1] == pytest.approx(0.28)
    assert means[0.015] == pytest.approx(0.0441) and means[1.0] == 1.0
    evaluation.at[1, "pass_rates"] = None
    assert first_cycle.table(spec, lambda *_: evaluation)["after"].tolist() == [0] * 4


@pytest.mark.parametrize(
    "columns", [{"pass_rate": [0.5]}, {"task": ["a"], "problem": ["b"], "pass_rate": [1.5]}]
)
def test_pass_rates_of_another_form_are_refused(columns, tmp_path):
    pd.DataFrame(columns).to_parquet(tmp_path / "pass_rates.parquet")
    with pytest.raises(ValueError, match="must have the columns task, problem and pass_rate"):
        pass_rates.read_pass_rates(tmp_path / "pass_rates.parquet")


def test_the_caption_of_pass_rates_says_how_many_were_drawn():
    assert f"among {SAMPLES} samples" in CHARTS["pass_rates"].caption
    assert f"for {HELD_OUT} problems" in CHARTS["pass_rates"].caption


def test_diversity_shows_means_over_seeds_beside_the_base_policy():
    rows = [
        {"delta_v": v, "seed": seed, "step": step, "pass_at_1": p, "pass_at_2": p + 0.1}
        | {"distinct_correct": p, "entropy": e}
        for v, seed, step, p, e in [
            (-0.1, 0, 0, 0.5, 0.2),
            (-0.1, 0, 9, 0.8, 0.1),
            (-0.1, 1, 9, 0.6, 0.3),
            (0.0, 0, 9, 0.0, np.nan),  # diverged
        ]
    ]
    figure = diversity.draw(pd.DataFrame(rows), frame(width=9))
    lines = {line.get_label(): line.get_ydata().tolist() for line in figure.axes[0].get_lines()}
    assert lines["base policy"] == pytest.approx([0.5, 0.6])
    assert lines[f"$\\delta V$ = {MINUS}0.1"] == pytest.approx([0.7, 0.8])
    assert lines["$\\delta V$ = 0"] == pytest.approx([0.0, 0.1])
    points = [p for line in figure.axes[2].get_lines() if line.get_marker() == "o" for p in line.get_xydata()]
    assert [list(p) for p in points if np.isfinite(p).all()] == [pytest.approx([-0.1, 0.2])]
    bars = [line.get_ydata() for line in figure.axes[2].get_lines() if len(line.get_ydata()) == 2]
    assert any(list(bar) == pytest.approx([0.1, 0.3]) for bar in bars)


def test_calibration_shows_the_spread_of_seeds_and_a_tick_per_candidate(tmp_path):
    """The legend stands outside the panels, and between candidates no tick is labelled."""

    def accuracy(values):
        train = {"split": "train", "temperature": 1.0, "top_p": 1.0, "entropy": 0.1}
        return pd.DataFrame([train | {"step": i * 50, "accuracy": a} for i, a in enumerate(values)])

    inputs = {"a": [0.2, 0.4, 0.5], "b": [0.2, 0.6, 0.9], "c": [0.2, 0.3, 0.3]}
    runs = tuple(
        Candidate(*key) for key in [("a", -0.1, 1e-4, 0), ("b", -0.1, 1e-4, 1), ("c", -0.1, 2e-4, 0)]
    )
    for name, values in list(inputs.items()):
        (tmp_path / name).mkdir()
        accuracy(values).to_parquet(tmp_path / name / "evaluation.parquet")
        metrics = {"step": range(1, 101), "cycle": 0, "loss": 0.1, "rollout_reward": 0.1, "kl_behaviour": 0.3}
        metrics["gradient_norm"] = [2.0] * 25 + [0.5] * 75
        pd.DataFrame(metrics).to_parquet(tmp_path / name / "metrics.parquet")
        inputs[name] = inputs[f"{name}/training"] = tmp_path / name
    spec = CalibrationSpec("asymre", 50, 0.02, 1.0, applied=False, runs=runs)
    choose_learning_rates.make(spec, inputs, tmp_path)
    own = pd.read_csv(tmp_path / "calibration.csv")
    last = own[(own["step"] == 100) & own["chosen"]]
    assert last["accuracy"].tolist() == pytest.approx([0.5, 0.9])
    assert set(own["clipped"]) == {0.25} and set(own.loc[own["step"] > 0, "kl_behaviour"]) == {0.3}
    with pytest.raises(
        ValueError, match="the choice for asymre at delta_v = -0.1 lies at the edge of the grid"
    ):
        choose_learning_rates.make(replace(spec, applied=True), inputs, tmp_path)
    figure = calibration.draw(own.assign(objective="asymre"), frame(width=9, columns=2))
    axis = figure.axes[0]
    assert [label.get_text() for label in axis.get_xticklabels()] == ["1e-4", "2e-4"]
    assert not list(axis.xaxis.get_minor_locator()()) and axis.get_legend() is None
    ends = [bar.get_segments()[0][:, 1].tolist() for bar in axis.collections]
    assert pytest.approx([0.5, 0.9]) in ends
    assert legend(figure) == ["chosen", "base policy", "step 50", "step 100"]
