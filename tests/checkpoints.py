"""Tiny models with random weights in Hugging Face layout, in place of downloads."""

from pathlib import Path

import torch

from asymre.tasks.few_shot import FewShot

# A task, and what `checkpoint.check` is told of a model for it.
TASK = FewShot(kinds=["1+1", "2-1"], examples=["7 + 5 = 12", "36 - 9 = 27"])
STATED = {"family": "llama", "layers": 2, "tie_embeddings": True}
LENGTHS = {"end": "\n", "longest": TASK.longest_prompt, "new_tokens": 4}
SIZE = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}


def save_tokenizer(folder: Path, eos: str | None = "<eos>") -> int:
    """Write a tokenizer of bytes, and of two line breaks; return the size of its vocabulary."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    vocabulary = {byte: i for i, byte in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    vocabulary |= {"ĊĊ": len(vocabulary)}
    tokenizer = Tokenizer(models.BPE(vocabulary, merges=[("Ċ", "Ċ")]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    if eos:
        tokenizer.add_special_tokens([eos])
    tokenizer.save(str(folder / "tokenizer.json"))
    return tokenizer.get_vocab_size()


def save_model(folder: Path, family: str = "llama", **settings):
    """Write a random model in Hugging Face layout, in two files, and return transformers' model."""
    import transformers

    folder.mkdir(parents=True)
    vocabulary = save_tokenizer(folder)
    configuration, model = (
        getattr(transformers, f"{family.capitalize()}{kind}") for kind in ("Config", "ForCausalLM")
    )
    own = {"num_key_value_heads": 2, "tie_word_embeddings": True, "rope_theta": 1e5, "initializer_range": 0.2}
    own |= {"vocab_size": vocabulary, "eos_token_id": vocabulary - 1, "max_position_embeddings": 128}
    torch.manual_seed(0)
    made = model(configuration(**SIZE, **own | settings)).eval()
    made.save_pretrained(folder, max_shard_size="30KB")
    assert len(list(folder.glob("*.safetensors"))) > 1
    return made
