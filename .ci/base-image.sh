#!/usr/bin/env bash
# Makes the base image of CI, a minimal Debian with Python, where no image registry can be reached; prints its name.
# Does nothing when the image exists. The name is $ENVPORT_BASE_IMAGE, by default envport-base:ci.
# A host whose TLS is re-signed names its CA bundle in PIP_CERT or SSL_CERT_FILE: that bundle goes into the image too.
set -euo pipefail

image=${ENVPORT_BASE_IMAGE:-envport-base:ci}
suite=bookworm
packages=python3,python3-venv,python3-pip,ca-certificates

if docker image inspect "$image" >/dev/null 2>&1; then
  echo "$image"
  exit 0
fi
if [ "$(id -u)" != 0 ]; then
  echo "base-image: only root may run debootstrap; set ENVPORT_BASE_IMAGE to an image that this engine has" >&2
  exit 1
fi

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
echo "base-image: making $image from Debian $suite" >&2
debootstrap --variant=minbase --include="$packages" "$suite" "$root" >&2
rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/*

changes=(--change 'CMD ["python3"]')
bundle=${PIP_CERT:-${SSL_CERT_FILE:-}}
if [ -n "$bundle" ]; then
  inside=/etc/ssl/certs/ca-certificates.crt
  install -m 0644 "$bundle" "$root$inside"
  changes+=(--change "ENV PIP_CERT=$inside SSL_CERT_FILE=$inside")
fi
tar -C "$root" -c . | docker import "${changes[@]}" - "$image" >&2
echo "$image"
