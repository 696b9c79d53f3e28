"""The commands, one module per verb.

Rules:
1. Each module has `add_arguments(parser)` and `run(args) -> int`; `args.root` is an absolute Path.
2. A module is imported only when its verb was chosen, and imports at its top only what every run of it needs.
3. What is asked for goes to stdout; progress, warnings and errors go to stderr.
4. Verbs that start with `_` are the agent's own children.
"""
