"""Checks a fleet repository for one host, or with --all for every host that can be derived from it.

All problems are shown at once, each with file, line and remedy. It needs no settings, Docker, network or
root.
"""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from agent.render import local

    local.add_repository_arguments(parser)
    parser.add_argument("--strict", action="store_true", help="treat warnings as errors")
    parser.add_argument(
        "--all", action="store_true", help="check all hosts and labels that the repository mentions"
    )


def run(args: argparse.Namespace) -> int:
    from agent.cli._checkout import context_here
    from agent.errors import EXIT_FAILED
    from agent.render import local
    from agent.render.validation import validate_all, validate_one

    tree = local.open_tree(args)
    if args.all:
        verdict = validate_all(tree, context_here(args, tree, strict=args.strict))
    else:
        verdict = validate_one(tree, context_here(args, tree, strict=args.strict))
    unseen = tree.untracked()
    if unseen:
        shown = ", ".join(unseen[:3]) + (", …" if len(unseen) > 3 else "")
        print(
            f"note: Git does not track {len(unseen)} of the files here, so no host will see them: {shown}\n"
            "    hint: git add them"
        )
    for warning in verdict.warnings:
        print(f"warning: {warning}")
    for problem in verdict.problems:
        print(problem)
    print(verdict)
    return EXIT_FAILED if verdict.problems else 0
