"""Pretrained Llama and Qwen2 models in engine local, beside transformers, with random weights."""

import json
import re
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from asymre.datasets.problems import generate_problems, write_problems
from asymre.engines.local import checkpoint
from asymre.engines.local.decoder import behind, layout, products
from asymre.engines.local.device import find_device
from asymre.engines.local.engine import LocalEngine, token_log_probs
from asymre.engines.local.policy import load_policy, open_policy, save_policy
from asymre.engines.local.pretrained import convert
from asymre.engines.local.rollouts import problem_arrays, sample_rollouts
from asymre.engines.local.sampling import sample, shared_prefix
from asymre.engines.local.tokenizer import PADDING, generated_mask, load_tokenizer
from asymre.seeding import numpy_stream, torch_stream
from asymre.specs import (
    EvaluatedTrainingSpec,
    EvaluationSpec,
    PassRatesSpec,
    Rewards,
    RolloutSpec,
    Sampling,
    TrainingSpec,
)
from asymre.tasks.few_shot import FewShot
from asymre.training.rollouts import FILE, write_rollouts
from store import job
from store.artefact import identify
from tests.checkpoints import LENGTHS, STATED, TASK, save_model, save_tokenizer
from tests.helpers import module_of


@pytest.fixture
def source(tmp_path):
    save_model(tmp_path / "source")
    return tmp_path / "source"


@pytest.fixture
def policy(source, tmp_path):
    """A policy folder with float32 products."""
    (tmp_path / "policy").mkdir()
    convert(source, tmp_path / "policy", "float32")
    return tmp_path / "policy"


def drawn_prompts(tokenizer, count=6):
    return tokenizer.prompts([text for text, _ in TASK.draw(count, "train", numpy_stream("prompts"))])


@pytest.mark.parametrize(
    "family,settings",
    [
        ("llama", {}),
        ("qwen2", {}),
        ("qwen3", {"head_dim": 16}),
        ("qwen3", {"head_dim": 8}),
        ("llama", {"head_dim": 4}),
        ("llama", {"tie_word_embeddings": False}),
    ],
)
def test_logits_are_those_of_transformers(tmp_path, family, settings):
    from asymre.engines.local.decoder import forward

    model = save_model(tmp_path / "source", family, **settings)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith(("bias", "norm.weight")):
                parameter.normal_()
    model.save_pretrained(tmp_path / "source", max_shard_size="30KB")
    (tmp_path / "policy").mkdir()
    convert(tmp_path / "source", tmp_path / "policy", "float32")
    architecture, weights = load_policy(tmp_path / "policy")
    assert (architecture.family, architecture.rope_theta) == (family, 1e5)
    tokens_BT = torch.randint(0, 256, (3, 20), generator=torch_stream("tokens"))
    stated = {"head_dim": None if settings.get("head_dim") == 8 else settings.get("head_dim")}
    checkpoint.check(tmp_path / "source", stated, **LENGTHS)
    with torch.no_grad():
        ours, theirs = forward(weights, architecture, tokens_BT)[0], model(tokens_BT).logits
    assert theirs.std() > 0.5
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


