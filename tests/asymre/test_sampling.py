"""Sampling against forward passes, frequencies, determinism; rollouts and their files."""

import math
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from scipy.stats import chisquare
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from asymre.engines.local import rollouts as rollouts_module
from asymre.engines.local.decoder import forward
from asymre.engines.local.rollouts import problem_arrays, sample_rollouts
from asymre.engines.local.sampling import Completions, choose, entropy, sample
from asymre.engines.local.tokenizer import END_ID, VOCABULARY_SIZE, decode, encode, generated_mask
from asymre.seeding import numpy_stream, torch_stream
from asymre.specs import Rewards
from asymre.training.rollouts import Rollouts, problem_order, read_rollouts, write_rollouts
from tests.specs import ROLLOUTS

DEFAULTS = {
    "group_size": 6,
    "max_new_tokens": 12,
    "temperature": 1.0,
    "top_p": 1.0,
    "rows_per_batch": 24,
}
GROUPS_OF_SIX = replace(ROLLOUTS, group_size=6, max_new_tokens=12, rewards=Rewards(correct=1, wrong=0))


def draw(weights, architecture, prompts_PL, seed=0, **changes):
    generator = torch.Generator().manual_seed(seed)
    settings = DEFAULTS | changes
    return sample(weights, architecture, prompts_PL, generator=generator, **settings)


