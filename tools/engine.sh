#!/bin/bash
# Makes sure that a Docker Engine answers: by systemd where that runs, else as a background process (containers, CI).
set -euo pipefail
socket=${DOCKER_SOCKET:-/var/run/docker.sock}
log=/var/log/dockerd-limpet.log

answers() {
  [ -S "$socket" ] || return 1
  python3 - "$socket" <<'P' 2>/dev/null
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.settimeout(5)
s.connect(sys.argv[1])
s.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
sys.exit(b" 200 " not in s.recv(100))
P
}

as_root() { if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi; }

answers && exit 0
if [ "$(id -u)" -ne 0 ] && as_root test -S "$socket" && [ ! -w "$socket" ]; then
  echo "limpet: $(id -un) may not use $socket. Run make as root, or join the group docker." >&2
  exit 1
fi
echo "starting the Docker Engine"
if [ -d /run/systemd/system ]; then
  as_root systemctl start docker
else
  if ! grep -qE ' (/sys/fs/cgroup|/sys/fs/cgroup/[a-z]+) cgroup2? ' /proc/mounts; then
    as_root mkdir -p /sys/fs/cgroup
    as_root mount -t cgroup2 cgroup2 /sys/fs/cgroup || true
  fi
  as_root rm -f /var/run/docker.pid
  as_root setsid --fork sh -c "exec dockerd >>$log 2>&1 </dev/null"
fi
for _ in $(seq 1 300); do
  answers && exit 0
  sleep 0.2
done
if [ -d /run/systemd/system ]; then as_root journalctl -u docker -n 20 --no-pager >&2; else tail -n 20 "$log" >&2; fi
echo "limpet: the Docker Engine does not answer at $socket after 60 s. Its last words are above." >&2
exit 1