def test_prompts_of_several_lengths_behind_one_prefix(policy):
    """Log-probabilities and gradients are those of each sequence by itself, and so is what was sampled."""
    from asymre.engines.local.decoder import forward

    architecture, weights = load_policy(policy)
    tokenizer = load_tokenizer(policy, TASK.end)
    prompts_PL = drawn_prompts(tokenizer)
    assert len(set((prompts_PL != PADDING).sum(1).tolist())) > 1
    assert shared_prefix(prompts_PL) >= len(TASK.prefix) and shared_prefix(prompts_PL[:1]) == 0
    group, how = 4, {"max_new_tokens": 5, "temperature": 1.0, "top_p": 1.0}
    generator = torch_stream("sample")
    ends = torch.arange(80)
    drawn = sample(weights, architecture, prompts_PL, group_size=group, **how, generator=generator, ends=ends)
    mask_RT = generated_mask(drawn.tokens_RT, ends)
    assert len(set(mask_RT.sum(1).tolist())) > 1, "all completions have one length"

    together, apart = (
        {name: weight.clone().requires_grad_() for name, weight in weights.items()} for _ in range(2)
    )
    log_probs_RT, entropy_RT = token_log_probs(together, architecture, prompts_PL, drawn.tokens_RT)
    plain = []
    for row, tokens_T in enumerate(drawn.tokens_RT):
        prompt = prompts_PL[row // group]
        prompt = prompt[prompt != PADDING]
        logits, _ = forward(apart, architecture, torch.cat([prompt, tokens_T])[None])
        log_probs_TV = logits[0, len(prompt) - 1 : -1].log_softmax(-1)
        plain.append(log_probs_TV.gather(1, tokens_T[:, None])[:, 0])
    plain_RT = torch.stack(plain)
    close = partial(torch.testing.assert_close, atol=1e-5, rtol=1e-4)
    close(log_probs_RT[mask_RT], plain_RT[mask_RT])
    close(drawn.log_probs_RT[mask_RT], plain_RT[mask_RT].detach())
    close(drawn.entropy_RT[mask_RT], entropy_RT[mask_RT])
    log_probs_RT[mask_RT].sum().backward()
    plain_RT[mask_RT].sum().backward()
    for name, weight in apart.items():
        torch.testing.assert_close(together[name].grad, weight.grad, atol=1e-3, rtol=1e-3, msg=name)


def test_what_stands_behind_a_prefix_sees_it_and_itself_alone():
    lengths_P = torch.tensor([3, 2])
    own = behind(4, layout(3, branches=2, steps=1, lengths_P=lengths_P), 2)
    sees = own.mask[0, 0] == 0
    # The prefix, then for each of two prompts three slots, the last of the second padding, and two branches.
    assert own.positions.tolist() == [[0, 1, 2, 3, 4, 5, 6, 7, 7, 4, 5, 6, 6, 6]]
    seen = {row: set(np.flatnonzero(sees[row].numpy()).tolist()) for row in range(14)}
    assert seen[2] == {0, 1, 2}
    assert seen[6] == {0, 1, 2, 3, 4, 5, 6}
    assert seen[7] == {0, 1, 2, 3, 4, 5, 6, 7} and seen[8] == {0, 1, 2, 3, 4, 5, 6, 8}
    assert seen[10] == {0, 1, 2, 3, 9, 10}
    assert seen[12] == {0, 1, 2, 3, 9, 10, 12} and seen[13] == {0, 1, 2, 3, 9, 10, 13}


def test_products_in_bfloat16_have_float32_gradients(policy):
    architecture, weights = load_policy(policy)
    tokenizer = load_tokenizer(policy, TASK.end)
    prompts_PL = drawn_prompts(tokenizer)
    tokens_RT = torch.randint(0, 256, (12, 3), generator=torch_stream("tokens"))
    exact, _ = token_log_probs(weights, architecture, prompts_PL, tokens_RT)
    master = {name: weight.clone().requires_grad_() for name, weight in weights.items()}
    rounded, _ = token_log_probs(products(master, torch.bfloat16), architecture, prompts_PL, tokens_RT)
    assert rounded.dtype == torch.float32
    assert 1e-4 < (rounded - exact).abs().mean() < 0.1
    rounded.sum().backward()
    assert all(weight.grad.dtype == torch.float32 and weight.grad.any() for weight in master.values())


def test_ends_are_the_models_own_and_all_with_a_line_break(source):
    own = checkpoint.library(source)
    ends = {own.id_to_token(i) for i in checkpoint.end_tokens(source, "\n")}
    assert ends == {"Ċ", "ĊĊ", "<eos>"}


def test_the_head_of_a_chat_template_is_its_tokens_and_runs_once(policy):
    """A task may write a template's markers as text."""
    tokenizer = load_tokenizer(policy, "\n")
    head = "<eos>user\n"
    prompts_PL = tokenizer.prompts([f"{head}1+1=<eos>\n", f"{head}23+4=<eos>\n"])
    marker = checkpoint.library(policy).token_to_id("<eos>")
    assert (prompts_PL == marker).sum(1).tolist() == [2, 2] and marker in tokenizer.ends
    assert shared_prefix(prompts_PL) == len("user\n") + 1


def test_texts_end_with_the_first_end_token(policy):
    tokenizer = load_tokenizer(policy, "\n")
    rows = [tokenizer.prompts([text])[0] for text in (" 31\n5\n", " 7\n\n", " 12+3")]
    padded = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=int(tokenizer.ends[0]))
    assert tokenizer.texts(padded)[:2] == [" 31\n", " 7\n\n"]
    assert tokenizer.texts(rows[2][None]) == [" 12+3"]


