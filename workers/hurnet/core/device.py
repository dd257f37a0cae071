"""Where torch works."""

from __future__ import annotations

import torch


def float64_device(name: str) -> torch.device:
    """The torch device for float64 work: "auto" is CUDA where there is one, else the CPU.

    Apple's "mps" has no float64, so its work is done on the CPU. Raises ValueError for a device that is
    unknown or not here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"unknown device {name!r}") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ValueError(f"there is no device {name!r} here")
    if device.type not in ("cpu", "cuda", "mps"):
        raise ValueError(f"device {name!r} is not one of auto, cuda, mps and cpu")
    return torch.device("cpu") if device.type == "mps" else device
