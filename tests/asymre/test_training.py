"""The off-policy loop: fused and split runs, the behaviour policy, what a step does."""

import math
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from asymre.engines.local import rollouts as rollouts_module
from asymre.engines.local.decoder import forward
from asymre.engines.local.engine import LocalEngine, token_log_probs
from asymre.engines.local.policy import load_policy, save_policy
from asymre.engines.local.rollouts import problem_arrays, sample_rollouts, sampler
from asymre.engines.local.tokenizer import END_ID, VOCABULARY_SIZE, decode, generated_mask
from asymre.training.loop import train, train_cycle
from asymre.training.rollouts import Rollouts, problem_order, read_rollouts, write_rollouts
from asymre.training.snapshots import is_finite
from tests.specs import ROLLOUTS, training

GROUP, BATCH = ROLLOUTS.group_size, ROLLOUTS.batch


def parameters(N=3, until=8, objective="asymre", **settings):
    return training(objective, N=N, until=until, settings={"delta_v": -0.1, "clip": 0.2} | settings)


@pytest.fixture(autouse=True)
def easy_verifier(monkeypatch):
    """Call about half of the completions right: a random policy never solves a problem."""
    monkeypatch.setattr(rollouts_module, "verify", lambda task, tokens_RT, *_: tokens_RT[:, 0] % 2 == 0)


@pytest.fixture
def recorded(monkeypatch):
    """What a run samples, with a copy of the policy that it was sampled from."""
    recorded = []

    def recording(weights, *arguments, **keywords):
        rollouts = sample_rollouts(weights, *arguments, **keywords)
        policy = {name: weight.detach().clone() for name, weight in weights.items()}
        recorded.append((policy, rollouts))
        return rollouts

    monkeypatch.setattr(rollouts_module, "sample_rollouts", recording)
    return recorded


def run(weights, architecture, problems, spec):
    """The engine and the metrics of a run from its base policy on."""
    engine = LocalEngine(architecture, weights, 0.01, GROUP)
    sample = sampler(engine.policy, architecture, problems, spec)
    first = sample(0, min(spec.N, spec.until))
    return engine, list(train(engine, spec, first, sample))


def no_rollouts(step, steps):
    raise AssertionError("sampled")


def write(path, rollouts):
    texts = decode(rollouts.tokens.numpy())
    verdicts = ["right" if reward > 0 else "wrong" for reward in rollouts.reward.tolist()]
    truncated = [False] * len(texts)
    write_rollouts(path, rollouts, GROUP, verdicts=verdicts, truncated=truncated, texts=texts)


def read(path, rows):
    sizes = {"vocabulary_size": VOCABULARY_SIZE, "width": ROLLOUTS.max_new_tokens, "padding": END_ID}
    return read_rollouts([path], rows=rows, problems=1000, **sizes)


def assert_same(tensors, others):
    """Equal to the last bit, types included."""
    assert set(tensors) == set(others)
    for name, tensor in tensors.items():
        assert tensor.dtype == others[name].dtype and torch.equal(tensor, others[name]), name


def bits(rows):
    """Metrics as comparable text, to the last bit; NaN equals NaN."""
    return [{k: float(v).hex() for k, v in row.items()} for row in rows]


