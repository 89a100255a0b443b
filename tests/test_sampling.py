"""Sampling: stored log-probabilities and entropies against forward passes, frequencies, determinism."""

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from asymre.decoder import forward
from asymre.sampling import entropy, generated_mask, sample
from asymre.tokenizer import END_ID, VOCABULARY_SIZE

DEFAULTS = {
    "group_size": 6,
    "max_new_tokens": 12,
    "temperature": 1.0,
    "top_p": 1.0,
    "prompts_per_batch": 4,
}


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
    drawn = draw(weights, architecture, prompt_1L, group_size=samples, max_new_tokens=1, **changes)
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


def test_all_rows_may_finish_early(weights, architecture, prompts):
    """A policy that always ends at once: one token a row, the width stays."""
    weights["lm_head.weight"] = torch.zeros(VOCABULARY_SIZE, architecture.hidden_size)
    architecture = type(architecture)(**vars(architecture) | {"tie_embeddings": False})
    weights["model.norm.weight"] = torch.zeros(architecture.hidden_size)
    drawn = draw(weights, architecture, prompts, top_p=0.01)  # the nucleus is token 0 alone
    assert (drawn.tokens_RT == 0).all()
    head = torch.nn.functional.one_hot(torch.tensor(END_ID), VOCABULARY_SIZE) * 1e3
    weights["lm_head.weight"] = head[:, None].float().repeat(1, architecture.hidden_size)
    weights["model.norm.weight"] = torch.ones(architecture.hidden_size)
    weights["model.embed_tokens.weight"] = torch.ones(VOCABULARY_SIZE, architecture.hidden_size)
