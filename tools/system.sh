#!/bin/bash
# Installs what the system lacks for `make setup` (base) or for the tests (test), with apt-get; quick and silent when nothing is missing.
# Rules: nothing that is there is upgraded or replaced (another Docker Engine counts as one); services that only the tests
# need are neither started nor enabled.
set -euo pipefail
cd "$(dirname "$0")/.."
export LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive

as_root() {
  if [ "$(id -u)" -eq 0 ]; then "$@"; return; fi
  if command -v sudo >/dev/null 2>&1; then sudo --preserve-env=DEBIAN_FRONTEND "$@"; return; fi
  echo "limpet: needs root for: $*. Run make as root, or install sudo." >&2
  exit 1
}

have() { PATH="$PATH:/usr/sbin:/sbin" command -v "$1" >/dev/null 2>&1; }
installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

missing_base() {
  python=$(tools/python.sh 2>/dev/null) || python=
  if [ -z "$python" ]; then
    if have python3; then echo python3.11 python3.11-venv python3.11-dev; else echo python3 python3-venv python3-dev; fi
  else
    version=$("$python" -c 'import sys; print("python%d.%d" % sys.version_info[:2])')
    [ "$(readlink -f "$python")" = "$(readlink -f /usr/bin/python3)" ] && version=python3
    "$python" -c 'import ensurepip, venv' 2>/dev/null || echo "$version-venv"
    "$python" -c 'import os, sys, sysconfig; sys.exit(not os.path.exists(sysconfig.get_path("include") + "/Python.h"))' || echo "$version-dev"
  fi
  have gcc || echo gcc
  [ -e /usr/include/stdlib.h ] || echo libc6-dev
  have pkg-config || echo pkg-config
  installed libsystemd-dev || echo libsystemd-dev
  installed busybox-static || echo busybox-static
  installed ca-certificates || echo ca-certificates
  have git || echo git
  have dockerd || echo docker.io docker-cli
}

missing_test() {
  for pair in debootstrap:debootstrap docker-registry:docker-registry nginx:nginx-light fcgiwrap:fcgiwrap sshd:openssh-server \
    ssh-keygen:openssh-client ip:iproute2 docker-compose:docker-compose strace:strace; do
    have "${pair%%:*}" || echo "${pair##*:}"
  done
  [ -e /usr/share/keyrings/debian-archive-keyring.gpg ] || echo debian-archive-keyring
}

# Keeps packages of the tests from starting servers on this machine (their units are also disabled below).
install_quietly() {
  policy=/usr/sbin/policy-rc.d
  if [ ! -e $policy ]; then
    printf '#!/bin/sh\nexit 101\n' | as_root tee $policy >/dev/null
    as_root chmod 755 $policy
    trap 'as_root rm -f /usr/sbin/policy-rc.d' EXIT
  fi
  as_root apt-get install -y -qq -o Acquire::Retries=5 --no-install-recommends -o Dpkg::Use-Pty=0 "$@" >"$log" 2>&1
  [ -d /run/systemd/system ] || return 0
  for unit in docker-registry nginx fcgiwrap.socket fcgiwrap ssh; do
    case " $* " in *" ${unit%%.*}"*) as_root systemctl disable --quiet "$unit" 2>/dev/null || true ;; esac
  done
}

group=${1:?base or test}
packages=$("missing_$group" | tr '\n' ' ')
[ -n "${packages// /}" ] || exit 0
if ! have apt-get; then
  echo "limpet: missing: $packages(Debian's names). Only apt-get systems are set up by make; install them by hand." >&2
  exit 1
fi

log=$(mktemp)
available() { apt-cache show "$1" >/dev/null 2>&1; }
if ! available libsystemd-dev || ! available busybox-static; then  # a machine without package lists
  as_root apt-get update -qq -o Acquire::Retries=5 >"$log" 2>&1 || true
fi
wanted=()
for package in $packages; do  # docker-cli is a package of its own from Debian 13 on
  [ "$package" = docker-cli ] && ! available docker-cli || wanted+=("$package")
done
try() {
  if [ "$group" = test ]; then install_quietly "${wanted[@]}"; else
    as_root apt-get install -y -qq -o Acquire::Retries=5 --no-install-recommends -o Dpkg::Use-Pty=0 "${wanted[@]}" >"$log" 2>&1
  fi
}
echo "installing with apt-get: ${wanted[*]}"
if ! try; then  # package lists may be old
  as_root apt-get update -qq -o Acquire::Retries=5 >>"$log" 2>&1 || true
  if ! try; then
    tail -n 20 "$log" >&2
    echo "limpet: apt-get could not install: ${wanted[*]}. Mend what it says above and run make again." >&2
    exit 1
  fi
fi
rm -f "$log"
