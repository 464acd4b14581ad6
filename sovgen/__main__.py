"""The program's entry: the guard goes up before anything else is imported.

A child process that multiprocessing spawns imports this module again, and so is guarded too.
"""

from __future__ import annotations

import gc

from sovgen.offline import go_offline

go_offline()
# Importing torch and diffusers makes 800,000 objects that stay; looking through them for garbage
# again and again takes a quarter of the time until a model is loaded.
gc.set_threshold(100_000, 50, 100)


def main() -> None:
    """Run the command line; exits with its code."""
    import io
    import sys

    from sovgen.cli.main import program

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A prompt or a path may hold what this terminal's encoding cannot.
            stream.reconfigure(errors="backslashreplace")
    program(prog_name="sovgen")


if __name__ == "__main__":
    main()