def full_log_probs(weights, architecture, prompts_PL, tokens_RT):
    """Log-probabilities [R, T, V] of every next token from one forward pass without a cache."""
    prompts_RL = prompts_PL.repeat_interleave(len(tokens_RT) // len(prompts_PL), dim=0)
    logits, _ = forward(weights, architecture, torch.cat([prompts_RL, tokens_RT], dim=1))
    return logits[:, prompts_PL.shape[1] - 1 : -1].log_softmax(-1)


def first_token_counts(weights, architecture, prompt_1L, samples, **changes):
    settings = {"group_size": samples, "max_new_tokens": 1, "rows_per_batch": 5000} | changes
    drawn = draw(weights, architecture, prompt_1L, **settings)
    return np.bincount(drawn.tokens_RT[:, 0].numpy(), minlength=VOCABULARY_SIZE)


def first_token_probs(weights, architecture, prompt_1L, temperature):
    logits, _ = forward(weights, architecture, prompt_1L)
    return (logits[0, -1].double() / temperature).softmax(-1).numpy()


def nucleus(probs_V, top_p):
    """The smallest set of likeliest tokens that holds `top_p`, one token at a time."""
    kept, mass = set(), 0.0
    for token in np.argsort(-probs_V):
        if mass >= top_p:
            break
        kept.add(int(token))
        mass += probs_V[token]
    return kept


@pytest.mark.parametrize("temperature,top_p", [(1.0, 1.0), (0.7, 1.0), (0.1, 0.95)])
def test_log_probs_and_entropy_are_those_of_a_forward_pass(
    any_architecture, make_weights, prompts, temperature, top_p
):
    """Both belong to temperature 1 and the whole vocabulary, whatever was sampled with."""
    weights = make_weights(any_architecture)
    drawn = draw(weights, any_architecture, prompts, temperature=temperature, top_p=top_p)
    mask_RT = generated_mask(drawn.tokens_RT)
    log_probs_RTV = full_log_probs(weights, any_architecture, prompts, drawn.tokens_RT)
    chosen_RT = log_probs_RTV.gather(2, drawn.tokens_RT[:, :, None])[:, :, 0]
    torch.testing.assert_close(drawn.log_probs_RT, chosen_RT * mask_RT, rtol=0, atol=1e-5)
    entropy_RT = torch.distributions.Categorical(logits=log_probs_RTV).entropy()
    torch.testing.assert_close(drawn.entropy_RT, entropy_RT * mask_RT, rtol=0, atol=1e-5)


def test_finished_rows_stay_finished(weights, architecture, prompts):
    drawn = draw(weights, architecture, prompts)
    lengths, ended = [], 0
    for tokens, log_probs, entropies in zip(
        drawn.tokens_RT.tolist(), drawn.log_probs_RT, drawn.entropy_RT, strict=True
    ):
        length = tokens.index(END_ID) + 1 if END_ID in tokens else len(tokens)
        ended += END_ID in tokens
        assert set(tokens[length:]) <= {END_ID}
        assert (log_probs[length:] == 0).all() and (entropies[length:] == 0).all()
        assert (log_probs[:length] < 0).all() and (entropies[:length] > 0).all()
        lengths.append(length)
    assert generated_mask(drawn.tokens_RT).sum(1).tolist() == lengths
    assert len(set(lengths)) > 4 and 0 < ended < len(lengths)


def test_all_rows_may_finish_early(constant_policy, prompts):
    """A policy that always ends at once: one generated token a row, and the width stays."""
    logits_V = torch.zeros(VOCABULARY_SIZE)
    logits_V[END_ID] = 50.0
    architecture, weights = constant_policy(logits_V)
    drawn = draw(weights, architecture, prompts)
    assert drawn.tokens_RT.shape == (60, 12) and (drawn.tokens_RT == END_ID).all()
    assert generated_mask(drawn.tokens_RT).sum(1).tolist() == [1] * 60


def test_generated_mask_by_hand():
    e = END_ID
    tokens_RT = torch.tensor([[e, e, e], [1, e, e], [1, 2, e], [1, 2, 3]])
    expected = [[True, False, False], [True, True, False], [True, True, True], [True, True, True]]
    assert generated_mask(tokens_RT).tolist() == expected


def test_same_seed_same_bytes(weights, architecture, prompts):
    first, again = draw(weights, architecture, prompts), draw(weights, architecture, prompts)
    for name in ("tokens_RT", "log_probs_RT", "entropy_RT"):
        assert getattr(first, name).numpy().tobytes() == getattr(again, name).numpy().tobytes()
    other = draw(weights, architecture, prompts, seed=1)
    assert not torch.equal(first.tokens_RT, other.tokens_RT)


@pytest.mark.parametrize("rows_per_batch", [1, 18, 60, 6000])
def test_batching_changes_no_random_number(weights, architecture, prompts, rows_per_batch):
    expected = draw(weights, architecture, prompts)
    drawn = draw(weights, architecture, prompts, rows_per_batch=rows_per_batch)
    assert torch.equal(drawn.tokens_RT, expected.tokens_RT)
    for name in ("log_probs_RT", "entropy_RT"):
        actual = getattr(drawn, name)
        torch.testing.assert_close(actual, getattr(expected, name), rtol=0, atol=1e-5)


def test_rows_of_a_prompt_differ_and_stand_together(weights, architecture, prompts):
    """Rows 0 to G - 1 are of the first prompt; one prompt twice gets different random numbers."""
    twice = prompts[[0, 0, 1]]
    drawn = draw(weights, architecture, twice, group_size=20)
    groups = drawn.tokens_RT.view(3, 20, -1)
    assert not torch.equal(groups[0], groups[1])
    assert len({tuple(row) for row in groups[0].tolist()}) > 15


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_first_token_frequencies(weights, architecture, prompts, temperature):
    probs_V = first_token_probs(weights, architecture, prompts[:1], temperature)
    settings = {"samples": 100_000, "temperature": temperature}
    counts = first_token_counts(weights, architecture, prompts[:1], **settings)
    assert 100_000 * probs_V.min() > 5  # so that chi-square holds
    assert chisquare(counts, 100_000 * probs_V).pvalue > 0.01


def test_second_token_depends_on_the_first(weights, architecture, prompts):
    """Frequencies of pairs of tokens: the cache belongs to the row that it is used for."""
    # Groups of 50 bound the memory: a group attends to all of its completions at once.
    settings = {"group_size": 50, "max_new_tokens": 2, "rows_per_batch": 5000}
    drawn = draw(weights, architecture, prompts[[0] * 1000], **settings)
    pairs = drawn.tokens_RT[drawn.tokens_RT[:, 0] != END_ID]
    firsts = torch.arange(VOCABULARY_SIZE)[:, None]
    log_probs = full_log_probs(weights, architecture, prompts[:1], firsts.repeat(1, 2)).double()
    joint = (log_probs[0, 0][:, None] + log_probs[:, 1]).exp()
    joint[END_ID] = 0
    counts = np.bincount((pairs[:, 0] * VOCABULARY_SIZE + pairs[:, 1]).numpy(), minlength=15**2)
    expected = (joint / joint.sum()).flatten().numpy() * len(pairs)
    used = expected > 5
    assert used.sum() > 100
    statistic = ((counts - expected)[used] ** 2 / expected[used]).sum()
    assert statistic < used.sum() + 4 * np.sqrt(2 * used.sum())


@pytest.mark.parametrize("temperature,top_p", [(1.0, 0.6), (0.5, 0.9), (0.3, 0.95)])
def test_only_the_nucleus_is_sampled(weights, architecture, prompts, temperature, top_p):
    """Tokens outside of it never appear; those inside keep their relative frequencies."""
    probs_V = first_token_probs(weights, architecture, prompts[:1], temperature)
    kept = nucleus(probs_V, top_p)
    assert 1 < len(kept) < VOCABULARY_SIZE
    counts = first_token_counts(
        weights, architecture, prompts[:1], 50_000, temperature=temperature, top_p=top_p
    )
    assert set(np.flatnonzero(counts)) == kept
    inside = sorted(kept)
    expected = probs_V[inside] / probs_V[inside].sum() * 50_000
    assert chisquare(counts[inside], expected).pvalue > 0.01


def test_nucleus_by_hand(constant_policy, prompts):
    """Probabilities .4, .3, .2, then twelve of .1 / 12: the smallest set that holds top_p."""
    probs_V = torch.tensor([0.4, 0.3, 0.2] + [0.1 / 12] * 12)
    architecture, weights = constant_policy(probs_V.log())
    for top_p, size in (
        (0.05, 1),
        (0.39, 1),
        (0.41, 2),
        (0.69, 2),
        (0.71, 3),
        (0.89, 3),
        (0.9041, 4),
    ):
        counts = first_token_counts(weights, architecture, prompts[:1], 10_000, top_p=top_p)
        assert set(np.flatnonzero(counts)) == set(range(size)), top_p


def test_temperature_of_the_paper_is_nearly_greedy(constant_policy, prompts):
    """At 0.1 log-odds of 0.5 become 5; with top-p 0.95 the second token is never drawn."""
    logits_V = torch.full((VOCABULARY_SIZE,), -20.0)
    logits_V[3], logits_V[7] = 0.5, 0.0
    architecture, weights = constant_policy(logits_V)
    counts = first_token_counts(weights, architecture, prompts[:1], 50_000, temperature=0.1)
    assert counts[7] / 50_000 == pytest.approx(1 / (1 + np.exp(5)), rel=0.2)
    settings = {"temperature": 0.1, "top_p": 0.95}
    counts = first_token_counts(weights, architecture, prompts[:1], 50_000, **settings)
    assert counts[3] == 50_000


def test_entropy_by_hand():
    probs = torch.tensor([[0.5, 0.25, 0.25], [1 / 3, 1 / 3, 1 / 3]])
    expected = torch.tensor([1.5 * np.log(2), np.log(3)], dtype=torch.float32)
    torch.testing.assert_close(entropy(probs.log()), expected)


@pytest.fixture
def sampled(weights, architecture, problems, monkeypatch):
    """Rollouts of one step of two prompts, rewarded for an even first token."""
    monkeypatch.setattr(rollouts_module, "verify", lambda task, tokens_RT, *_: tokens_RT[:, 0] % 2 == 0)
    spec = replace(GROUPS_OF_SIX, prompts_per_step=2, rewards=Rewards(correct=0.25, wrong=-2))
    return sample_rollouts(
        weights, architecture, problem_arrays(problems), spec, seed=0, first_step=0, steps=1
    )


def test_rewards_are_those_of_the_configuration(sampled):
    expected = [0.25 if row[0] % 2 == 0 else -2 for row in sampled.tokens.tolist()]
    assert sampled.reward.tolist() == expected and len(set(expected)) == 2


def test_rewards_are_for_the_answer_of_the_prompt(constant_policy, problems, monkeypatch):
    """Each completion is held against its own problem's answer, with the real verifier."""
    architecture, weights = constant_policy(torch.zeros(VOCABULARY_SIZE))
    spec = replace(GROUPS_OF_SIX, prompts_per_step=5)
    answers = problems["answer"].to_pylist()
    order = problem_order(seed=0, first=0, count=10, problems=10).repeat(6)
    texts = [f"{answers[p] + (row % 3 == 0)}." for row, p in enumerate(order)]
    tokens_RT = torch.from_numpy(encode(texts, 12))
    known = Completions(tokens_RT, torch.zeros(60, 12), torch.zeros(60, 12))
    monkeypatch.setattr(rollouts_module, "sample", lambda *_, **__: known)
    part = {"seed": 0, "first_step": 0, "steps": 2}
    rollouts = sample_rollouts(weights, architecture, problem_arrays(problems), spec, **part)
    assert rollouts.problem_id.tolist() == order.tolist()
    assert rollouts.reward.tolist() == [float(row % 3 != 0) for row in range(60)]


def test_seeds_and_cycles_get_their_own_random_numbers(weights, architecture, problems):
    """The same policy on the same problem: other completions for another seed or first step."""
    spec = replace(GROUPS_OF_SIX, prompts_per_step=1)
    one = problems.slice(0, 1)
    tokens = [
        sample_rollouts(
            weights, architecture, problem_arrays(one), spec, seed=s, first_step=f, steps=3
        ).tokens
        for s, f in ((0, 0), (0, 0), (0, 3), (3, 0))
    ]
    assert torch.equal(tokens[0], tokens[1])
    assert not any(torch.equal(tokens[0], other) for other in tokens[2:])
    assert not torch.equal(tokens[2], tokens[3])


def write(path, rollouts):
    texts = decode(rollouts.tokens.numpy())
    kinds = {"verdicts": ["wrong"] * len(texts), "truncated": [False] * len(texts), "texts": texts}
    write_rollouts(path, rollouts, 6, **kinds)


def read(path, rows, problems=1000, width=12):
    sizes = {"vocabulary_size": VOCABULARY_SIZE, "width": width, "padding": END_ID}
    return read_rollouts([path], rows=rows, problems=problems, **sizes)


def test_a_cycle_is_read_from_its_files_in_order(sampled, tmp_path):
    write(tmp_path / "whole.parquet", sampled)
    table = pq.read_table(tmp_path / "whole.parquet")
    parts = [tmp_path / "0.parquet", tmp_path / "1.parquet"]
    pq.write_table(table.slice(0, 5), parts[0])
    pq.write_table(table.slice(5), parts[1])
    sizes = {"vocabulary_size": VOCABULARY_SIZE, "width": 12, "padding": END_ID}
    whole = read_rollouts(parts, rows=12, problems=1000, **sizes)
    for name, tensor in vars(whole).items():
        assert torch.equal(tensor, getattr(sampled, name)), name
    assert whole.mask.tolist() == [[t < n for t in range(12)] for n in sampled.lengths.tolist()]


def test_damaged_rollouts_are_refused(sampled, tmp_path):
    path, rows = tmp_path / "rollouts.parquet", 12
    write(path, sampled)
    table = pq.read_table(path)
    assert table["sample"].to_pylist() == [0, 1, 2, 3, 4, 5] * 2
    for name, tensor in vars(read(path, rows)).items():
        assert torch.equal(tensor, getattr(sampled, name)), name

    content = path.read_bytes()
    for length in (0, 50, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])
        with pytest.raises((ValueError, OSError)):
            read(path, rows)
    for column in ("problem_id", "prompt_tokens", "tokens", "log_probs", "reward"):
        pq.write_table(table.drop_columns(column), path)
        with pytest.raises(ValueError, match=column):
            read(path, rows)
    for other in (table.slice(1), pa.concat_tables([table, table]), table.slice(0, 0)):
        pq.write_table(other, path)
        with pytest.raises(ValueError, match="rows"):
            read(path, rows)
    with pytest.raises(ValueError, match="more than the limit of 2"):
        pq.write_table(table, path)
        read(path, rows, width=2)
    for name in ("log_probs", "reward"):
        for value in (math.nan, math.inf):
            tensors = {key: tensor.clone() for key, tensor in vars(sampled).items()}
            tensors[name][2] = value
            write(path, Rollouts(**tensors))
            with pytest.raises(ValueError, match="finite"):
                read(path, rows)
    write(path, sampled)
    with pytest.raises(ValueError, match="problem_id"):
        read(path, rows, problems=int(sampled.problem_id.max()))


