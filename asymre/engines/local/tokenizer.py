"""A tokenizer with one token per character, in Hugging Face layout but without a tokenizer library."""

import json

import numpy as np

from asymre.tasks import END, SYMBOLS

_VOCABULARY = {symbol: i for i, symbol in enumerate(SYMBOLS)}
VOCABULARY_SIZE = len(_VOCABULARY)
END_ID = _VOCABULARY[END]
_ID_OF_CODE = np.full(128, -1)
for _symbol in SYMBOLS:
    _ID_OF_CODE[ord(_symbol)] = _VOCABULARY[_symbol]


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
