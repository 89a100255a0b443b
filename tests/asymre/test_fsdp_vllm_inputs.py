"""What engine fsdp_vllm is given: weights, tokenizers, prompts, options; each fault named with its remedy."""

import os
import runpy
import shutil
import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from unittest.mock import patch

import pytest
from huggingface_hub import errors
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from asymre import content as content_module
from asymre.engines.fsdp_vllm import source
from asymre.engines.fsdp_vllm.prompts import decode_completions, encode_prompts, end_tokens, load_tokenizer
from asymre.engines.local.policy import save_policy
from asymre.rewards.judge import accepted_by_math_verify, beside_math_verify, counts_line, judge
from asymre.specs import PretrainedSpec
from scripts import make_base_policy_pretrained
from store import job

ROOT = Path(__file__).resolve().parents[2]
SHAPE = {
    "family": "llama",
    "hidden_size": 16,
    "intermediate_size": 24,
    "layers": 2,
    "heads": 4,
    "key_value_heads": 2,
    "vocabulary_size": 15,
    "tie_embeddings": True,
}
TEMPLATE = (
    "{% for m in messages %}<user> {{ m['content'] }} {% endfor %}"
    "<date> {{ date_string if date_string is defined else strftime_now('%d %b %Y') }} <bot>"
)
DATE = "05 Feb 2001"
# How templates come by a day: Llama 3.1, Llama 3.2, and those that only ask what day it is.
DATED = {
    "variable": "{{ date_string if date_string is defined else '26 Jul 2024' }}",
    "variable or clock": "{% if not date_string is defined %}{% if strftime_now is defined %}"
    "{% set date_string = strftime_now('%d %b %Y') %}{% endif %}{% endif %}{{ date_string }}",
    "clock": "{{ strftime_now('%d %b %Y') }}",
    "clock in a macro": "{% macro day() %}{{ strftime_now('%d %b %Y') }}{% endmacro %}{{ day() }}",
    "clock in another form": "{{ strftime_now('%d') }} {{ strftime_now('%b')}} {{ strftime_now('%Y') }}",
}


@pytest.fixture
def folder(tmp_path, architecture, weights):
    save_policy(tmp_path / "model", architecture, weights)
    (tmp_path / "model/chat_template.jinja").write_text(TEMPLATE)
    return tmp_path / "model"


def test_a_whole_policy_is_taken_and_counted(folder, architecture):
    source.check_policy(folder, SHAPE)
    assert source.parameter_count(folder) == architecture.parameter_count()


