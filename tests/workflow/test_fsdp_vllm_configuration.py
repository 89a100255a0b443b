"""What a configuration of engine fsdp_vllm may say, and what of it is in which ids."""

import json
import shutil
from dataclasses import replace

import pytest

from paper.configuration import reading
from paper.configuration.runs import runs_of
from tests.helpers import ONE_GPU_RUN, ROOT
from workflow import fsdp_vllm_graph
from workflow.builder import Builder
from workflow.plan import build
from workflow.project import PROJECT

DATE = "05 Feb 2001"
KINDS = ("problems", "base_policy", "rollouts", "cycles", "snapshot_evaluation")


def test_the_day_of_the_prompts_is_in_the_ids_of_what_reads_them():
    def ids(**data):
        c = reading.load(ROOT, {"scale": "gpu", "results": "mine", "data": {"math": data}})
        builder = Builder(c, replace(PROJECT, root=ROOT))
        fsdp_vllm_graph.evaluation(builder, runs_of(c, "figure_3", c.figures["figure_3"].runs[0])[0])
        made = builder.graph.artefacts.values()
        return {kind: {a.id for a in made if a.kind == kind} for kind in KINDS}

    before, after = ids(), ids(prompt_date=DATE)
    assert before["problems"] == after["problems"] and before["base_policy"] == after["base_policy"]
    for kind in ("rollouts", "cycles", "snapshot_evaluation"):
        assert before[kind] and before[kind].isdisjoint(after[kind])


def message(scale: str, **overlay) -> str:
    with pytest.raises(reading.ConfigurationError) as error:
        reading.load(ROOT, {"scale": scale, "results": "mine", **overlay})
    return str(error.value)


@pytest.mark.parametrize(
    ("scale", "overlay", "words"),
    [
        ("cpu", {"engine": "fsdp_vllm"}, "fsdp_vllm: engine fsdp_vllm needs this section"),
        (
            "rehearsal",
            {"engine": "local"},
            "fsdp_vllm: belongs to engine fsdp_vllm; this scale has engine: local",
        ),
        (
            "rehearsal",
            {"training": {"cycles_per_job": 2}},
            "training.cycles_per_job: belongs to engine local",
        ),
        ("rehearsal", {"problems": None}, "problems: this section is missing"),
        ("rehearsal", {"stand_ins": {"qwen-3b": {"heads": 4}}}, "hidden_size / heads is 16; vLLM on a CPU"),
        ("gpu", {"fsdp_vllm": {"proceses": 8}}, "fsdp_vllm.proceses: unknown key; did you mean 'processes'?"),
        ("gpu", {"pretrained": {"llama-8b": {"revision": "main"}}}, "pretrained.llama-8b.revision: must be"),
        ("gpu", {"pretrained": {"llama-8b": {"folder": "x"}}}, "give one of hub, folder"),
        ("gpu", {"pretrained": {"llama-9b": {"folder": "x"}}}, "pretrained.llama-9b"),
        ("gpu", {"data": {"math": {"format": "numina"}}}, "format numina names source and held_out"),
        ("gpu", {"data": {"math": {"test": {"revision": None}}}}, "hub and revision belong together"),
    ],
)
def test_bad_configurations_of_engine_fsdp_vllm_are_refused(scale, overlay, words):
    assert words in message(scale, **overlay)


def test_a_stand_in_cannot_run_on_real_data():
    gpu = reading.load(ROOT, {"scale": "gpu"})
    data = {"math-real": gpu.data["math"].model_dump()}
    run = {"model": "llama-8b", "dataset": "math-real", "objective": "grpo", "N": 250, "seeds": 0}
    figure = {
        "title": "t",
        "known": "k",
        "panels": [{"title": "t", "measure": "test_accuracy"}],
        "runs": [run],
    }
    text = message("rehearsal", datasets={"math-real": "MATH"}, data=data, figures={"figure_14": figure})
    assert "figures.figure_14.runs.0: 'llama-8b' cannot run on 'math-real'" in text


def test_a_local_folder_is_known_by_its_content(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model").mkdir()
    own = {"llama-8b": {"hub": None, "revision": None, "folder": "model"}}
    c = reading.load(ROOT, ONE_GPU_RUN | {"pretrained": own})

    def ids():
        return {a.id for a in build(ROOT, c).graph.artefacts.values() if a.slug == "llama-8b"}

    (tmp_path / "model/config.json").write_text(json.dumps({}))
    before = ids()
    (tmp_path / "model/config.json").write_text(json.dumps({"changed": 1}))
    assert before and before.isdisjoint(ids())
    shutil.rmtree(tmp_path / "model")
    with pytest.raises(
        ValueError, match="pretrained.llama-8b.folder: there is no folder with files at 'model'"
    ):
        build(ROOT, c)


@pytest.mark.parametrize(
    ("overlay", "words"),
    [
        ({"data": {"math": {"prompt": "Solve."}}}, "data.math.prompt: must hold {problem}"),
        ({"data": {"math": {"prompt_date": "1 July 2024"}}}, "data.math.prompt_date: must be a day as chat"),
        ({"data": {"math": {"prompt_date": "01 Jul 0024"}}}, "data.math.prompt_date: must be a day as chat"),
        ({"data": {"numinamath": {"overlap": "keep"}}}, "data.numinamath: overlap belongs to other formats"),
        ({"data": {"math": {"overlap": "maybe"}}}, "data.math.overlap: "),
        ({"evaluation": {"test_problems": 501}}, "evaluation.test_problems: data.math has 500 such problems"),
    ],
)
def test_settings_that_would_give_other_problems_in_silence_are_refused(overlay, words):
    assert words in message("gpu", **overlay)


def test_one_gpu_is_planned_with_the_figures_that_it_has():
    c = reading.load(ROOT, {"scale": "one_gpu"})
    assert "figure_9" not in c.figures, "null takes a figure of the paper away"
    plan = build(ROOT, c)
    default = [
        name for name in plan.graph.default if name not in ("claims", *(f"figure_{n}" for n in (1, 2, 6, 7)))
    ]
    assert default == ["figure_3", "figure_5", "figure_8"]
    models = {run.model for name in default for run in plan.figure_runs[name]}
    assert models == {"qwen-0.5b"}, "the gated model is for figures that are asked for"
    assert "not chosen by the calibration's rule" in plan.figures["figure_3"].params["caption"]
    assert "Qwen/Qwen2.5-0.5B-Instruct at 7ae55760" in plan.figures["calibration"].params["caption"]


def test_options_of_vllm_are_in_no_id():
    def ids(**vllm):
        c = reading.load(ROOT, {"scale": "one_gpu", "results": "mine", "fsdp_vllm": {"vllm": vllm}})
        return set(build(ROOT, c).graph.artefacts)

    assert ids() == ids(gpu_memory_utilization=0.5, max_num_seqs=8, enforce_eager=True)
    assert "fsdp_vllm.vllm.gpu_memory_utilization: must be" in message(
        "gpu", fsdp_vllm={"vllm": {"gpu_memory_utilization": 2}}
    )
