"""The decoder against transformers' Llama and Qwen2, its cache against itself, policy folders."""

import json

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch.nn import functional

from asymre.engines.local import tokenizer
from asymre.engines.local.decoder import forward, initial_weights, layout
from asymre.engines.local.policy import load_policy, load_weights, save_policy, save_weights


def assert_close(actual, expected, tolerance=1e-5):
    torch.testing.assert_close(actual, expected, rtol=tolerance, atol=tolerance)


def random_tokens(rows, length, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(tokenizer.VOCABULARY_SIZE, (rows, length), generator=generator)


def with_gradients(weights):
    return {name: weight.clone().requires_grad_() for name, weight in weights.items()}


def next_token_loss(logits_BTV, tokens_BT):
    return functional.cross_entropy(logits_BTV[:, :-1].flatten(0, 1), tokens_BT[:, 1:].flatten())


def reference_model(architecture, weights):
    """transformers' model of the architecture, made from its own configuration class."""
    from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

    a = architecture
    configuration_class, model_class = {
        "llama": (LlamaConfig, LlamaForCausalLM),
        "qwen2": (Qwen2Config, Qwen2ForCausalLM),
    }[a.family]
    model = model_class(
        configuration_class(
            hidden_size=a.hidden_size,
            intermediate_size=a.intermediate_size,
            num_hidden_layers=a.layers,
            num_attention_heads=a.heads,
            num_key_value_heads=a.key_value_heads,
            vocab_size=a.vocabulary_size,
            tie_word_embeddings=a.tie_embeddings,
            rms_norm_eps=a.norm_epsilon,
            rope_parameters={"rope_type": "default", "rope_theta": a.rope_theta},
            attn_implementation="eager",
        )
    )
    missing, unexpected = model.load_state_dict(weights, strict=False)
    assert set(missing) <= {"lm_head.weight"} and not unexpected
    assert ("lm_head.weight" in missing) == a.tie_embeddings
    return model


def test_logits_and_gradients_are_those_of_transformers(any_architecture, make_weights):
    ours = with_gradients(make_weights(any_architecture))
    theirs = reference_model(any_architecture, make_weights(any_architecture))
    tokens_BT = random_tokens(3, 20)
    our_logits, _ = forward(ours, any_architecture, tokens_BT)
    their_logits = theirs(tokens_BT).logits
    assert_close(our_logits, their_logits)
    next_token_loss(our_logits, tokens_BT).backward()
    next_token_loss(their_logits, tokens_BT).backward()
    their_gradients = {name: p.grad for name, p in theirs.named_parameters()}
    assert set(their_gradients) == set(ours)
    for name, weight in ours.items():
        assert weight.grad.abs().max() > 1e-4 or name.endswith("k_proj.bias"), name
        assert_close(weight.grad, their_gradients[name])


@pytest.mark.parametrize("pieces", [[3, 4, 4], [1] * 11, [5, 1, 1, 4], [10, 1]])
def test_forward_in_pieces_equals_one_forward(any_architecture, make_weights, pieces):
    weights = make_weights(any_architecture)
    tokens_BT = random_tokens(2, sum(pieces))
    whole, whole_cache = forward(weights, any_architecture, tokens_BT)
    parts, cache = [], None
    for piece in tokens_BT.split(pieces, dim=1):
        logits, cache = forward(weights, any_architecture, piece, cache)
        parts.append(logits)
    assert_close(torch.cat(parts, dim=1), whole)
    for pair, whole_pair in zip(cache, whole_cache, strict=True):
        assert_close(pair, whole_pair)


def test_later_tokens_do_not_change_earlier_logits(any_architecture, make_weights):
    weights = make_weights(any_architecture)
    tokens_BT = random_tokens(2, 8)
    changed_BT = tokens_BT.clone()
    changed_BT[:, 5] = (tokens_BT[:, 5] + 1) % tokenizer.VOCABULARY_SIZE
    before, _ = forward(weights, any_architecture, tokens_BT)
    after, _ = forward(weights, any_architecture, changed_BT)
    assert torch.equal(before[:, :5], after[:, :5])
    assert (before[:, 5:] - after[:, 5:]).abs().amax((0, 2)).min() > 1e-3


@pytest.mark.parametrize("pieces", [[1], [6, 15], [6, 3, 3, 3, 3, 3], [21]])
def test_a_prompt_with_its_completions_in_one_sequence(any_architecture, make_weights, pieces):
    """Whole or in pieces with a cache: the logits and gradients of sequences apart."""
    prompt, group, steps = 6, 3, 5
    prompts_PL, completions_RT = random_tokens(2, prompt), random_tokens(2 * group, steps, seed=1)
    apart = with_gradients(make_weights(any_architecture))
    full_RT = torch.cat([prompts_PL.repeat_interleave(group, dim=0), completions_RT], dim=1)
    apart_logits = forward(apart, any_architecture, full_RT)[0]

    together = with_gradients(make_weights(any_architecture))
    by_step = completions_RT.view(2, group, steps).transpose(1, 2).flatten(1)
    places, cache, parts = layout(prompt, branches=group, steps=steps), None, []
    tokens = torch.cat([prompts_PL, by_step], dim=1)
    for piece in tokens.split([*pieces, tokens.shape[1] - sum(pieces)], dim=1):
        logits, cache = forward(together, any_architecture, piece, cache, places)
        parts.append(logits)
    logits = torch.cat(parts, dim=1)
    own = logits[:, prompt:].unflatten(1, (steps, group)).transpose(1, 2).flatten(0, 1)
    assert_close(own, apart_logits[:, prompt:])
    assert_close(logits[:, :prompt], apart_logits[::group, :prompt])

    next_token_loss(apart_logits[:, prompt:], completions_RT).backward()
    next_token_loss(own, completions_RT).backward()
    for name in apart:
        assert_close(together[name].grad, apart[name].grad)


def test_saved_policy_loads_in_transformers(any_architecture, make_weights, tmp_path):
    from transformers import AutoModelForCausalLM

    weights = make_weights(any_architecture)
    save_policy(tmp_path / "policy", any_architecture, weights)
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "policy")
    assert type(model).__name__.lower() == f"{any_architecture.family}forcausallm"
    assert model.dtype == torch.float32
    tokens_BT = random_tokens(2, 15)
    assert_close(model(tokens_BT).logits, forward(weights, any_architecture, tokens_BT)[0])
    assert sum(p.numel() for p in model.parameters()) == any_architecture.parameter_count()
    assert model.generation_config.eos_token_id == tokenizer.END_ID