@pytest.mark.parametrize("objective", ["asymre", "grpo"])
def test_fused_equals_split_bit_for_bit(weights, architecture, problems, tmp_path, objective):
    """Three cycles in one process, or one at a time with everything through files in between."""
    spec = parameters(N=3, until=8, objective=objective)
    base = tmp_path / "base"
    save_policy(base, architecture, weights)
    fused, fused_metrics = run(load_policy(base)[1], architecture, problems, spec)
    save_policy(tmp_path / "fused", architecture, fused.policy())
    fused.save_optimiser(tmp_path / "fused" / "optimiser.safetensors")

    folder, metrics = base, []
    for first, until in ((0, 3), (3, 6), (6, 8)):  # the last cycle is shorter
        _, loaded = load_policy(folder)
        part = {"seed": 0, "first_step": first, "steps": until - first}
        sampled = sample_rollouts(loaded, architecture, problem_arrays(problems), ROLLOUTS, **part)
        write(tmp_path / "rollouts.parquet", sampled)
        stored = read(tmp_path / "rollouts.parquet", (until - first) * BATCH)
        assert_same(vars(stored), vars(sampled))
        engine = LocalEngine(architecture, loaded, 0.01, GROUP)
        if first:
            engine.load_optimiser(folder / "optimiser.safetensors")
        own = replace(spec, first_step=first, until=until)
        metrics += train(engine, own, stored, no_rollouts)
        folder = tmp_path / f"policy_{until}"
        save_policy(folder, architecture, engine.policy())
        engine.save_optimiser(folder / "optimiser.safetensors")

    assert [row["step"] for row in metrics] == list(range(1, 9))
    assert [row["cycle"] for row in metrics] == [0, 0, 0, 1, 1, 1, 2, 2]
    assert bits(metrics) == bits(fused_metrics)
    for name in ("model.safetensors", "optimiser.safetensors"):
        assert_same(load_file(folder / name), load_file(tmp_path / "fused" / name))
        assert (tmp_path / "fused" / name).read_bytes() == (folder / name).read_bytes()
    changed = [not torch.equal(fused.weights[name], weights[name]) for name in weights]
    assert all(changed)


def test_given_rollouts_serve_the_first_cycle_alone(weights, architecture, problems, recorded):
    spec = parameters(N=2, until=4)
    expected_engine, expected = run(weights, architecture, problems, spec)
    (_, first), _ = recorded
    recorded.clear()
    engine = LocalEngine(architecture, weights, 0.01, GROUP)
    metrics = train(engine, spec, first, sampler(engine.policy, architecture, problems, spec))
    assert bits(metrics) == bits(expected)
    assert_same(engine.policy(), expected_engine.policy())
    assert len(recorded) == 1  # the second cycle was sampled again


def test_behaviour_policy_is_that_of_cycle_start(weights, architecture, problems, recorded):
    """The ratio is 1 on each cycle's first step and only there; log mu can be recomputed."""
    _, metrics = run(weights, architecture, problems, parameters(N=3, until=9))
    for row in metrics:
        first = row["step"] % 3 == 1
        assert (abs(row["ratio_max"] - 1) < 1e-5) == first, row["step"]
        assert (abs(row["kl_behaviour"]) < 1e-5) == first
    assert len(recorded) == 3
    all_prompts, _ = rollouts_module.problem_arrays(problems)
    for policy, rollouts in recorded:
        prompts = all_prompts[rollouts.problem_id[::GROUP]]
        recomputed, _ = token_log_probs(policy, architecture, prompts, rollouts.tokens)
        mask = generated_mask(rollouts.tokens)
        torch.testing.assert_close(rollouts.log_probs, recomputed * mask, rtol=0, atol=1e-5)


