#!/usr/bin/env bash
# Installs what the tests need and this machine lacks; says nothing where all is there.
#
#   install.sh system       Debian packages
#   install.sh node FOLDER  what FOLDER/package-lock.json names, kept in the cache; FOLDER/node_modules leads there
#   install.sh venv FILE    what the requirements FILE names, kept in the cache; prints the folder of its commands
#   install.sh crate NAME VERSION  a command that is written in Rust, kept in the cache; prints its folder
set -euo pipefail

cache=${XDG_CACHE_HOME:-$HOME/.cache}/scrm-gateway

system() {
  local missing=()
  command -v make >/dev/null || missing+=(make)
  command -v cc >/dev/null || missing+=(build-essential)
  command -v curl >/dev/null || missing+=(curl)
  command -v openssl >/dev/null || missing+=(openssl)
  command -v chromium >/dev/null || missing+=(chromium)
  command -v node >/dev/null || missing+=(nodejs)
  command -v npm >/dev/null || missing+=(npm)
  command -v python3 >/dev/null || missing+=(python3)
  python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
  if [ ${#missing[@]} -gt 0 ]; then
    echo "installing ${missing[*]}" >&2
    local sudo=()
    [ "$(id -u)" -eq 0 ] || sudo=(sudo)
    "${sudo[@]}" apt-get -qq update
    "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive \
      apt-get -qq install -y --no-install-recommends "${missing[@]}" >/dev/null
  fi
  if ! node -e 'const [a, b] = process.versions.node.split("."); process.exit(a > 20 || (a == 20 && b >= 19) ? 0 : 1)'; then
    echo "the tests need Node.js 20.19 or later, this is $(node --version)" >&2
    exit 1
  fi
}

# The place in the cache for what some files say, which may be there already: $place/.complete tells.
# Runs that start at the same time wait for each other.
reserve() { # KIND FILE...
  local kind=$1 hash
  shift
  hash=$(cat "$@" | sha256sum | cut -c 1-16)
  place=$cache/$kind/$hash
  mkdir -p "$place"
  exec 9>"$place/.lock"
  flock 9
}

node_modules() {
  local folder=$1
  reserve node "$folder/package.json" "$folder/package-lock.json"
  if [ ! -e "$place/.complete" ]; then
    echo "installing the packages of $folder" >&2
    cp "$folder/package.json" "$folder/package-lock.json" "$folder/.npmrc" "$place/"
    (cd "$place" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >&2)
    touch "$place/.complete"
  fi
  if [ -e "$folder/node_modules" ] && [ ! -L "$folder/node_modules" ]; then
    rm -r "$folder/node_modules"
  fi
  ln -sfn "$place/node_modules" "$folder/node_modules"
}

venv() {
  reserve venv "$1" <(python3 --version)
  if [ ! -e "$place/.complete" ]; then
    echo "installing the packages of $1" >&2
    python3 -m venv "$place" >&2
    "$place/bin/pip" install --quiet --disable-pip-version-check --no-deps -r "$1" >&2
    touch "$place/.complete"
  fi
  echo "$place/bin"
}

crate() {
  local name=$1 version=$2
  reserve crate <(echo "$name $version")
  if [ ! -e "$place/.complete" ]; then
    echo "installing $name $version" >&2
    # Unoptimised: it is built in a fraction of the time, and run for seconds.
    CARGO_TARGET_DIR=$place/target cargo install --quiet --locked --debug --version "$version" --root "$place" "$name" >&2
    rm -rf "$place/target"
    touch "$place/.complete"
  fi
  echo "$place/bin"
}

case ${1-} in
  system) system ;;
  node) node_modules "$2" ;;
  venv) venv "$2" ;;
  crate) crate "$2" "$3" ;;
  *)
    echo "usage: $0 system | node FOLDER | venv FILE | crate NAME VERSION" >&2
    exit 2
    ;;
esac
