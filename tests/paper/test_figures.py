"""Training figures: every line and label is where the data say; captions say what is shown."""

import matplotlib
import numpy as np
import pandas as pd
import pytest

from asymre.engines.local.pretraining import HELD_OUT, SAMPLES
from asymre.specs import Rewards
from paper import captions
from paper.configuration import reading
from paper.configuration.schema import OBJECTIVES
from paper.figures import curves, diversity, first_cycle, pass_rates, phase_diagram, regime_map
from paper.figures.charts import CHARTS
from paper.figures.style import add_caption, save
from paper.specs import FigureSpec, Look, ShownRun
from tests.helpers import ROOT

DRAWN = {name: Look(entry.label, entry.colour) for name, entry in OBJECTIVES.items()}


def frame(title="Title", width=6.0, height=3.0, **fields):
    nothing = {"panels": (), "runs": (), "rewards": None, "smoothing_window": None, "columns": None}
    size = {"title": title, "width": width, "height": height}
    return FigureSpec(chart="", caption="", objectives=DRAWN, **size, **nothing | fields)


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


def test_titles_and_captions_are_text_and_no_formulas(tmp_path):
    unclosed = "from 5 $ to {$"
    table = rows([0.2, 0.4, 0.6], panel_title=unclosed)
    fig = curves.draw(table, frame(unclosed))
    add_caption(fig, unclosed)
    assert all(path.is_file() for path in save(fig, tmp_path, "figure"))


def test_mean_and_band_over_seeds():
    fig = draw(rows([0.2, 0.4, 0.6]), rows([0.4, 0.8, 0.6], seed=1))
    (axis,) = fig.axes
    assert lines(axis)["AsymRE -0.1"].get_ydata() == pytest.approx([0.3, 0.6, 0.6])
    low, high = (axis.collections[0].get_datalim(axis.transData).intervaly for _ in range(2))
    assert low[0] == pytest.approx(0.2) and high[1] == pytest.approx(0.8)


def test_models_data_sets_and_N_are_never_mixed():
    for name, value, label in (("model", "B", "B"), ("dataset", "E", "E"), ("N", 20, "N = 20")):
        first, second = rows([0.1, 0.1, 0.1]), rows([0.9, 0.9, 0.9], **{name: value})
        drawn = lines(draw(first, second).axes[0])
        mine = drawn[f"AsymRE -0.1, {label}"]
        assert mine.get_ydata() == pytest.approx([0.9] * 3)
        (other,) = [line for line in drawn.values() if line is not mine]
        assert other.get_ydata() == pytest.approx([0.1] * 3)
        assert other.get_linestyle() != mine.get_linestyle()


def test_every_run_by_itself_in_a_panel_of_runs():
    fig = draw(rows([0.1, 0.2], draw="runs"), rows([0.3, 0.4], draw="runs", seed=1))
    drawn = [line.get_ydata().tolist() for line in fig.axes[0].get_lines()]
    assert [0.1, 0.2] in drawn and [0.3, 0.4] in drawn
    assert list(lines(fig.axes[0])) == ["AsymRE -0.1"]


