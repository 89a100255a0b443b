"""Tokenizers: a stand-in's, with one token per character, and that of a pretrained model, by its own file.

Shapes: N texts, L tokens of a prompt, R completions, T tokens.
"""

import json
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from asymre.engines.local.checkpoint import end_tokens, library
from asymre.model_files import configuration
from asymre.tasks import END, SYMBOLS

PADDING = -1  # of prompts: no token

_VOCABULARY = {symbol: i for i, symbol in enumerate(SYMBOLS)}
VOCABULARY_SIZE = len(_VOCABULARY)
END_ID = _VOCABULARY[END]
_ID_OF_CODE = np.full(128, -1)
for _symbol in SYMBOLS:
    _ID_OF_CODE[ord(_symbol)] = _VOCABULARY[_symbol]


class Tokenizer(Protocol):
    """From texts to tokens and back."""

    ends: Tensor  # the tokens that end a completion; the first one pads what follows
    vocabulary_size: int

    def prompts(self, texts: list[str]) -> Tensor:
        """Return the tokens [N, L] of prompts, padded on the right with PADDING."""
        ...

    def texts(self, tokens_RT: Tensor) -> list[str]:
        """Return the text of each completion, up to and including its first end token."""
        ...


class Characters:
    """The tokenizer of stand-ins."""

    ends = torch.tensor([END_ID])
    vocabulary_size = VOCABULARY_SIZE

    def prompts(self, texts: list[str]) -> Tensor:
        """Return the tokens of prompts, which all have one length."""
        return torch.from_numpy(encode(texts, len(texts[0])))

    def texts(self, tokens_RT: Tensor) -> list[str]:
        return decode(tokens_RT.numpy())


CHARACTERS = Characters()


class Pretrained:
    """The tokenizer in a policy folder. A completion ends with the model's end token, or with text `end`."""

    def __init__(self, folder: Path, end: str):
        self._library = library(folder)
        self.vocabulary_size: int = configuration(folder)["vocab_size"]
        self.ends = torch.tensor(end_tokens(folder, end))

    def prompts(self, texts: list[str]) -> Tensor:
        found = [torch.tensor(e.ids) for e in self._library.encode_batch(texts, add_special_tokens=False)]
        return torch.nn.utils.rnn.pad_sequence(found, batch_first=True, padding_value=PADDING)

    def texts(self, tokens_RT: Tensor) -> list[str]:
        counts_R = lengths(tokens_RT, self.ends).tolist()
        rows = [row[:count] for row, count in zip(tokens_RT.tolist(), counts_R, strict=True)]
        return self._library.decode_batch(rows, skip_special_tokens=False)


def load_tokenizer(folder: Path, end: str) -> Tokenizer:
    """Return the tokenizer of a policy folder.

    end: text that ends a completion (`tasks.Task.end`). Raises ValueError if no token of the vocabulary does.
    """
    own = (folder / "tokenizer.json").read_text(encoding="utf-8").rstrip("\n")
    return CHARACTERS if own == files()["tokenizer.json"] else Pretrained(folder, end)


def generated_mask(tokens_RT: Tensor, ends: Tensor = CHARACTERS.ends) -> Tensor:
    """Return a mask, true on the tokens that the policy chose: up to and including the first end token."""
    is_end_RT = torch.isin(tokens_RT, ends).long()
    return is_end_RT.cumsum(1) - is_end_RT == 0


def lengths(tokens_RT: Tensor, ends: Tensor) -> Tensor:
    """Return the number of tokens [R] that the policy chose."""
    return generated_mask(tokens_RT, ends).sum(1)


def encode(texts: list[str], width: int) -> np.ndarray:
    """Return token ids [len(texts), width], padded with the end token.

    Raises ValueError if a text is too long or has a character outside the vocabulary.
    """
    ids = np.full((len(texts), width), END_ID)
    for row, text in zip(ids, texts, strict=True):
        codes = np.frombuffer(text.encode(), np.uint8)
        if len(codes) > width or codes.max(initial=0) > 127 or (_ID_OF_CODE[codes] < 0).any():
            raise ValueError(f"cannot encode {text!r} in {width} of the tokens {SYMBOLS!r}")
        row[: len(codes)] = _ID_OF_CODE[codes]
    return ids


def decode(ids: np.ndarray) -> list[str]:
    """Return the texts of token ids [rows, width], each up to and including its first end token."""
    texts = ("".join([SYMBOLS[i] for i in row]) for row in ids.tolist())
    return [head + end for head, end, _ in (text.partition(END) for text in texts)]


def files() -> dict[str, str]:
    """Return the contents of the tokenizer's files for `transformers.AutoTokenizer`, by name."""
    tokenizer = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [],
        "normalizer": None,
        "pre_tokenizer": {
            "type": "Split",
            "pattern": {"Regex": "."},
            "behavior": "Isolated",
            "invert": False,
        },
        "post_processor": None,
        "decoder": {"type": "Fuse"},
        "model": {"type": "WordLevel", "vocab": _VOCABULARY, "unk_token": END},
    }
    configuration = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "pad_token": END,
        "eos_token": END,
        "model_max_length": 1024,
    }
    return {
        "tokenizer.json": json.dumps(tokenizer, indent=1),
        "tokenizer_config.json": json.dumps(configuration, indent=1),
    }
