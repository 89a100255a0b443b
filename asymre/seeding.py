"""Random streams derived from their purpose, never from global state or scheduling."""

import hashlib

import numpy as np
import torch


def numpy_stream(*identity: str | int) -> np.random.Generator:
    """Return a generator for this identity, for example `("rollouts", seed, first_step)`."""
    return np.random.default_rng(integer(*identity))


def torch_stream(*identity: str | int) -> torch.Generator:
    """Return the same for torch, on the CPU."""
    return torch.Generator().manual_seed(integer(*identity))


def integer(*identity: str | int) -> int:
    """Return the seed of this identity, 63 bits, for generators of other libraries."""
    text = "/".join(f"{type(part).__name__}:{part}" for part in identity)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