def test_metrics_by_hand(weights, architecture, problems, recorded):
    """The metrics of the second step of a cycle, from the rollouts and one plain forward pass."""
    engine, spec = LocalEngine(architecture, weights, 0.01, GROUP), parameters(N=2, until=2)
    sample = sampler(engine.policy, architecture, problems, spec)
    steps = train(engine, spec, sample(0, 2), sample)
    next(steps)
    after_one = {name: weight.clone() for name, weight in engine.policy().items()}
    metrics = next(steps)
    ((_, rollouts),) = recorded
    rows = slice(BATCH, 2 * BATCH)
    prompts = rollouts_module.problem_arrays(problems)[0][rollouts.problem_id[rows]]
    tokens, mask = rollouts.tokens[rows], generated_mask(rollouts.tokens[rows])
    log_probs, entropies = plain_log_probs(after_one, architecture, prompts, tokens)
    right = rollouts.reward[rows] == 1
    ratio = (log_probs - rollouts.log_probs[rows])[mask].exp()
    weights = ((log_probs - rollouts.log_probs[rows]) * mask).sum(1).exp()
    expected = {
        "rollout_reward": rollouts.reward[rows].mean(),
        "entropy": entropies[mask].mean(),
        "log_prob_positive": (log_probs * mask).sum(1)[right].mean(),
        "log_prob_negative": (log_probs * mask).sum(1)[~right].mean(),
        "kl_behaviour": -ratio.log().mean(),
        "ratio_mean": ratio.mean(),
        "ratio_max": ratio.max(),
        "ratio_outside_clip": ((ratio > 1.2) | (ratio < 0.8)).float().mean(),
        "effective_samples": weights.sum().square() / weights.square().sum() / BATCH,
        "length": mask.sum() / BATCH,
    }
    assert set(metrics) == set(expected) | {"step", "cycle", "loss", "gradient_norm"}
    for name, value in expected.items():
        assert metrics[name] == pytest.approx(value.item(), abs=1e-5), name
    assert metrics["ratio_outside_clip"] > 0


def plain_log_probs(weights, architecture, prompts_BL, tokens_BT):
    """Log-probabilities and entropies [B, T] from a forward pass over whole sequences."""
    logits, _ = forward(weights, architecture, torch.cat([prompts_BL, tokens_BT], dim=1))
    distribution = torch.distributions.Categorical(logits=logits[:, prompts_BL.shape[1] - 1 : -1])
    return distribution.log_prob(tokens_BT), distribution.entropy()


def test_token_log_probs_equal_a_plain_forward(any_architecture, make_weights, problems, prompts):
    tokens_BT = torch.randint(15, (10 * GROUP, 6), generator=torch.Generator().manual_seed(0))
    weights = make_weights(any_architecture)
    actual = token_log_probs(weights, any_architecture, prompts, tokens_BT)
    repeated = prompts.repeat_interleave(GROUP, dim=0)
    expected = plain_log_probs(weights, any_architecture, repeated, tokens_BT)
    for ours, plain in zip(actual, expected, strict=True):
        torch.testing.assert_close(ours, plain, rtol=0, atol=1e-5)


@pytest.mark.parametrize("size", [1, 7, 10])
def test_problem_order(size):
    """Any cut of it into cycles gives one sequence, in which each epoch holds each problem once."""
    whole = problem_order(seed=3, first=0, count=60, problems=size).tolist()
    for N in (1, 3, 20, 60):
        cuts = [problem_order(seed=3, first=i, count=N, problems=size) for i in range(0, 60, N)]
        assert [p for cut in cuts for p in cut] == whole
    epochs = [whole[i : i + size] for i in range(0, 60 - size + 1, size)]
    assert all(sorted(epoch) == list(range(size)) for epoch in epochs)
    if size > 1:
        assert len({tuple(epoch) for epoch in epochs}) > 1
        assert whole != problem_order(seed=4, first=0, count=60, problems=size).tolist()


def test_problems_come_in_one_order_whatever_N(weights, architecture, problems, recorded):
    seen = {}
    for N in (1, 4, 5):
        recorded.clear()
        run(weights, architecture, problems, parameters(N=N, until=5))
        seen[N] = torch.cat([r.problem_id for _, r in recorded]).tolist()
    assert seen[1] == seen[4] == seen[5]
    assert sorted(seen[1][::GROUP]) == list(range(10))  # 5 steps of 2 prompts: one epoch
    assert all(len(set(seen[1][i : i + GROUP])) == 1 for i in range(0, len(seen[1]), GROUP))


