#!/bin/sh
# Prints the first Python on PATH that is new enough; ends with a remedy when there is none.
for name in python3 python3.13 python3.12 python3.11; do
  if command -v "$name" >/dev/null 2>&1 && "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    command -v "$name"
    exit 0
  fi
done
echo "limpet: no Python 3.11 or newer on PATH. Install one (Debian 12, Ubuntu 24.04: apt-get install python3)." >&2
exit 1
