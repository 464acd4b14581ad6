"""The command line: one file per noun, each imported only when its command is used.

Nothing here computes: a command turns words into a Recipe or a Query, calls the Studio or the
Library, and prints what they return. Results go to stdout, all else to stderr.
"""