def test_saved_policy_loads_back_exactly(any_architecture, make_weights, tmp_path):
    weights = make_weights(any_architecture)
    save_policy(tmp_path, any_architecture, weights)
    architecture, loaded = load_policy(tmp_path)
    assert architecture == any_architecture
    assert set(loaded) == set(weights)
    assert all(torch.equal(loaded[name], weights[name]) for name in weights)


def test_saved_tokenizer_is_ours_in_transformers(architecture, weights, tmp_path):
    from transformers import AutoTokenizer

    save_policy(tmp_path, architecture, weights)
    theirs = AutoTokenizer.from_pretrained(tmp_path)
    text = "37+48-12=085,073."
    ids = tokenizer.encode([text], len(text))[0].tolist()
    assert theirs(text)["input_ids"] == ids
    assert theirs.decode(ids) == tokenizer.decode(torch.tensor([ids]))[0] == text
    assert (theirs.eos_token_id, theirs.pad_token_id) == (tokenizer.END_ID, tokenizer.END_ID)
    assert len(theirs) == tokenizer.VOCABULARY_SIZE


def test_parameter_count_and_initial_weights(any_architecture):
    weights = initial_weights(any_architecture, torch.Generator().manual_seed(0))
    assert sum(w.numel() for w in weights.values()) == any_architecture.parameter_count()
    assert {name: tuple(w.shape) for name, w in weights.items()} == any_architecture.shapes()
    for name, weight in weights.items():
        if weight.dim() == 2:
            expected = weight.shape[1] ** -0.5
            assert weight.std().item() == pytest.approx(expected, rel=0.2), name
        else:
            assert (weight == (0 if name.endswith("bias") else 1)).all(), name


def test_truncated_weights_are_refused(architecture, weights, tmp_path):
    save_policy(tmp_path, architecture, weights)
    file = tmp_path / "model.safetensors"
    content = file.read_bytes()
    for length in (0, 4, 100, len(content) // 2, len(content) - 1):
        file.write_bytes(content[:length])
        with pytest.raises(SafetensorError):
            load_policy(tmp_path)


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_weights_that_are_not_finite_are_refused(architecture, weights, tmp_path, value):
    weights["model.layers.1.mlp.up_proj.weight"][3, 2] = value
    save_policy(tmp_path, architecture, weights)
    with pytest.raises(ValueError, match="finite"):
        load_policy(tmp_path)


@pytest.mark.parametrize(
    "field,value",
    [
        ("hidden_size", 32),
        ("intermediate_size", 25),
        ("num_hidden_layers", 1),
        ("num_hidden_layers", 3),
        ("num_key_value_heads", 4),
        ("vocab_size", 16),
        ("tie_word_embeddings", False),
        ("model_type", "qwen2"),
    ],
)
def test_configuration_of_other_weights_is_refused(architecture, weights, tmp_path, field, value):
    save_policy(tmp_path, architecture, weights)
    file = tmp_path / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {field: value}))
    with pytest.raises(ValueError, match="shapes"):
        load_policy(tmp_path)


def test_missing_and_foreign_weights_are_refused(architecture, weights, tmp_path):
    save_weights(tmp_path, weights)
    file = tmp_path / "model.safetensors"
    content = load_file(file)
    first = next(iter(content))
    save_file({name: weight for name, weight in content.items() if name != first}, file)
    with pytest.raises(ValueError, match="names"):
        load_weights(tmp_path, architecture)
    save_file(content | {"model.layers.9.bias": torch.zeros(3)}, file)
    with pytest.raises(ValueError, match="names"):
        load_weights(tmp_path, architecture)
