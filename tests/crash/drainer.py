"""Drainer: forks processes that run the program, from a parent that has imported what they need.

`python -m tests.crash.drainer`: for each line on stdin, a JSON list of arguments, a fault point or
null, and a log, it forks and prints the child's process id. Once another line tells it to, it waits
for the child and prints its exit code; until then the id is nobody else's. Importing torch anew for
every child would take longer than what they draw.
"""

from __future__ import annotations

import json
import os
import sys

import diffusers
import open_clip
import torch
from transformers import CLIPTextModel, CLIPTokenizer

from sovgen import keeping
from sovgen.batch import drain
from sovgen.cli.main import program
from sovgen.models import load

IMPORTED = (diffusers.StableDiffusionPipeline, open_clip, CLIPTextModel, CLIPTokenizer, drain, load)


def run(arguments: list[str], fault: str | None, log: str) -> None:
    """The program, in a child; what it says goes into the log."""
    if fault:
        os.environ["SOVGEN_FAULT"] = fault
    keeping.PAUSE_S = 0.02  # commits as often as a slow model would make them
    said = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(said, 1)
    os.dup2(said, 2)
    program(arguments, prog_name="sovgen")


def main() -> None:
    """Until stdin ends."""
    torch.set_num_threads(1)
    print("ready", flush=True)
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            run(*json.loads(line))
            os._exit(0)
        print(child, flush=True)
        sys.stdin.readline()
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    main()