def changed(folder: Path, **values) -> None:
    path = folder / "config.json"
    configuration = json.loads(path.read_text()) | values
    path.write_text(json.dumps({k: v for k, v in configuration.items() if v is not None}))


@pytest.mark.parametrize(
    "change,message",
    [
        (partial(changed, model_type="mistral"), "model_type 'mistral'"),
        (partial(changed, hidden_act="gelu"), "hidden_act 'gelu'"),
        (partial(changed, attention_bias=True), "attention_bias True"),
        (partial(changed, head_dim=16), "is not what config.json describes"),
        (partial(changed, head_dim=7), "head_dim 7, which is no even number"),
        (partial(changed, head_dim="8"), "head_dim '8', which is no even number"),
        (partial(changed, model_type="qwen3"), "has model_type qwen3, .*family says llama"),
        (partial(changed, rope_parameters={"rope_theta": 1e5, "rope_type": "llama3"}), "rope_type 'llama3'"),
        (partial(changed, rope_scaling={"type": "linear", "factor": 2.0}, rope_parameters=None), "'linear'"),
        (partial(changed, quantization_config={"bits": 4}), "quantization_config"),
        (partial(changed, num_hidden_layers=3), "layers 3.*says 2|num_hidden_layers 3.*says 2"),
        (partial(changed, rms_norm_eps=None), "lacks rms_norm_eps"),
        (partial(changed, intermediate_size=47), "weights are not quantised"),
        (partial(changed, max_position_embeddings=30), r"take up to \d+ tokens, the model's context has 30"),
        (lambda folder: [path.unlink() for path in folder.glob("*.safetensors")], "no weights"),
        (lambda folder: (folder / "tokenizer.json").unlink(), "no tokenizer.json"),
        (lambda folder: (folder / "config.json").unlink(), "no config.json"),
    ],
)
def test_what_the_decoder_does_not_compute_is_refused(source, change, message):
    assert checkpoint.check(source, STATED, **LENGTHS).layers == 2
    change(source)
    checkpoint.library.cache_clear()
    with pytest.raises(ValueError, match=message) as raised:
        checkpoint.check(source, STATED, **LENGTHS)
    assert str(source) in str(raised.value)


def test_a_tokenizer_without_an_end_is_refused(source):
    save_tokenizer(source, eos=None)
    changed(source, eos_token_id=None)
    checkpoint.library.cache_clear()
    with pytest.raises(ValueError, match="no token ends a completion"):
        checkpoint.check(source, STATED, **LENGTHS | {"end": "no such text"})


def test_a_device_that_is_not_there_is_refused():
    assert find_device("cpu") == torch.device("cpu")
    assert find_device("auto").type in ("cpu", "cuda", "mps")
    with pytest.raises(ValueError, match="torch sees no device 'tpu' here, only .*cpu"):
        find_device("tpu")


def test_an_open_policy_is_on_its_device_and_a_stand_in_on_the_cpu(
    policy, tmp_path, make_weights, architecture
):
    meta = torch.device("meta")
    found = open_policy(policy, "\n", meta)
    assert found.device == meta and all(weight.is_meta for weight in found.weights.values())
    assert found.behaviour().keys() == found.weights.keys() and found.dtype == torch.float32
    save_policy(tmp_path / "stand_in", architecture, make_weights(architecture))
    found = open_policy(tmp_path / "stand_in", ".", meta)
    assert found.device == torch.device("cpu") and not any(w.is_meta for w in found.weights.values())


def test_a_job_on_a_device_that_is_not_there_says_so_and_deletes_nothing(policy):
    script = module_of("scripts/rate_base_policy.py")
    settings = {"kinds": TASK.kinds, "examples": TASK.examples}
    spec = PassRatesSpec("sums", "few_shot", settings, max_new_tokens=4)
    with pytest.raises(job.InputError, match="^torch sees no device 'tpu' here, .*set local.device$"):
        script.make(spec, {"policy": policy}, policy, "tpu")


