#!/usr/bin/env bash
# Makes sure that a Docker engine answers. Exit 0: it does. Exit 1: it does not, and the last line says why.
# Root on Debian or Ubuntu: installs docker.io, iptables and debootstrap where missing and starts dockerd, which stays.
set -euo pipefail

deadline_s=60
log=/var/log/envport-dockerd.log

say() { echo "docker-engine: $*" >&2; }
answers() { docker version --format '{{.Server.Version}}' 2>/dev/null; }

missing() {
  command -v dockerd >/dev/null || echo docker.io
  command -v iptables >/dev/null || echo iptables
  command -v debootstrap >/dev/null || echo debootstrap
}

may_install() { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; }

packages=$(missing | tr '\n' ' ')
if [ -n "$packages" ] && may_install; then
  say "installing $packages"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -q >&2
  # shellcheck disable=SC2086  # a list of package names
  apt-get install -q -y --no-install-recommends $packages >&2
fi

if version=$(answers); then
  say "engine $version answers"
  exit 0
fi
if [ "$(id -u)" != 0 ]; then
  say "no engine answers and only root may start one: start Docker, or add this user to the group docker"
  exit 1
fi
if ! command -v dockerd >/dev/null; then
  say "no engine answers, and dockerd is not installed and there is no apt-get to install it with"
  exit 1
fi

say "starting dockerd, its log is $log"
setsid nohup dockerd >"$log" 2>&1 </dev/null &
for ((second = 0; second < deadline_s; second++)); do
  if version=$(answers); then
    say "engine $version answers after $second s"
    exit 0
  fi
  sleep 1
done
tail -n 5 "$log" >&2
say "dockerd did not answer within $deadline_s s, see $log"
exit 1