def test_first_rollouts_do_not_depend_on_delta_v(weights, architecture, problems, recorded):
    for delta_v in (-0.5, 0.1):
        run(weights, architecture, problems, parameters(N=2, until=4, delta_v=delta_v))
    (_, first), (_, second), (_, other_first), (_, other_second) = recorded
    assert_same(vars(first), vars(other_first))
    assert torch.equal(second.problem_id, other_second.problem_id)
    assert not torch.equal(second.tokens, other_second.tokens)
    assert not torch.equal(first.tokens, second.tokens)


def fixed_batch(problems):
    """Two prompts with four completions of known tokens each: two right ones, two wrong ones."""
    e = END_ID
    tokens = [[1, 2, e, e], [3, 4, 5, e], [6, e, e, e], [7, 8, 9, 0]] * 2
    problem_id = torch.tensor([0] * 4 + [1] * 4)
    prompts = rollouts_module.problem_arrays(problems)[0][problem_id]
    return Rollouts(
        problem_id=problem_id,
        prompts=prompts,
        prompt_lengths=torch.full((BATCH,), prompts.shape[1]),
        tokens=torch.tensor(tokens),
        lengths=torch.tensor([3, 4, 2, 4] * 2),
        log_probs=torch.zeros(BATCH, 4),
        reward=torch.tensor([1.0, -1.0, -1.0, 1.0] * 2),
    )


def one_step(weights, architecture, params, rollouts, engine=None):
    engine = engine or LocalEngine(architecture, weights, 0.002, GROUP)
    (metrics,) = train_cycle(engine, rollouts, params, first_step=0)
    return engine, metrics


def test_right_answers_become_likelier_and_wrong_ones_unlikelier(weights, architecture, problems):
    params, batch = parameters(delta_v=0.0), fixed_batch(problems)
    engine, positive, negative = LocalEngine(architecture, weights, 0.002, GROUP), [], []
    for _ in range(6):
        _, metrics = one_step(weights, architecture, params, batch, engine)
        positive.append(metrics["log_prob_positive"])
        negative.append(metrics["log_prob_negative"])
    assert positive == sorted(positive) and positive[-1] > positive[0] + 0.3
    assert negative == sorted(negative, reverse=True) and negative[-1] < negative[0] - 0.3


@pytest.mark.parametrize("delta_v,sign", [(-5.0, 1), (5.0, -1)])
def test_delta_v_moves_all_completions(weights, architecture, problems, delta_v, sign):
    """Far below zero every completion becomes likelier, far above zero unlikelier."""
    params, batch = parameters(delta_v=delta_v), fixed_batch(problems)
    engine, before = one_step(weights, architecture, params, batch)
    _, after = one_step(weights, architecture, params, batch, engine)
    for name in ("log_prob_positive", "log_prob_negative"):
        assert sign * (after[name] - before[name]) > 0.05


def step_with_gradients(weights, architecture, params, rollouts):
    """The clipped gradients that the optimiser's step used, and the metrics."""
    engine = LocalEngine(architecture, weights, 0.002, GROUP)
    engine._forget_gradients = lambda: None
    _, metrics = one_step(weights, architecture, params, rollouts, engine)
    return {name: weight.grad.clone() for name, weight in engine.weights.items()}, metrics


@pytest.mark.parametrize("objective", ["grpo", "asymre"])
def test_gradient_at_ratio_1_is_that_of_reinforce(weights, architecture, problems, objective):
    """Against -sum A log pi(y|x) / B written down plainly, without the cache."""
    batch = fixed_batch(problems)
    prompts = rollouts_module.problem_arrays(problems)[0][batch.problem_id]
    mask = generated_mask(batch.tokens)
    log_probs, _ = plain_log_probs(weights, architecture, prompts, batch.tokens)
    batch = Rollouts(**vars(batch) | {"log_probs": log_probs * mask})
    params = replace(parameters(objective=objective, delta_v=-0.3), gradient_clip=math.inf)
    gradients, metrics = step_with_gradients(weights, architecture, params, batch)
    # Rewards +1, -1, -1, +1: mean 0, unbiased standard deviation sqrt(4 / 3).
    advantage = batch.reward / math.sqrt(4 / 3) if objective == "grpo" else batch.reward + 0.3

    plain = {name: weight.clone().requires_grad_() for name, weight in weights.items()}
    log_probs, _ = plain_log_probs(plain, architecture, prompts, batch.tokens)
    (-(advantage * (log_probs * mask).sum(1)).sum() / BATCH).backward()
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, plain[name].grad, rtol=2e-4, atol=1e-5)
    norm = math.sqrt(sum(weight.grad.square().sum().item() for weight in plain.values()))
    assert metrics["gradient_norm"] == pytest.approx(norm, rel=1e-3)