def test_streams_follow_from_their_identity():
    def draws(*identity):
        torch_draws = torch.rand(2, generator=torch_stream(*identity))
        return [*numpy_stream(*identity).random(2).tolist(), *torch_draws.tolist()]

    assert draws("rollouts", 0, 3) == draws("rollouts", 0, 3)
    identities = [("a", 0, 3), ("a", 3, 0), ("a", "0", 3), ("b", 0, 3), ("a", 0), ("a", 0, 3, 0)]
    assert len({draw for identity in identities for draw in draws(*identity)}) == 4 * 6


class Made(TorchDispatchMode):
    """Collects device and dtype of every tensor that an operation returns."""

    def __init__(self):
        super().__init__()
        self.kinds = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        self.kinds |= {(t.device.type, t.dtype) for t in tree_leaves(made) if isinstance(t, torch.Tensor)}
        return made


@pytest.mark.parametrize("top_p", [1.0, 0.9])
def test_no_float64_on_a_device_without_it(top_p):
    """Apple's GPU, by tensors that have a device and no content."""
    with FakeTensorMode(), Made() as made:
        noise_R = torch.rand(4, dtype=torch.float64)
        chosen = choose(torch.empty(4, 10, device="mps"), noise_R, 1.0, top_p)
    assert chosen.device.type == "mps"
    assert ("mps", torch.float32) in made.kinds and ("mps", torch.float64) not in made.kinds