# --- the task ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "completion,answer,correct",
    [
        (" 31\n", 31, True),
        ("31\n", 31, True),
        (" 31\n\n", 31, True),
        (" 31\n7 + 5 = 32\n", 31, True),
        (" 031\n", 31, True),
        (" 0\n", 0, True),
        (" 31", 31, False),
        (" 31<eos>", 31, False),
        ("  31\n", 31, False),
        (" 31 \n", 31, False),
        (" 31.\n", 31, False),
        (" 31 or 32\n", 31, False),
        (" +31\n", 31, False),
        (" -31\n", 31, False),
        (" ٣١\n", 31, False),
        (" 3١\n", 31, False),
        ("\n31\n", 31, False),
        ("", 31, False),
        ("\n", 0, False),
        (" " + "0" * 5000 + "31\n", 31, False),
    ],
)
def test_an_answer_is_the_rest_of_the_line(completion, answer, correct):
    assert FewShot.is_correct(completion, answer) is correct


def test_problems_of_all_kinds_in_two_splits_without_the_examples():
    task = FewShot(kinds=["1+1", "2-1", "2*2"], examples=["7 + 5 = 12"])
    found = {split: dict(task.draw(3000, split, numpy_stream("draw", split))) for split in ("train", "test")}
    assert not found["train"].keys() & found["test"].keys()
    kinds = {"1+1": 0, "2-1": 0, "2*2": 0}
    for prompt, answer in (found["train"] | found["test"]).items():
        assert prompt.startswith("7 + 5 = 12\n")
        first, sign, second = re.fullmatch(r"7 \+ 5 = 12\n(\d+) ([-+*]) (\d+) =", prompt).groups()
        assert eval(first + sign + second) == answer >= 0
        kinds[f"{max(len(first), 1)}{sign}{len(second)}"] += 1
        assert not prompt.endswith("\n7 + 5 =")
    # All problems of one digit but the example, and hundreds of the others.
    assert kinds["1+1"] == 80 and kinds["2-1"] > 600 and kinds["2*2"] > 1500
    assert 0.1 < len(found["test"]) / (len(found["train"]) + len(found["test"])) < 0.4


# --- a run ---------------------------------------------------------------------------------------


class Killed(Exception):
    pass


@pytest.fixture
def run(policy, tmp_path):
    """A function that makes the whole run of a tiny policy, killed after its n-th cycle, if at all."""
    script = module_of("scripts/train_policy_pretrained.py")
    rollouts = RolloutSpec(2, 2, 4, Sampling(1.0, 1.0), Rewards(1.0, -1.0), "few_shot")
    settings = {"objective": "asymre", "settings": {"delta_v": -0.1}, "normalisation": "token_sum"}
    settings |= {"learning_rate": 1e-3, "gradient_clip": 1.0, "N": 2, "refreshed": True, "snapshot_every": 2}
    training = TrainingSpec(
        **settings, extra_snapshots=(1,), rollouts=rollouts, seed=0, first_step=0, until=6
    )
    evaluation = EvaluationSpec(
        2, 4, 4, 4, Sampling(0.1, 0.95), "few_shot", (("test", None), ("train", 1.0)), seed=0
    )
    spec = EvaluatedTrainingSpec(training, evaluation)
    for split in ("train", "test"):
        path = tmp_path / f"problems/{split}.parquet"
        path.parent.mkdir(exist_ok=True)
        write_problems(path, generate_problems(TASK, count=16, split=split, seed=0))
    architecture, weights = load_policy(policy)
    tokenizer = load_tokenizer(policy, "\n")
    problems = script.read_problems(tmp_path / "problems/train.parquet")
    sampled = sample_rollouts(
        weights,
        architecture,
        problem_arrays(problems, tokenizer),
        rollouts,
        seed=0,
        first_step=0,
        steps=2,
        tokenizer=tokenizer,
    )
    texts, count = tokenizer.texts(sampled.tokens), len(sampled.reward)
    (tmp_path / "rollouts").mkdir()
    columns = {"verdicts": ["wrong"] * count, "truncated": [False] * count, "texts": texts}
    write_rollouts(tmp_path / "rollouts" / FILE, sampled, 2, **columns)
    inputs = {name: tmp_path / name for name in ("policy", "problems", "rollouts")}
    named = {"kind": "training", "slug": "run", "params": {}, "code": {}, "packages": {}, "inputs": {}}

    def make(place: str, *, kill_after: int | None = None, damage: bool = False) -> dict[str, bytes]:
        output = tmp_path / place / "training" / identify(named)
        unfinished = job.Unfinished(output, named, {}, {})
        keep, kept = unfinished.keep, []

        def keep_or_die(write):
            keep(write)
            kept.append(1)
            if len(kept) == kill_after:
                raise Killed

        unfinished.keep = keep_or_die
        if damage:
            found = unfinished.load()
            (found / "model.safetensors").write_bytes(b"damaged")
        output.mkdir(parents=True, exist_ok=True)
        script.make(spec, inputs, output, "cpu", unfinished)
        return {path.name: path.read_bytes() for path in sorted(output.iterdir())}

    return make