def test_colours_labels_and_controls():
    fig = draw(
        rows([0.5, 0.1], delta_v=0.0),
        rows([0.5, 0.0], delta_v=0.2),
        rows([0.5, 0.9], objective="grpo"),
        rows([0.5, 0.8], delta_v=0.0, control=True),
    )
    drawn = lines(fig.axes[0])
    assert set(drawn) == {"AsymRE 0 (critical)", "AsymRE +0.2", "GRPO", "AsymRE 0, N = 1"}
    assert drawn["AsymRE 0 (critical)"].get_color() == drawn["AsymRE 0, N = 1"].get_color() == "#000000"
    assert drawn["AsymRE 0 (critical)"].get_linewidth() > drawn["AsymRE 0, N = 1"].get_linewidth()


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
        add_caption(fig, "A caption.")
        save(fig, folder, "figure")
    for name in ("figure.pdf", "figure.png"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_a_users_matplotlibrc_changes_nothing(tmp_path):
    theirs = {"font.size": 20, "axes.facecolor": "red", "savefig.bbox": "tight", "lines.linewidth": 9}
    for folder, settings in (("ours", {}), ("theirs", theirs)):
        (tmp_path / folder).mkdir()
        with matplotlib.rc_context(settings):
            fig = draw(rows([0.2, 0.4, 0.6]))
            add_caption(fig, "A caption.")
            save(fig, tmp_path / folder, "figure")
    for name in ("figure.pdf", "figure.png"):
        assert (tmp_path / "ours" / name).read_bytes() == (tmp_path / "theirs" / name).read_bytes()


def test_an_objective_at_several_delta_v_has_a_shade_for_each():
    fig = draw(*(rows([0.5, 0.1], objective="asymre_kl", delta_v=v) for v in (-0.2, -0.1, 0.0)))
    colours = [line.get_color() for line in lines(fig.axes[0]).values()]
    assert len(set(colours)) == 3 and DRAWN["asymre_kl"].colour in colours


@pytest.fixture(scope="module")
def cpu():
    return reading.load(ROOT)


def caption(c, name):
    return captions.training_caption(c, name, c.figures[name])


def test_caption_says_what_is_shown(cpu):
    text = caption(cpu, "figure_3")
    for part in (
        "Llama-3.1-8B-Instruct: stand-in Llama decoder of 88,256 parameters, trained here from scratch",
        "MATH: stand-in sums of 3 numbers",
        "Rewards +1 and -1",
        "N = 100 (the paper: 250)",
        "AdamW at 0.0002 (asymre), each by the calibration's rule",
        "Seeds: 0, 1, 2.",
        "bands: minimum to maximum",
        "Moving average over 3 evaluation points",
    ):
        assert part in text, part
    assert "Not run at this scale" not in text and "Thin dashed" not in text


def test_caption_of_panels_with_different_seeds_and_controls(cpu):
    text = caption(cpu, "figure_5")
    assert "Seeds, panel by panel: 0, 1, 2, 3, 4, 5, 6; 0, 1, 2; 0, 1, 2." in text
    assert "Thin dashed lines, not in the paper: controls at N = 1, mean over seeds 0, 1." in text


def test_caption_says_what_the_scale_leaves_out_of_this_figure(cpu):
    assert "Not run at this scale: delta_v -0.3, -0.2, 0.2, 0.3 and seeds 2." in caption(cpu, "figure_9")
    smaller = cpu.figures["figure_9"].runs[0].model_copy(update={"delta_v": [-0.1, 0.3], "seeds": [0]})
    figure = cpu.figures["figure_9"].model_copy(update={"runs": [smaller]})
    assert "Not run at this scale: delta_v 0.3. " in captions.training_caption(cpu, "figure_9", figure)


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
    assert [label.get_text() for label in collapsed.get_yticklabels()] == ["0", "-0.1"]
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
    assert [axis.get_title() for axis in figure.axes] == [
        f"{d}: mean llama 0.38, qwen 0.25" for d in ("math", "numina")
    ]
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
    assert [axis.get_title() for axis in figure.axes[:4]] == [
        f"{d}: {when}" for d in ("even", "uneven") for when in ("first cycle", "end")
    ]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["0", "-0.1", "grpo"]
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


def test_the_first_cycle_is_drawn_beside_the_theorem():
    """A converged cycle lies on the line; a run that diverged solves nothing."""
    before = [0.0, 0.03, 0.5, 1.0]
    rows = {0: [0.0, 0.03, 0.5, 1.0], 100: [0.0, 0.0882, 1.0, 1.0]}
    evaluation = pd.DataFrame({"step": [0, 100], "pass_rates": list(rows.values())})
    spec = frame(width=9, runs=(shown(delta_v=-1.0),), rewards=Rewards(1, -1))
    data = first_cycle.table(spec, lambda *_: evaluation)
    assert data["before"].tolist() == before and data["after"].tolist() == rows[100]
    figure = first_cycle.draw(data, spec)
    points, means, line = (dict(zip(*drawn.get_data(), strict=True)) for drawn in figure.axes[0].get_lines())
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
    assert lines["$\\delta_v$ = -0.1"] == pytest.approx([0.7, 0.8])
    assert lines["$\\delta_v$ = 0"] == pytest.approx([0.0, 0.1])
    points = [p for line in figure.axes[2].get_lines() if line.get_marker() == "o" for p in line.get_xydata()]
    assert [list(p) for p in points if np.isfinite(p).all()] == [pytest.approx([-0.1, 0.2])]
    bars = [line.get_ydata() for line in figure.axes[2].get_lines() if len(line.get_ydata()) == 2]
    assert any(list(bar) == pytest.approx([0.1, 0.3]) for bar in bars)
