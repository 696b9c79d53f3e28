"""Reads and checks the settings for the daemon, which must not import the code that checks them. The answer
is one JSON line.
"""

from __future__ import annotations

import argparse
import json

from agent.errors import LimpetError
from agent.sandbox import error_document
from agent.settings.load import load_settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    pass


def run(args: argparse.Namespace) -> int:
    try:
        print(json.dumps({"settings": load_settings(args.root).to_json()}))
    except LimpetError as error:
        print(json.dumps(error_document(error)))
        return error.exit_code
    return 0
