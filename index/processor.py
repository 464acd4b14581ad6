"""What this machine's processor can do, as torch tells it."""

from __future__ import annotations


def bfloat16_by() -> str | None:
    """The instructions by which the CPU computes in bfloat16: AMX, AVX512_BF16, or None."""
    able = _capabilities()
    for flag, name in (("amx_bf16", "AMX"), ("avx512_bf16", "AVX512_BF16")):
        if able.get(flag):
            return name
    return None


def _capabilities() -> dict[str, bool]:
    import torch

    if hasattr(torch.cpu, "get_capabilities"):
        return dict(torch.cpu.get_capabilities())
    # torch before 2.8 tells the same by private names.
    return {
        "amx_bf16": bool(torch.cpu._is_amx_tile_supported()),
        "avx512_bf16": bool(torch.cpu._is_avx512_bf16_supported()),
    }
