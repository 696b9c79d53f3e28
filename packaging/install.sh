#!/bin/bash
# Installs Limpet in the layout of its packages, below DESTDIR and PREFIX (default: this host, /usr). Run it again to upgrade.
#   packaging/install.sh [DESTDIR [PREFIX]]
#   WHEEL=FILE         installs this wheel of Limpet instead of one built from the checkout
#   ONLY=dependencies  makes the environment and stops there
# Rules: the environment is Limpet's own, with compiled modules. It is made anew only when the locked dependencies or
# the Python have changed. The service is neither enabled nor started.
set -euo pipefail
cd "$(dirname "$0")/.."
destdir=${1:-} prefix=${2:-/usr}
python=$(tools/python.sh)
home=$prefix/lib/limpet
venv=$destdir$home/venv
units=$prefix/lib/systemd/system
[ "$prefix" != /usr/local ] || units=/etc/systemd/system

wanted=$({ cat requirements.lock; "$python" -c 'import sys; print(sys.version)'; } | sha256sum | cut -d' ' -f1)
if [ "$(cat "$venv/.limpet-requirements" 2>/dev/null)" != "$wanted" ]; then
  rm -rf "$venv"
  "$python" -m venv "$venv"
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input --use-pep517 --require-hashes -r requirements.lock
  "$venv/bin/python" -m compileall -q "$venv/lib" || true
  echo "$wanted" > "$venv/.limpet-requirements"
fi
[ "${ONLY:-}" != dependencies ] || exit 0
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input --no-deps --force-reinstall "${WHEEL:-.}"
"$venv/bin/python" -m compileall -q "$venv"/lib/python*/site-packages/agent

install -d "$destdir$prefix/bin" "$destdir$units" "$destdir$prefix/lib/sysusers.d" "$destdir$prefix/lib/tmpfiles.d"
cat > "$destdir$home/limpet" <<P
#!$home/venv/bin/python -I
import sys

from agent.__main__ import main

sys.exit(main())
P
chmod 755 "$destdir$home/limpet"
ln -sfn "$home/limpet" "$destdir$prefix/bin/limpet"
sed "s|/usr/lib/limpet/|$home/|" systemd/limpet.service > "$destdir$units/limpet.service"
install -m 644 systemd/sysusers.d/limpet.conf "$destdir$prefix/lib/sysusers.d/limpet.conf"
install -m 644 systemd/tmpfiles.d/limpet.conf "$destdir$prefix/lib/tmpfiles.d/limpet.conf"

if [ -z "$destdir" ] && [ -d /run/systemd/system ]; then
  systemd-sysusers "$prefix/lib/sysusers.d/limpet.conf"
  systemd-tmpfiles --create "$prefix/lib/tmpfiles.d/limpet.conf"
  systemctl daemon-reload
fi
