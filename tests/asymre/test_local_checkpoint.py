"""Folders of pretrained models as they lie on people's disks: what is read, and what is refused by name."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from asymre.engines.local import checkpoint
from asymre.engines.local.policy import load_policy
from asymre.engines.local.pretrained import convert
from asymre.engines.local.tokenizer import load_tokenizer
from tests.checkpoints import LENGTHS, STATED, TASK, save_model


@pytest.fixture
def source(tmp_path):
    save_model(tmp_path / "source")
    checkpoint.library.cache_clear()
    return tmp_path / "source"


def weights_of(folder):
    return {name: tensor for file in folder.glob("*.safetensors") for name, tensor in load_file(file).items()}


def converted(source):
    (source.parent / "policy").mkdir()
    checkpoint.check(source, STATED, **LENGTHS)
    convert(source, source.parent / "policy", "float32")
    return source.parent / "policy"


def edit_json(path, **changes):
    content = {
        name: value for name, value in (json.loads(path.read_text()) | changes).items() if value != "gone"
    }
    path.write_text(json.dumps(content))


def test_a_tokenizer_that_was_saved_after_training_cuts_and_pads_nothing(source):
    plain = load_tokenizer(source, "\n").prompts(["1+1=", TASK.longest_prompt])
    from transformers import PreTrainedTokenizerFast

    trained = PreTrainedTokenizerFast(tokenizer_file=str(source / "tokenizer.json"), pad_token="<eos>")
    trained(["1 2 3", "1"], padding=True, truncation=True, max_length=8)
    trained.save_pretrained(source.parent / "saved")
    shutil.copy(source.parent / "saved/tokenizer.json", source)
    checkpoint.library.cache_clear()
    assert torch.equal(load_tokenizer(source, "\n").prompts(["1+1=", TASK.longest_prompt]), plain)


@pytest.mark.parametrize(
    "stale", ["model-00001-of-00099.safetensors", "model_ema.safetensors", "model.fp16.safetensors"]
)
def test_the_weights_are_those_of_the_index(source, stale):
    own = weights_of(source)
    save_file({name: tensor + 1 for name, tensor in own.items()}, source / stale)
    _, weights = load_policy(converted(source))
    assert all(torch.equal(weights[name], own[name]) for name in weights)


def test_a_head_of_its_own_is_refused_where_the_configuration_ties(source):
    own = weights_of(source)
    save_file(own | {"lm_head.weight": own["model.embed_tokens.weight"] + 1}, source / "model.safetensors")
    with pytest.raises(ValueError, match="has two embeddings, but config.json ties them"):
        converted(source)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model-00001-of-00004.safetensors"])
@pytest.mark.parametrize(
    "content", ["", "version https://git-lfs.github.com/spec/v1\noid sha256:a\nsize 1\n", "[1]"]
)
def test_a_damaged_file_and_a_pointer_of_git_lfs_are_named(source, name, content):
    (source / name).write_text(content)
    with pytest.raises(ValueError, match=rf"source/{name}: cannot be read .*Git LFS"):
        checkpoint.check(source, STATED, **LENGTHS)


def test_a_missing_shard_is_named(source):
    (source / "model-00002-of-00004.safetensors").unlink()
    with pytest.raises(
        ValueError, match="no model-00002-of-00004.safetensors, which model.safetensors.index.json"
    ):
        checkpoint.check(source, STATED, **LENGTHS)


def test_frequencies_in_old_files_are_no_weights(source):
    own = weights_of(source)
    own |= {f"model.layers.{i}.self_attn.rotary_emb.inv_freq": torch.ones(4) for i in range(2)}
    save_file(own, source / "model.safetensors")
    converted(source)


@pytest.mark.parametrize("value", ["gone", None])
def test_without_key_value_heads_there_are_as_many_as_heads(tmp_path, value):
    save_model(tmp_path / "source", num_key_value_heads=4)
    checkpoint.library.cache_clear()
    edit_json(tmp_path / "source/config.json", num_key_value_heads=value)
    assert checkpoint.check(tmp_path / "source", STATED, **LENGTHS).key_value_heads == 4


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"eos_token_id": "5"}, "eos_token_id '5', which is no token"),
        ({"eos_token_id": [2, -1]}, "eos_token_id -1, which is no token"),
        ({"num_attention_heads": "4"}, "num_attention_heads '4', which is no number"),
    ],
)
def test_a_value_of_another_type_is_named(source, changes, message):
    edit_json(source / "config.json", **changes)
    with pytest.raises(ValueError, match=message):
        checkpoint.check(source, STATED, **LENGTHS)


def test_a_tokenizer_of_another_model_is_refused(source):
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(source / "tokenizer.json"))
    tokenizer.add_tokens(["36"])
    tokenizer.save(str(source / "tokenizer.json"))
    with pytest.raises(ValueError, match="tokenizer is another model's"):
        checkpoint.check(source, STATED, **LENGTHS)
