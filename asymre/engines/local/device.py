"""The device on which a pretrained model computes."""

import torch

CPU = torch.device("cpu")
DEVICES = ("auto", "cpu", "cuda", "mps")


def find_device(name: object) -> torch.device:
    """Return the device of one of DEVICES; auto is the first there is of cuda, mps and cpu.

    Raises ValueError if it is not there.
    """
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    name = next(kind for kind, is_there in there.items() if is_there) if str(name) == "auto" else str(name)
    if not there.get(name):
        found = ", ".join(kind for kind, is_there in there.items() if is_there)
        raise ValueError(f"torch sees no device {name!r} here, only {found}: set local.device")
    return torch.device(name)
