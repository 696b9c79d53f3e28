#!/bin/bash
# Makes sure that a Docker Engine answers: by systemd where that runs, else as a background process (containers, CI).
set -euo pipefail
socket=${DOCKER_SOCKET:-/var/run/docker.sock}
log=/var/log/dockerd-limpet.log
python=$("$(dirname "$0")/python.sh")

# Prints what the Engine answers to a GET.
ask() {
  [ -S "$socket" ] || return 1
  "$python" - "$socket" "$1" <<'P' 2>/dev/null
import http.client, socket, sys
engine = http.client.HTTPConnection("localhost", timeout=5)
engine.sock = socket.socket(socket.AF_UNIX)
engine.sock.settimeout(5)
engine.sock.connect(sys.argv[1])
engine.request("GET", sys.argv[2])
answer = engine.getresponse()
print(answer.read().decode().strip())
sys.exit(answer.status != 200)
P
}

answers() { ask /_ping >/dev/null; }

as_root() { if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi; }

# In a container whose /proc/sys cannot be written, Docker 26 and later start no container on a bridge without this setting.
setting=DOCKER_ALLOW_IPV6_ON_IPV4_INTERFACE=1
bend_to_read_only_proc() {
  dropin=/etc/systemd/system/docker.service.d/limpet-read-only-proc.conf
  grep -qE '^[^ ]+ /proc/sys proc ro[, ]' /proc/mounts && [ -d /run/systemd/system ] && [ ! -e $dropin ] || return 0
  [ -e /lib/systemd/system/docker.service ] || return 0
  ! systemctl show --property=Environment docker | grep -q "$setting" || return 0
  dockerd --version | grep -qE 'version (2[6-9]|[3-9][0-9])' || return 0
  if [ "$(ask /containers/json || echo '[]')" != '[]' ]; then  # never restart it below somebody's containers
    echo "limpet: if containers do not start, set $setting in docker.service (/proc/sys is read-only here)" >&2
    return 0
  fi
  echo "telling docker.service that /proc/sys is read-only here ($dropin)"
  as_root mkdir -p "${dropin%/*}"
  printf '[Service]\nEnvironment=%s\n' "$setting" | as_root tee $dropin >/dev/null
  as_root systemctl daemon-reload
  as_root systemctl restart docker
}

bend_to_read_only_proc
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
  as_root env "$setting" setsid --fork sh -c "exec dockerd >>$log 2>&1 </dev/null"
fi
for _ in $(seq 1 300); do
  answers && exit 0
  sleep 0.2
done
if [ -d /run/systemd/system ]; then as_root journalctl -u docker -n 20 --no-pager >&2; else tail -n 20 "$log" >&2; fi
echo "limpet: the Docker Engine does not answer at $socket after 60 s. Its last words are above." >&2
exit 1
