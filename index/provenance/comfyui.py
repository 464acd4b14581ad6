"""ComfyUI: the graph that ran, in the PNG text chunk `prompt`; in WebP, EXIF Model `prompt:{...}`.

The graph is {node id: {"class_type", "inputs": {name: value or [node id, slot]}}}. A making is read
by walking back from the node that saved the picture to the sampler, and from there along its inputs
to the texts, the model and the size. Graphs are open-ended: what cannot be followed is left out,
and a graph without a sampler has no making.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import PureWindowsPath

from index.making import Making
from index.provenance import values
from index.provenance.metadata import MAKE, MODEL, Metadata

Node = Mapping[str, object]
Graph = Mapping[str, object]

# Where the settings lie that a plain KSampler holds itself and a custom one gathers from others.
_SETTINGS = frozenset(("noise", "guider", "sampler", "sigmas"))
_CONDITIONS = frozenset(("positive", "guider", "conditioning"))
_MODELS = ("ckpt_name", "unet_name", "model_name", "base_ckpt_name")
_VALUES = ("value", "int", "float", "number", "Number", "text", "string", "seed")
_NO_TEXT = frozenset(("clip", "model", "vae", "image", "control_net", "mask", "latent", "pixels"))
_MOST_NODES = 2000
_MOST_TEXTS = 60


def read(metadata: Metadata) -> Making | None:
    """The making that a ComfyUI graph tells, or None."""
    graph = values.table(values.parse(metadata.texts.get("prompt") or _in_exif(metadata)))
    sampler = _sampler(graph)
    return _making(graph, sampler) if sampler else None


def _in_exif(metadata: Metadata) -> str:
    for tag in (MODEL, MAKE):
        name, _, written = metadata.exif.get(tag, "").partition(":")
        if name == "prompt":
            return written
    return ""


def _making(graph: Graph, sampler: Node) -> Making:
    size = _first(_behind(graph, [sampler], lambda name: True), ("width", "height"))
    guidance = _setting(graph, sampler, _SETTINGS, "cfg")
    if guidance is None:  # FLUX is told its guidance along with the words
        guidance = _setting(graph, sampler, _CONDITIONS, "guidance")
    return Making(
        producer="comfyui",
        prompt=_words(graph, sampler, "positive"),
        negative=_words(graph, sampler, "negative"),
        model=_model(graph, sampler),
        sampler=values.filled(_setting(graph, sampler, _SETTINGS, "sampler_name")),
        steps=values.count(_setting(graph, sampler, _SETTINGS, "steps")),
        guidance=values.number(guidance),
        seed=values.whole(_setting(graph, sampler, _SETTINGS, "seed", "noise_seed")),
        width=values.count(_literal(graph, size.get("width"))),
        height=values.count(_literal(graph, size.get("height"))),
        extra=_extra(graph, sampler),
    )


def _sampler(graph: Graph) -> Node | None:
    """The sampler nearest to a node that saves; without such a node, the first of all."""
    nodes = [node for node in map(values.table, graph.values()) if node]
    saving = [node for node in nodes if "save" in _kind(node)]
    found = (n for n in _behind(graph, saving or nodes, lambda name: True) if _samples(n))
    return next(found, None)


def _samples(node: Node) -> bool:
    return "sampler" in _kind(node) and bool({"positive", "guider"} & _inputs(node).keys())


def _kind(node: Node) -> str:
    return (values.text(node.get("class_type")) or "").lower()


def _inputs(node: Node) -> Mapping[str, object]:
    return values.table(node.get("inputs"))


def _node(graph: Graph, link: object) -> Node:
    """The node that a link [id, slot] comes from; empty for what is no link."""
    if isinstance(link, list) and len(link) == 2 and isinstance(link[0], str | int):
        return values.table(graph.get(str(link[0])))
    return {}


def _behind(graph: Graph, start: Iterable[Node], along: Callable[[str], bool]) -> Iterator[Node]:
    """These nodes and those that feed them through the inputs asked for, nearest first."""
    waiting, seen = deque(start), set[int]()
    while waiting and len(seen) < _MOST_NODES:
        node = waiting.popleft()
        if not node or id(node) in seen:
            continue
        seen.add(id(node))
        yield node
        waiting.extend(_node(graph, link) for name, link in _inputs(node).items() if along(name))


def _first(nodes: Iterable[Node], names: tuple[str, ...]) -> Mapping[str, object]:
    """The inputs of the first node that has them all; empty when none has."""
    return next((_inputs(n) for n in nodes if all(name in _inputs(n) for name in names)), {})


def _setting(graph: Graph, sampler: Node, along: frozenset[str], *names: str) -> object:
    """The first value of one of these names, at the sampler or behind the inputs in `along`."""
    for node in _behind(graph, [sampler], along.__contains__):
        for name in names:
            found = _literal(graph, _inputs(node).get(name))
            if found is not None:
                return found
    return None


def _literal(graph: Graph, value: object) -> object:
    """The value itself, or that of the node it is linked to, through a few nodes at most."""
    for _ in range(8):
        if not isinstance(value, list):
            return value
        inputs = _inputs(_node(graph, value))
        value = next((inputs[name] for name in _VALUES if name in inputs), None)
    return None


def _words(graph: Graph, sampler: Node, role: str) -> str | None:
    """All texts that reach the sampler as its positive or negative, each once."""
    inputs = _inputs(sampler)
    link = inputs.get(role)
    guider = inputs.get("guider")
    # a guider without a negative has only the one text, and that is the positive
    if link is None and (role == "positive" or role in _inputs(_node(graph, guider))):
        link = guider
    found = dict.fromkeys(_texts(graph, link, role, []))
    return values.text(", ".join(found)) if found else None


def _texts(graph: Graph, link: object, role: str, seen: list[Node]) -> Iterator[str]:
    node = _node(graph, link)
    known = any(node is other for other in seen)
    if known or len(seen) > _MOST_TEXTS or "zeroout" in _kind(node):
        return
    seen.append(node)
    inputs = _inputs(node)
    names = [role] if {"positive", "negative"} <= inputs.keys() else list(inputs)
    for name in names:
        value = inputs[name]
        if isinstance(value, str) and value.strip() and _is_text(name):
            yield value.strip()
        elif isinstance(value, list) and name not in _NO_TEXT:
            yield from _texts(graph, value, role, seen)


def _is_text(name: str) -> bool:
    return name.startswith(("text", "string", "prompt", "value", "clip_l", "t5xxl")) or name in (
        "positive",
        "negative",
    )


def _model(graph: Graph, sampler: Node) -> str | None:
    for node in _behind(graph, [sampler], _carries_model):
        for name in _MODELS:
            found = values.filled(_inputs(node).get(name))
            if found:
                return _stem(found)
    return None


def _carries_model(name: str) -> bool:
    return "model" in name or "pipe" in name or name == "guider"


def _stem(name: str) -> str:
    """The file's name without its folder, which may tell of the writer's machine."""
    return PureWindowsPath(name).name.removesuffix(".safetensors").removesuffix(".ckpt")


def _extra(graph: Graph, sampler: Node) -> dict[str, object]:
    loras = [
        {"name": _stem(name), "strength": values.number(_inputs(node).get("strength_model"))}
        for node in _behind(graph, [sampler], _carries_model)
        if (name := values.filled(_inputs(node).get("lora_name")))
    ]
    found = {
        "scheduler": _setting(graph, sampler, _SETTINGS, "scheduler"),
        "denoise": _setting(graph, sampler, _SETTINGS, "denoise"),
        "loras": loras,
    }
    return values.rest(found, frozenset())
