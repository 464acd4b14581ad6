"""Opening: a layout becomes a diffusers pipeline, from local safetensors files and nothing else.

The only place that calls diffusers' and transformers' loaders. Knows which part takes which dtype
only as it is told.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from index.bundled import bundled_model
from sovgen.errors import ModelDamaged
from sovgen.models.layout import Layout
from sovgen.models.safety import load_checker

if TYPE_CHECKING:
    import torch

    Dtypes = Mapping[str, torch.dtype]


def open_pipeline(layout: Layout, dtypes: Dtypes, *, safety: bool) -> Any:  # noqa: ANN401
    """The pipeline in memory, on the CPU.

    Raises ModelDamaged when the files hold fewer numbers than the model needs, or when their
    shapes do not fit its configuration; with `safety`, what `load_checker` raises.
    """
    checker = load_checker(layout) if safety else {}
    try:
        if layout.is_file:
            pipe = _open_file(layout, dtypes)
        else:
            pipe = _open_folder(layout, dtypes, checker)
    except (ValueError, RuntimeError, KeyError, OSError) as error:
        raise ModelDamaged(
            f"{layout.path.name} cannot be loaded: {_first_line(error)}",
            "Its weights and its configuration do not belong together: get it again.",
        ) from error
    _refuse_gaps(layout, pipe)
    return pipe


def _open_folder(layout: Layout, dtypes: Dtypes, checker: Mapping[str, Any]) -> Any:  # noqa: ANN401
    import diffusers

    variants = sorted({part.variant for part in layout.weights.values() if part.variant})
    left_out = layout.kind.optional - set(layout.parts)
    unused = dict.fromkeys(("image_encoder", "safety_checker", "feature_extractor", *left_out))
    return getattr(diffusers, layout.pipeline).from_pretrained(
        str(layout.path),
        dtype=dict(dtypes),
        variant=variants[0] if variants else None,
        use_safetensors=True,
        local_files_only=True,
        **{**unused, **checker},
    )


def _open_file(layout: Layout, dtypes: Dtypes) -> Any:  # noqa: ANN401
    """By diffusers' own converter, with configurations written for this file."""
    import diffusers

    with TemporaryDirectory(prefix="sovgen-") as folder:
        _write_configs(Path(folder), layout)
        return getattr(diffusers, layout.pipeline).from_single_file(
            str(layout.path),
            config=folder,
            dtype=dtypes["default"],
            local_files_only=True,
            **_tokenizers(layout),
            **_towers(Path(folder), layout, dtypes),
        )


def _write_configs(folder: Path, layout: Layout) -> None:
    index = {name: ["diffusers", cls] for name, cls in layout.parts.items()}
    index |= {n: ["transformers", c] for n, c in layout.parts.items() if n.startswith("t")}
    _write_json(folder / "model_index.json", {"_class_name": layout.pipeline, **index})
    for name, config in layout.configs.items():
        if name.startswith("tokenizer"):
            continue
        (folder / name).mkdir()
        file = "scheduler_config.json" if name == "scheduler" else "config.json"
        _write_json(folder / name / file, config)


def _write_json(path: Path, values: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(values), encoding="utf-8")


def _tokenizers(layout: Layout) -> dict[str, Any]:
    """CLIP's tokenizer, which is the bundled model's, with the padding and length of each tower."""
    from transformers import CLIPTokenizer

    made = {}
    for tower in layout.towers:
        name = tower.replace("text_encoder", "tokenizer")
        made[name] = CLIPTokenizer.from_pretrained(
            str(bundled_model() / "tokenizer"),
            model_max_length=layout.configs[tower]["max_position_embeddings"],
            local_files_only=True,
            **layout.configs[name],
        )
    return made


def _towers(folder: Path, layout: Layout, dtypes: Dtypes) -> dict[str, Any]:
    """The text towers, where they take another dtype than the rest."""
    if not any(name in dtypes for name in layout.towers):
        return {}
    import transformers
    from diffusers.loaders.single_file_utils import create_diffusers_clip_model_from_ldm
    from safetensors.torch import load_file

    checkpoint = load_file(layout.path)
    return {
        name: create_diffusers_clip_model_from_ldm(
            getattr(transformers, layout.parts[name]),
            checkpoint=checkpoint,
            subfolder=name,
            config=str(folder),
            torch_dtype=dtypes[name],
            local_files_only=True,
        )
        for name in layout.towers
    }


def _refuse_gaps(layout: Layout, pipe: Any) -> None:  # noqa: ANN401
    """diffusers fills what a file lacks with random numbers, or leaves it without any."""
    for name, stored in layout.numbers.items():
        parameters = list(getattr(pipe, name).parameters())
        empty = any(parameter.is_meta for parameter in parameters)
        if empty or sum(parameter.numel() for parameter in parameters) > stored:
            raise ModelDamaged(
                f"{layout.path.name} lacks some weights of its {name}.", "Get the whole model."
            )


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
