#!/usr/bin/env bash
# Makes sure that a Docker engine answers. Exit 0: it does. Exit 1: it does not, and the last line says why.
# Root on Debian or Ubuntu: installs the client where missing, then asks; where no engine answers it installs docker.io
# and iptables and starts dockerd, which stays. What base-image.sh needs to make an image is installed too.
set -euo pipefail

deadline_s=60
log=/var/log/envport-dockerd.log

say() { echo "docker-engine: $*" >&2; }
answers() { docker version --format '{{.Server.Version}}' 2>/dev/null; }

may_install() { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; }

updated=
update() {
  if [ -z "$updated" ]; then apt-get update -q >&2; fi
  updated=yes
}

install() { # install PACKAGE...: does nothing without one, or where this user may not
  if [ "$#" = 0 ] || ! may_install; then return; fi
  say "installing $*"
  update
  DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "$@" >&2
}

if ! command -v docker >/dev/null && may_install; then
  update
  # Since Debian 13 the client is a package of its own; before that it came with the engine.
  if [ -n "$(apt-cache search --names-only '^docker-cli$')" ]; then install docker-cli; else install docker.io; fi
fi

for_images=()
command -v debootstrap >/dev/null || for_images+=(debootstrap)
command -v gpgv >/dev/null || for_images+=(gpgv)
[ -e /usr/share/keyrings/debian-archive-keyring.gpg ] || for_images+=(debian-archive-keyring)
install "${for_images[@]}"

if version=$(answers); then
  say "engine $version answers"
  exit 0
fi

for_engine=()
command -v dockerd >/dev/null || for_engine+=(docker.io)
command -v iptables >/dev/null || for_engine+=(iptables)
install "${for_engine[@]}"

# An engine that was just installed may have been started by the system.
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

# A killed engine leaves its pid file, and a new one refuses to start where some process has that number: another
# program by now, or the killed one, waiting to be reaped. Only a running engine has a file that it runs.
for file in /var/run/docker.pid /var/run/docker/containerd/containerd.pid; do
  pid=$(cat "$file" 2>/dev/null || true)
  case "$(readlink "/proc/$pid/exe" 2>/dev/null || true)" in
    */dockerd | */containerd) ;;
    *) rm -f "$file" ;;
  esac
done

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
