"""The command `limpet`: finds the verb, imports its module, and turns errors into a message, a hint and an
exit code.

Rules:
1. Only the module of the chosen verb is imported.
2. `--root DIR` may stand before or after the verb.
3. A `LimpetError` becomes `limpet: message` and `hint: remedy` on stderr and its own exit code. Wrong usage
   exits 64; ctrl-C 130 and a reader that went away (`limpet history | head`) 141, both without a word.
   Anything else is a bug: a traceback, and 1.
4. `agent.testing` is imported only when the environment has one of its variables.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from agent import __version__
from agent.errors import BadInput, LimpetError

EXIT_USAGE = 64
EXIT_INTERRUPTED = 130
EXIT_BROKEN_PIPE = 141
MAX_PROBLEMS = 20

GROUPS = {
    "converge this host": {
        "run": "the daemon: follows the branch, keeps this host converged",
        "sync": "one pass now; beside a running daemon, asks it and waits",
        "plan": "shows what a pass would do and why; touches nothing",
        "status": "the heartbeat, for a person",
        "history": "what was applied, when, from which commit, with what result",
    },
    "hold, retry, go back": {
        "suspend": "freezes convergence, of everything or of one resource",
        "resume": "ends a suspension",
        "retry": "forgets that a release was rejected",
        "rollback": "goes back to a known good release and holds it",
        "accept": "a person's word for a rewritten branch or for other hardware",
    },
    "work on a fleet repository": {
        "init": "writes a small, working fleet repository",
        "validate": "checks a repository for one host or all",
        "render": "the rendered files and apps of a host",
        "diff": "what changes for each host between two commits",
    },
    "set up and look up": {
        "enroll": "writes settings and keys, installs and starts the service",
        "doctor": "checks settings, source, Docker, systemd, disk and clock",
        "facts": "the facts that templates can use",
        "schema": "the JSON Schema of one of the formats",
        "demo": "the main job on an embedded example, on this machine",
        "version": "the version",
    },
}
HIDDEN = ("_fetch", "_render", "_pass", "_settings")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        sys.stderr.write(f"{self.prog}: {message}\nhint: see `{self.prog} --help`\n")
        sys.exit(EXIT_USAGE)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns its exit code. Errors: SystemExit from the parser (`--help`, wrong usage)."""
    if any(name.startswith("LIMPET_TEST_") for name in os.environ):
        from agent import testing

        testing.install()
    try:
        code = _dispatch(list(sys.argv[1:] if argv is None else argv))
        sys.stdout.flush()
        return code
    except LimpetError as error:
        sys.stderr.write(error_lines(error))
        return error.exit_code
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The flush at exit must be quiet, too.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_BROKEN_PIPE


def error_lines(error: LimpetError) -> str:
    """The lines for stderr: up to MAX_PROBLEMS problems of bad input, else message and hint."""
    if isinstance(error, BadInput):
        lines = [f"limpet: {problem}" for problem in error.problems[:MAX_PROBLEMS]]
        more = len(error.problems) - MAX_PROBLEMS
        return "\n".join([*lines, *([f"limpet: … and {more} more"] if more > 0 else [])]) + "\n"
    return f"limpet: {error.message}\n" + (f"hint: {error.hint}\n" if error.hint else "")


def _dispatch(argv: list[str]) -> int:
    root, rest = _split(argv)
    if not rest or rest[0] in ("-h", "--help", "help"):
        print(overview())
        return 0
    if rest[0] in ("-V", "--version"):
        print(f"limpet {__version__}")
        return 0
    verb, rest = rest[0], rest[1:]
    if verb not in verbs() and not (verb in HIDDEN and _exists(verb)):
        _unknown(verb)
    module = importlib.import_module(f"agent.cli.{verb}")
    summary = next((group[verb] for group in GROUPS.values() if verb in group), "")
    parser = _Parser(
        prog=f"limpet {verb}",
        description=module.__doc__ or summary,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--root",
        type=Path,
        default=root,
        metavar="DIR",
        help="where host paths, settings and state lie (default: /)",
    )
    module.add_arguments(parser)
    args = parser.parse_args(rest)
    args.root = args.root.resolve()
    code: int = module.run(args)
    return code


def _split(argv: list[str]) -> tuple[Path, list[str]]:
    """The root that stands before the verb, and the rest: the verb and its arguments."""
    root = Path("/")
    while argv and argv[0].startswith("--root"):
        option, equals, value = argv[0].partition("=")
        if option != "--root" or (not equals and len(argv) < 2):
            break
        root, argv = (Path(value), argv[1:]) if equals else (Path(argv[1]), argv[2:])
    return root, argv


def _exists(verb: str) -> bool:
    return (Path(__file__).parent / "cli" / f"{verb}.py").is_file()


def verbs() -> dict[str, str]:
    """The verbs that exist, each with one line of help."""
    return {verb: text for group in GROUPS.values() for verb, text in group.items() if _exists(verb)}


def overview() -> str:
    """The help of `limpet` itself."""
    there = verbs()
    lines = [
        "usage: limpet [--root DIR] COMMAND …",
        "",
        "Converges this host to what its branch in Git says, proves it healthy or goes back.",
        "",
    ]
    for title, group in GROUPS.items():
        listed = [f"  {verb:<10} {text}" for verb, text in group.items() if verb in there]
        lines += [f"{title}:", *listed, ""] if listed else []
    lines.append(
        "`limpet COMMAND --help` tells more. `limpet init DIR` writes a fleet repository to start from."
    )
    return "\n".join(lines)


def _unknown(verb: str) -> NoReturn:
    import difflib

    near = difflib.get_close_matches(verb, verbs(), 1)
    hint = f"did you mean `limpet {near[0]}`?" if near else "`limpet --help` lists the commands"
    sys.stderr.write(f"limpet: there is no command {verb!r}\nhint: {hint}\n")
    sys.exit(EXIT_USAGE)


if __name__ == "__main__":
    sys.exit(main())