def test_a_run_killed_after_any_cycle_goes_on_to_the_same_bytes(run, capsys):
    whole = run("whole")
    assert set(whole) == {"metrics.parquet", "evaluation.parquet"}
    for cycle in (1, 2):
        with pytest.raises(Killed):
            run(f"killed{cycle}", kill_after=cycle)
        capsys.readouterr()
        assert run(f"killed{cycle}") == whole
        steps = re.findall(r"step (\d+): test accuracy", capsys.readouterr().out)
        assert steps == [str(step) for step in range(2 * cycle + 2, 7, 2)]


def test_a_damaged_state_is_said_and_the_run_starts_again(run, capsys):
    whole = run("whole")
    with pytest.raises(Killed):
        run("damaged", kill_after=1)
    capsys.readouterr()
    assert run("damaged", damage=True) == whole
    out = capsys.readouterr().out
    assert "model.safetensors: truncated" in out and "starting again" in out and "step 0: test" in out


def test_an_evaluated_run_has_a_row_for_each_snapshot_and_sampling(run):
    import io

    import pyarrow.parquet as pq

    found = run("rows")
    rows = pq.read_table(io.BytesIO(found["evaluation.parquet"])).to_pylist()
    assert [(row["step"], row["split"]) for row in rows] == [
        (step, split) for step in (0, 1, 2, 4, 6) for split in ("test", "train")
    ]
    metrics = pq.read_table(io.BytesIO(found["metrics.parquet"])).to_pylist()
    assert [row["step"] for row in metrics] == [1, 2, 3, 4, 5, 6]
    assert metrics[0]["kl_behaviour"] == pytest.approx(0, abs=1e-5) and metrics[1]["kl_behaviour"] != 0


def test_a_step_is_the_same_on_padded_and_unpadded_prompts(policy):
    """The engine reads prompts from rollouts, which pad with any token, by their lengths."""
    architecture, weights = load_policy(policy)
    tokenizer = load_tokenizer(policy, "\n")
    problems = generate_problems(TASK, count=8, split="train", seed=0)
    rollouts = sample_rollouts(
        weights,
        architecture,
        problem_arrays(problems, tokenizer),
        RolloutSpec(4, 2, 4, Sampling(1.0, 1.0), Rewards(1.0, -1.0), "few_shot"),
        seed=0,
        first_step=0,
        steps=2,
        tokenizer=tokenizer,
    )
    engine = LocalEngine(architecture, weights, 1e-3, 2)
    rows = torch.arange(8)
    expected, _ = engine.log_probs(rollouts, rows)
    is_padding = torch.arange(rollouts.prompts.shape[1]) >= rollouts.prompt_lengths[:, None]
    assert is_padding.any()
    rollouts.prompts[is_padding] = 77
    found, _ = engine.log_probs(rollouts, rows)
    assert torch.equal(found, expected)
    mask = rollouts.mask[rows]
    torch.testing.assert_close(expected[mask], rollouts.log_probs[rows][mask], atol=1e-5, rtol=1e-4)
