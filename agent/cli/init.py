"""Writes a small, working fleet repository into DIR, which must be new or empty.

It has one app with three services, and two host files. `limpet validate` finds no problem in it. Read its
README first.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from agent.errors import Stalled

IMAGE = "docker.io/library/busybox:1.37"
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,40}\Z")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("directory", type=Path, metavar="DIR")
    parser.add_argument(
        "--image", default=IMAGE, metavar="REF", help=f"the image of the services (default: {IMAGE})"
    )
    parser.add_argument("--name", default="hello", metavar="APP", help="the app's name (default: hello)")
    parser.add_argument(
        "--port", type=int, default=8080, metavar="N", help="the port on 127.0.0.1 (default: 8080)"
    )


def run(args: argparse.Namespace) -> int:
    if not NAME.match(args.name):
        raise Stalled(
            f"{args.name!r} cannot be the name of an app", "use lower-case letters, digits, - and _"
        )
    if args.directory.exists() and any(item.name != ".git" for item in args.directory.iterdir()):
        raise Stalled(f"{args.directory} is not empty", "name a new directory, or one that holds only .git")
    values = {"@IMAGE@": args.image, "@APP@": args.name, "@PORT@": str(args.port)}
    for path, text in FILES.items():
        for name, value in values.items():
            path, text = path.replace(name, value), text.replace(name, value)
        target = args.directory / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    print(
        f"a fleet repository is in {args.directory}\n\nnext:\n  cd {args.directory}\n"
        "  git init && git add -A && git commit -m First\n"
        "  limpet validate\n  limpet render\n\nREADME.md explains the files."
    )
    return 0


README = """\
# Fleet

What the hosts of this fleet run. Each host follows a branch of this repository: `limpet` on the host pulls
it, makes the host what it says, checks that the result is healthy, and goes back to the last good state when
it is not. A change is a commit; undoing it is `git revert`.

| path | purpose |
| --- | --- |
| `apps/@APP@/compose.yaml` | a Compose project; the files beside it belong to it |
| `files/etc/@APP@/app.conf.j2` | the host file `/etc/@APP@/app.conf`, rendered with Jinja2 |
| `layer.yaml` | variables, attributes of host files, health checks |

Before you push:

    limpet validate              # every problem at once, with file, line and remedy
    limpet render -o /tmp/out    # the files and apps as a host would get them

When hosts begin to differ, add `fleet.yaml`:

    layers:
      - base                     # move apps/, files/ and layer.yaml here
      - path: roles/web
        when: {role: web}        # hosts with this label
      - path: hosts/{host}       # one host's own files
        optional: true
"""

LAYER = """\
# Variables for templates, as {{ vars.greeting }}. Later layers win; mappings are merged, lists replaced.
vars:
  greeting: Hello from Limpet

# Attributes of host files, by path on the host. Globs are allowed; the most specific wins.
files:
  /etc/@APP@/app.conf:
    mode: "0644"
    check: grep -q greeting {file}   # run on the new file before it replaces the old one; argv, no shell

# Part of the health decision, besides every container's own health. A release that fails it is rolled back.
checks:
  @APP@-answers: {http: "http://127.0.0.1:@PORT@/", within: 60s}
"""

COMPOSE = """\
name: @APP@
services:
  prepare:                       # runs to completion before web starts
    image: @IMAGE@
    command: ["sh", "-c", "echo prepared > /shared/state"]
    volumes: ["shared:/shared"]

  web:
    image: @IMAGE@
    command: ["httpd", "-f", "-p", "8080", "-h", "/www"]
    ports: ["127.0.0.1:@PORT@:8080"]
    volumes: ["./www:/www:ro"]   # tracked by Git: a change re-creates only web
    depends_on:
      prepare: {condition: service_completed_successfully}
    healthcheck:
      test: ["CMD", "wget", "-q", "-O", "/dev/null", "http://127.0.0.1:8080/"]
      interval: 1s
      timeout: 2s
      retries: 5
    restart: unless-stopped
    stop_grace_period: 1s

  worker:
    image: @IMAGE@
    command: ["sh", "-c", "cat /etc/worker.conf; exec sleep 1000000"]
    volumes:
      - ./worker.conf:/etc/worker.conf:ro   # rendered from worker.conf.j2
      - shared:/shared
      - ./data:/data             # not in Git: data, which Limpet never touches
    restart: unless-stopped
    stop_grace_period: 1s

volumes:
  shared: {}
"""

FILES = {
    "README.md": README,
    "layer.yaml": LAYER,
    "apps/@APP@/compose.yaml": COMPOSE,
    "apps/@APP@/www/index.html": "<h1>Hello</h1>\n",
    "apps/@APP@/worker.conf.j2": "# for the worker on {{ host }}\ngreeting = {{ vars.greeting }}\nworkers "
    "= {{ facts.cpus }}\n",
    "files/etc/@APP@/app.conf.j2": "greeting = {{ vars.greeting }}\nhost = {{ host }}\n",
    "files/etc/@APP@/about.txt.j2": "{{ host }} runs {{ facts.os.name }} {{ facts.os.version }} on {{ "
    "facts.arch }}\n",
}
