"""Check a pretrained model's folder, in Hugging Face layout, without reading its weights and without torch.

So the plan can refuse, before any job starts, what engine local does not compute.
"""

from functools import cache
from pathlib import Path
from typing import Any

from asymre.architecture import CONFIG_KEYS, Architecture, architecture_in
from asymre.model_files import REMEDY, configuration, reading, shapes, weight_files

HEAD = "lm_head.weight"


def check(folder: Path, stated: dict[str, Any], *, end: str, longest: str, new_tokens: int) -> Architecture:
    """Return the shape of the model in a folder.

    stated: fields of `Architecture` that the configuration states. end: text that ends a completion. longest:
    text of the longest prompt, followed by at most `new_tokens` tokens. Raises ValueError, which names file
    and remedy, unless the decoder computes this model, and completions can end and fit into its context.
    """
    for name in ("config.json", "tokenizer.json"):
        if not (folder / name).is_file():
            raise ValueError(f"{folder}: no {name}; {REMEDY}")
    found = configuration(folder)
    try:
        architecture = architecture_in(found)
    except ValueError as error:
        raise ValueError(f"{folder}: {error}") from None
    theirs = CONFIG_KEYS | {"family": "model_type"}
    for name, value in stated.items():
        if (own := getattr(architecture, name)) != value:
            raise ValueError(
                f"{folder}: config.json has {theirs.get(name, name)} {own}, "
                f"pretrained.*.architecture.{name} says {value}: another model, or a wrong number"
            )
    stored = {name: shape for file in weight_files(folder) for name, shape in shapes(file).items()}
    if architecture.tie_embeddings:
        stored.pop(HEAD, None)
    if stored != architecture.shapes():
        wrong = min(set(stored.items()) ^ set(architecture.shapes().items()))[0]
        raise ValueError(
            f"{folder}: {wrong} is not what config.json describes: take a Llama, Qwen2 or Qwen3 whose "
            "weights are not quantised"
        )
    end_tokens(folder, end)
    prompt = library(folder).encode(longest, add_special_tokens=False).ids
    if max(prompt) >= architecture.vocabulary_size:
        raise ValueError(
            f"{folder}: tokenizer.json has token {max(prompt)}, the model's vocabulary "
            f"{architecture.vocabulary_size} tokens: the tokenizer is another model's"
        )
    length = len(prompt) + new_tokens
    context = found.get("max_position_embeddings")
    if context is not None and length > context:
        raise ValueError(
            f"{folder}: a prompt and its completion take up to {length} tokens, the model's context has "
            f"{context}: give fewer or shorter examples"
        )
    return architecture


def end_tokens(folder: Path, end: str) -> list[int]:
    """Return the ids of the tokens that end a completion: the model's own, and all whose text holds `end`.

    Raises ValueError if there is none.
    """
    found = configuration(folder)
    known = min(library(folder).get_vocab_size(), found["vocab_size"])
    texts = library(folder).decode_batch([[i] for i in range(known)], skip_special_tokens=False)
    own = found.get("eos_token_id")
    own = own if isinstance(own, list) else [] if own is None else [own]
    for token in own:
        if type(token) is not int or not 0 <= token < found["vocab_size"]:
            raise ValueError(
                f"{folder}: config.json has eos_token_id {token!r}, which is no token of the model"
            )
    ends = {*own, *(i for i, text in enumerate(texts) if end in text)}
    if not ends:
        raise ValueError(
            f"{folder}: no token ends a completion: config.json has no eos_token_id, and no token holds "
            f"{end!r}"
        )
    return sorted(ends)


@cache
def library(folder: Path) -> Any:
    """Return the tokenizer of a folder, of the library tokenizers."""
    from tokenizers import Tokenizer

    with reading(folder / "tokenizer.json"):
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    # One that was saved after training keeps how it padded and cut there; transformers undoes both, too.
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer
