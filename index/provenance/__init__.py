"""Who made a picture, and how: one reader per producer.

A reader takes a file's Metadata and answers a Making, or None when the file is not its producer's.
No reader raises: what is malformed is left out, and a file of which nothing can be understood has
no making. This package knows nothing of pixels, files or libraries.
"""

from __future__ import annotations

from index.making import Making
from index.provenance import (
    a1111,
    comfyui,
    dgenerate,
    fooocus,
    invokeai,
    mflux,
    novelai,
    sovgen,
    swarmui,
)
from index.provenance.metadata import Metadata, read_metadata

__all__ = ["Metadata", "read_making", "read_metadata"]

# The most exact account first: several programs write A1111's text beside their own, and some
# ComfyUI nodes write it beside the graph, with the values as they were when the graph ran.
READERS = (
    sovgen.read,
    swarmui.read,
    fooocus.read,
    invokeai.read,
    novelai.read,
    mflux.read,
    dgenerate.read,
    a1111.read,
    comfyui.read,
)


def read_making(metadata: Metadata) -> Making | None:
    """The first making that any reader finds, or None."""
    for read in READERS:
        making = read(metadata)
        if making is not None:
            return making
    return None