def test_gradient_is_clipped_and_padding_has_none(weights, architecture, problems):
    batch = fixed_batch(problems)
    gradients, metrics = step_with_gradients(weights, architecture, parameters(), batch)
    clipped = math.sqrt(sum(g.square().sum().item() for g in gradients.values()))
    assert metrics["gradient_norm"] > 2 and clipped == pytest.approx(1, rel=1e-4)
    # Padding after the end is never generated: other tokens there change nothing.
    batch.tokens[2, 2:] = torch.tensor([3, 4])
    others, other_metrics = step_with_gradients(weights, architecture, parameters(), batch)
    assert other_metrics["loss"] == pytest.approx(metrics["loss"], abs=1e-5)
    for name, gradient in others.items():
        torch.testing.assert_close(gradient, gradients[name], rtol=1e-4, atol=1e-5)


def test_optimiser_of_other_weights_is_refused(weights, architecture, problems, tmp_path):
    engine, _ = run(weights, architecture, problems, parameters(until=1))
    engine.save_optimiser(tmp_path / "optimiser.safetensors")
    fewer = {name: weight for name, weight in weights.items() if name != "model.norm.weight"}
    with pytest.raises(ValueError, match="belong"):
        LocalEngine(architecture, fewer, 0.01, GROUP).load_optimiser(tmp_path / "optimiser.safetensors")


@pytest.mark.parametrize("objective", ["asymre", "asymre_tis", "asymre_kl"])
def test_a_step_that_is_not_finite_ends_the_run_and_leaves_the_weights(
    weights, architecture, problems, objective
):
    params = parameters(until=6, objective=objective, delta_v=math.inf, truncation=1.0, beta=0.1)
    engine, metrics = run(weights, architecture, problems, params)
    assert len(metrics) == 1 and not is_finite(metrics[0])
    assert_same(engine.policy(), weights)


def test_rollouts_of_a_behaviour_policy_that_is_never_refreshed(weights, architecture, problems):
    """Two steps of rollouts serve five steps, in an order of their own each epoch, group by group."""
    first = sample_rollouts(
        weights, architecture, problem_arrays(problems), ROLLOUTS, seed=0, first_step=0, steps=2
    )
    used = []

    class Recording(LocalEngine):
        def log_probs(self, rollouts, rows):
            used.append(rollouts.tokens[rows])
            return super().log_probs(rollouts, rows)

    spec = replace(parameters(N=2, until=5), refreshed=False)
    engine = Recording(architecture, weights, 0.01, GROUP)
    metrics = list(train(engine, spec, first, no_rollouts))
    assert [row["cycle"] for row in metrics] == [0, 0, 1, 1, 2]
    epochs = [torch.cat(used[start : start + 2]) for start in (0, 2)]
    assert torch.equal(epochs[0], first.tokens)
    groups = [sorted(group.flatten().tolist() for group in epoch.split(GROUP)) for epoch in epochs]
    assert groups[0] == groups[1]
    assert not torch.equal(epochs[0], epochs[1])
    # From the middle on, as a job of its own: the same order.
    again = Recording(architecture, engine.policy(), 0.01, GROUP)
    used.clear()
    list(train(again, replace(spec, first_step=2, until=4), first, no_rollouts))
    assert torch.equal(torch.cat(used), epochs[1])
