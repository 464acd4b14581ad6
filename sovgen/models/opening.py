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
from sovgen.errors import ModelDamaged, first_line
from sovgen.models.layout import Layout
from sovgen.models.originals import T5, UNET, VAES
from sovgen.models.pieces import has_only_pieces, t5_tokenizer
from sovgen.models.safety import load_checker
from sovgen.models.scaled import is_scaled, read_tensors
from sovgen.models.vocabulary import find_t5_vocabulary
from sovgen.models.weights import Header, read_header

if TYPE_CHECKING:
    import torch

    Dtypes = Mapping[str, torch.dtype]

T5_CLASS = "T5EncoderModel"


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
            f"{layout.path.name} cannot be loaded: {first_line(error)}",
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
        **{**unused, **checker, **_pieced(layout), **_own(layout, dtypes)},
    )


def _own(layout: Layout, dtypes: Dtypes) -> dict[str, Any]:
    """The parts that a single file has of its own, by diffusers' own converter."""
    import diffusers

    made: dict[str, Any] = {}
    for part in layout.own_parts:
        with TemporaryDirectory(prefix="sovgen-") as folder:
            _write_json(Path(folder) / "config.json", layout.configs[part])
            made[part] = _part(layout, part, Path(folder), dtypes)
    if layout.own_parts:
        scheduler = getattr(diffusers, layout.parts["scheduler"])
        made["scheduler"] = scheduler.from_config(dict(layout.configs["scheduler"]))
    return made


def _part(layout: Layout, part: str, config: Path, dtypes: Dtypes) -> Any:  # noqa: ANN401
    """A part of a single file; scaled float8 is multiplied out before, others are read as needed.

    config: the folder of the part's own configuration
    """
    import diffusers

    dtype = dtypes.get(part, dtypes["default"])
    path = layout.own or layout.path
    header = read_header(path)
    source: Any = str(path)
    if is_scaled(header):
        begins = VAES if part == "vae" else _denoisers(header)
        source = read_tensors(path, dtype, lambda name: name.startswith(begins))
    return getattr(diffusers, layout.parts[part]).from_single_file(
        source, config=str(config), dtype=dtype, local_files_only=True
    )


def _denoisers(header: Header) -> tuple[str, ...]:
    """How names of the denoiser begin; in a file that holds it alone, as they like."""
    return (UNET,) if any(name.startswith(UNET) for name in header.tensors) else ("",)


def _pieced(layout: Layout) -> dict[str, Any]:
    """The tokenizers of a folder that are read here, by their parts."""
    names = {tower: tower.replace("text_encoder", "tokenizer") for tower in layout.towers}
    return {
        name: t5_tokenizer(layout.path / name, layout.tokens[tower])
        for tower, name in names.items()
        if layout.parts[tower] == T5_CLASS and has_only_pieces(layout.path / name)
    }


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
            **_scaled(Path(folder), layout, dtypes),
        )


def _scaled(folder: Path, layout: Layout, dtypes: Dtypes) -> dict[str, Any]:
    """The denoiser and the autoencoder of a file whose numbers diffusers would misread."""
    if not is_scaled(read_header(layout.path)):
        return {}
    everywhere = dict.fromkeys(dtypes, dtypes["default"])
    parts = (layout.kind.denoiser, "vae")
    return {part: _part(layout, part, folder / part, everywhere) for part in parts}


def _write_configs(folder: Path, layout: Layout) -> None:
    index: dict[str, Any] = {name: ["diffusers", cls] for name, cls in layout.parts.items()}
    if not layout.kind.begins:
        # A refiner reads an empty negative as it stands.
        index["force_zeros_for_empty_prompt"] = False
    texts = ("text_encoder", "tokenizer")
    index |= {n: ["transformers", c] for n, c in layout.parts.items() if n.startswith(texts)}
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
    """CLIP's, which is the bundled model's, with the padding and length of each tower; T5's."""
    from transformers import CLIPTokenizer, T5Tokenizer

    made = {}
    for tower in layout.towers:
        name = tower.replace("text_encoder", "tokenizer")
        if layout.parts[tower] == T5_CLASS:
            vocabulary = find_t5_vocabulary(layout.path)
            if vocabulary and has_only_pieces(vocabulary):
                made[name] = t5_tokenizer(vocabulary, layout.tokens[tower])
            else:
                made[name] = T5Tokenizer.from_pretrained(str(vocabulary), local_files_only=True)
            continue
        made[name] = CLIPTokenizer.from_pretrained(
            str(bundled_model() / "tokenizer"),
            model_max_length=layout.configs[tower]["max_position_embeddings"],
            local_files_only=True,
            **layout.configs[name],
        )
    return made


def _towers(folder: Path, layout: Layout, dtypes: Dtypes) -> dict[str, Any]:
    """The text towers, each in its own dtype; None for one that is not there."""
    import transformers
    from diffusers.loaders.single_file_utils import create_diffusers_clip_model_from_ldm

    # all but those of the denoiser, which are most of the file
    tensors = read_tensors(layout.path, dtypes["default"], lambda name: not name.startswith(UNET))
    made: dict[str, Any] = dict.fromkeys(layout.kind.optional - set(layout.parts))
    for name in layout.towers:
        dtype = dtypes.get(name, dtypes["default"])
        if layout.parts[name] == T5_CLASS:
            made[name] = _t5(layout.configs[name], tensors, dtype)
            continue
        made[name] = create_diffusers_clip_model_from_ldm(
            getattr(transformers, layout.parts[name]),
            checkpoint=tensors,
            subfolder=name,
            config=str(folder),
            torch_dtype=dtype,
            local_files_only=True,
        )
    return made


def _t5(config: Mapping[str, Any], tensors: Mapping[str, Any], dtype: torch.dtype) -> Any:  # noqa: ANN401
    """diffusers' own reader leaves the embedding without numbers where the file has it once."""
    import torch
    from transformers import T5Config, T5EncoderModel

    with torch.device("meta"):
        model = T5EncoderModel(T5Config(**config))
    state = {n.removeprefix(T5): t.to(dtype) for n, t in tensors.items() if n.startswith(T5)}
    state.setdefault("encoder.embed_tokens.weight", state["shared.weight"])
    model.load_state_dict(state, assign=True)
    model.tie_weights()
    return model.train(False)


def _refuse_gaps(layout: Layout, pipe: Any) -> None:  # noqa: ANN401
    """diffusers fills what a file lacks with random numbers, or leaves it without any."""
    for name, stored in layout.numbers.items():
        parameters = list(getattr(pipe, name).parameters())
        empty = any(parameter.is_meta for parameter in parameters)
        if empty or sum(parameter.numel() for parameter in parameters) > stored:
            raise ModelDamaged(
                f"{layout.path.name} lacks some weights of its {name}.", "Get the whole model."
            )
