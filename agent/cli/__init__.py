"""The commands, one module per verb.

Rules:
1. Each module has `add_arguments(parser)` and `run(args) -> int`; `args.root` is an absolute Path.
2. A module is imported only if its verb is chosen. At its top it imports only what every run needs.
3. The requested output goes to stdout; progress, warnings and errors go to stderr.
4. Verbs that start with `_` are for the agent's own child processes.
"""