@pytest.mark.parametrize(
    ("lost", "words"),
    [
        ("config.json", "no config.json"),
        ("model.safetensors", "no weights"),
        ("tokenizer*.json", "no tokenizer"),
        ("chat_template.jinja", "has no chat template: take the instruction-tuned model"),
    ],
)
def test_what_a_policy_lacks_is_named(folder, lost, words):
    for file in folder.glob(lost):
        file.unlink()
    with pytest.raises(ValueError, match=words):
        source.check_policy(folder, SHAPE)


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json", "model.safetensors"])
def test_half_a_file_and_a_pointer_of_git_lfs_are_named(folder, name):
    (folder / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:a\n", encoding="utf-8")
    with pytest.raises(ValueError, match=rf"model/{name}: cannot be read .*Git LFS"):
        source.check_policy(folder, SHAPE)


def test_a_missing_shard_is_named(folder):
    (folder / "model.safetensors").rename(folder / "model-1.safetensors")
    with pytest.raises(ValueError, match=r"neither model.safetensors nor model.safetensors.index.json"):
        source.check_policy(folder, SHAPE)
    index = '{"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}'
    (folder / "model.safetensors.index.json").write_text(index, encoding="utf-8")
    with pytest.raises(ValueError, match=r"no model-2.safetensors, which model.safetensors.index.json names"):
        source.check_policy(folder, SHAPE)


def test_another_architecture_is_named_with_its_key(folder):
    with pytest.raises(ValueError, match=r"num_hidden_layers 2, pretrained.*architecture.layers says 3"):
        source.check_policy(folder, SHAPE | {"layers": 3})


def test_content_of_a_folder(folder, monkeypatch):
    before = content_module.folder_hash(folder)
    shutil.copytree(folder, folder.parent / "copy")
    assert content_module.folder_hash(folder.parent / "copy") == before, "paths and times say nothing"
    monkeypatch.setattr(content_module, "WHOLE", 100)
    monkeypatch.setattr(content_module, "ENDS", 40)
    sampled = content_module.folder_hash(folder)
    content = bytearray((folder / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (folder / "model.safetensors").write_bytes(content)
    assert content_module.folder_hash(folder) != sampled
    with pytest.raises(ValueError, match="no folder with files"):
        content_module.folder_hash(folder / "nowhere")


class _Response:
    status_code, headers, request, text = 403, {}, None, ""


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (errors.GatedRepoError, "gated: accept its licence.*hf auth login"),
        (errors.RepositoryNotFoundError, "check pretrained"),
        (errors.RevisionNotFoundError, "cannot be fetched.*check the revision"),
        (errors.LocalEntryNotFoundError, "the connection, or give a local folder"),
    ],
)
def test_a_failed_download_says_what_to_do(error, words, monkeypatch):
    def fail(*_, **__):
        raise error.__new__(error)

    monkeypatch.setattr("huggingface_hub.snapshot_download", fail)
    with pytest.raises(ValueError, match=words):
        source.download("some/model", "0" * 40, ["*.json"])


@pytest.fixture
def tokenizer(tmp_path):
    words = ["<unk>", "<user>", "<bot>", "<date>", "<end>", "A", "\\frac{1}{2}", "Go.", *DATE.split()]
    inner = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made = PreTrainedTokenizerFast(tokenizer_object=inner, unk_token="<unk>", eos_token="<end>")
    made.chat_template = TEMPLATE
    made.save_pretrained(tmp_path / "tokenizer")
    return load_tokenizer(tmp_path / "tokenizer", chat=True)


def test_prompts_of_chat_models(tokenizer):
    (ids,) = encode_prompts(tokenizer, ["A \\frac{1}{2}"], "{problem} Go.", DATE)
    texts = tokenizer.convert_ids_to_tokens(ids)
    assert texts == ["<user>", "A", "\\frac{1}{2}", "Go.", "<date>", *DATE.split(), "<bot>"]
    assert decode_completions(tokenizer, [[5, 4]], "{problem}") == ["A"]


@pytest.mark.parametrize("how", DATED)
def test_a_prompt_has_the_day_that_it_is_given_and_not_that_of_the_clock(tokenizer, how):
    tokenizer.chat_template = DATED[how]
    (ids,) = encode_prompts(tokenizer, ["A"], "{problem}", DATE)
    assert tokenizer.convert_ids_to_tokens(ids) == DATE.split()


def test_prompts_of_stand_ins(folder, problems):
    tokenizer = load_tokenizer(folder, chat=False)
    texts = problems["prompt"].to_pylist()
    ids = encode_prompts(tokenizer, texts, None, None)
    assert [len(row) for row in ids] == [len(text) for text in texts]
    # Their end is a full stop of the text, and stays.
    assert decode_completions(tokenizer, [[*ids[0], 14]], None) == [texts[0] + "."]


def test_a_completion_ends_where_the_model_or_the_tokenizer_says(tmp_path):
    """A fine-tuned model keeps its base model's generation_config.json and ends its turns by <|im_end|>."""
    assert end_tokens(tmp_path, 7) == [7]
    (tmp_path / "config.json").write_text('{"eos_token_id": 3}', encoding="utf-8")
    assert end_tokens(tmp_path, None) == [3] and end_tokens(tmp_path, 7) == [3, 7]
    (tmp_path / "generation_config.json").write_text('{"eos_token_id": [5, 7]}', encoding="utf-8")
    assert end_tokens(tmp_path, 7) == [5, 7] and end_tokens(tmp_path, 8) == [5, 7, 8]
    with pytest.raises(ValueError, match="eos_token_id"):
        end_tokens(tmp_path / "none", None)


def test_a_chat_template_that_refuses_is_told(tokenizer):
    tokenizer.chat_template = "{{ raise_exception('roles must alternate') }}"
    with pytest.raises(ValueError, match="chat template .*roles must alternate"):
        encode_prompts(tokenizer, ["A"], "{problem}", DATE)


def test_a_missing_chat_template_is_named(folder):
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(ValueError, match="no chat template"):
        load_tokenizer(folder, chat=True)


def test_answers_are_judged_by_the_kind_of_problem():
    verdicts, finals = judge(["12,34.", "34", "1,2,33."], [34, 34, 34], "arithmetic")
    assert verdicts == ["right", "wrong", "wrong"] and finals == ["34", "34", "33"]
    texts = [r"so \boxed{\frac12}", r"\boxed{0.5}", r"\boxed{3}", "no box"]
    verdicts, finals = judge(texts, [r"\frac{1}{2}"] * 4, "boxed")
    assert verdicts == ["right", "right", "wrong", "no_answer"] and finals[-1] == ""
    accepted = accepted_by_math_verify(texts, [r"\frac{1}{2}"] * 4)
    assert accepted == [True, True, False, False]
    assert beside_math_verify(["right", "wrong", "right", "wrong"], accepted) == {
        "accuracy_math_verify": 0.5,
        "share_math_verify_alone": 0.25,
        "share_verifier_alone": 0.25,
    }
    assert counts_line(verdicts, [True, True, False, False]) == "right 2, wrong 1, no_answer 1; truncated 2"
    assert "\nwarning: 75% of the completions have no end: raise max_new_tokens" in counts_line(
        verdicts, [True, True, True, False]
    )


def test_options_of_a_script_have_the_types_of_their_defaults():
    options, parts = job._options(["a/b", "processes=4", "device=cuda"], {"processes": 1, "device": "cpu"})
    assert options == {"processes": 4, "device": "cuda"} and parts == [Path("a/b")]
    with pytest.raises(job.InputError, match="unknown option proceses; known: processes"):
        job._options(["proceses=4"], {"processes": 1})


def test_a_job_whose_policy_cannot_be_read_names_that_folder_alone(folder):
    with pytest.raises(job.InputError) as error:
        job.reading(folder, lambda path: 1 / 0)
    assert f"delete the folder {folder.parent.name}" in str(error.value), "nothing here made the folder"
    folder = folder.rename(folder.with_name("model-0123456789"))
    (folder / "spec.json").write_text("{}")
    with pytest.raises(job.InputError) as error:
        job.reading(folder, lambda path: 1 / 0)
    assert f"delete the folder {folder.name} and" in str(error.value)


def test_a_policy_that_the_workflow_made_can_be_given_as_a_folder(folder, tmp_path):
    """Its spec stays its own, and is no part of what the folder holds."""
    before = content_module.folder_hash(folder)
    (folder / "spec.json").write_text("{}")
    assert content_module.folder_hash(folder) == before
    (tmp_path / "output").mkdir()
    spec = PretrainedSpec(None, None, str(folder), before, None, SHAPE)
    make_base_policy_pretrained.make(spec, {}, tmp_path / "output")
    assert not (tmp_path / "output/spec.json").exists()
    assert (tmp_path / "output/model.safetensors").read_bytes() == (folder / "model.safetensors").read_bytes()
    (tmp_path / "output/config.json").write_text("{}")
    source.check_policy(folder, SHAPE)
    with pytest.raises(job.InputError, match="changed since this job was planned"):
        make_base_policy_pretrained.make(replace(spec, content="0"), {}, tmp_path / "output")


def test_another_family_is_named(folder):
    with pytest.raises(ValueError, match="model_type llama, pretrained.*family says qwen2"):
        source.check_policy(folder, SHAPE | {"family": "qwen2"})


# --- vLLM's environment -------------------------------------------------------------------------


@pytest.fixture
def without_vllm(monkeypatch):
    """No vLLM, whatever is installed; the module that imports it is imported afresh."""
    modules = [name for name in sys.modules if name.startswith("asymre.engines.fsdp_vllm.generation")]
    for name in modules:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "vllm", None)
    # It sets variables for vLLM.
    with patch.dict(os.environ):
        yield


def test_without_vllm_an_import_raises_with_the_remedy(without_vllm):
    with pytest.raises(ImportError, match="run make setup-vllm"):
        import_module("asymre.engines.fsdp_vllm.generation")


@pytest.mark.parametrize("script", ["sample_rollouts_vllm", "evaluate_snapshot_vllm"])
def test_without_vllm_a_script_ends_with_the_remedy(script, without_vllm):
    with pytest.raises(SystemExit, match=r"^error: .*vllm.* in .*: run make setup-vllm$"):
        runpy.run_path(str(ROOT / f"scripts/{script}.py"), run_name="__main__")
