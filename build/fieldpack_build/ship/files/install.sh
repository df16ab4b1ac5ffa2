#!/bin/sh
# Installs Fieldpack and the first bundle from this folder, without a network: sh install.sh [OPTIONS]
# Needs Python 3.11 or newer (with its venv module) and nothing else. Run again, it updates both.
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
data=${FIELDPACK_STORE:-${XDG_DATA_HOME:-${HOME:-/root}/.local/share}/fieldpack}
bin=${HOME:-/root}/.local/bin
python='' fingerprint='' yes='' name='' open='' bundle=1

usage() {
  cat <<'END'
Usage: sh install.sh [OPTIONS]

Installs Fieldpack from this folder, without a network, and the bundle that it carries.

  --fingerprint DIGITS  Trust the keys with this fingerprint (from the paper you were given)
  --yes                 Trust the keys of this folder unseen
  --name BUNDLE         Which bundle, where this folder carries several
  --no-bundle           Fieldpack alone
  --store DIR           Where Fieldpack and bundles go [~/.local/share/fieldpack]
  --bin DIR             Where the command `fieldpack` goes [~/.local/bin]
  --python PROGRAM      The Python to use
  --open                Open the page when done
END
}

fail() {
  echo "install.sh: $1" >&2
  exit "${2:-1}"
}

while [ $# -gt 0 ]; do
  case $1 in
    --fingerprint) fingerprint=${2:?--fingerprint needs digits}; shift ;;
    --name) name=${2:?--name needs a bundle}; shift ;;
    --store) data=${2:?--store needs a folder}; shift ;;
    --bin) bin=${2:?--bin needs a folder}; shift ;;
    --python) python=${2:?--python needs a program}; shift ;;
    --yes) yes=1 ;;
    --no-bundle) bundle='' ;;
    --open) open=1 ;;
    -h | --help) usage; exit 0 ;;
    *) usage >&2; fail "unknown option $1" 2 ;;
  esac
  shift
done
mkdir -p "$data" "$bin" || fail "$data and $bin must be writable; name others with --store and --bin"
data=$(CDPATH='' cd -- "$data" && pwd)

new_enough='import sys, venv; sys.exit(sys.version_info < (3, 11))'
if [ -z "$python" ]; then
  for one in python3.14 python3.13 python3.12 python3.11 python3 python; do
    if command -v "$one" >/dev/null 2>&1 && "$one" -c "$new_enough" >/dev/null 2>&1; then
      python=$one
      break
    fi
  done
  [ -n "$python" ] || fail "no Python 3.11 or newer here; install one from your system (package python3), or name it with --python"
else
  "$python" -c "$new_enough" || fail "$python is no Python 3.11 or newer with its venv module"
fi

case "$(uname -s)-$(uname -m)" in
  Linux-x86_64) platform=linux-x86_64 ;;
  Linux-aarch64 | Linux-arm64) platform=linux-aarch64 ;;
  Darwin-arm64) platform=macos-arm64 ;;
  *) fail "no Fieldpack for $(uname -s) on $(uname -m); there are Linux (x86-64, aarch64), macOS (arm64) and Windows (install.ps1)" ;;
esac
wheels=$here/runtime/$platform
[ -f "$wheels/requirements.txt" ] || fail "$wheels: not there; this folder was shipped without it: ask for one with $platform"

echo "Fieldpack: checking the files of runtime/$platform"
version=$("$python" -I - "$wheels" "$data" <<'END'
import hashlib, pathlib, shutil, sys
wheels, data = map(pathlib.Path, sys.argv[1:])
text = (wheels / "SHA256SUMS").read_text(encoding="utf-8")
size = 0
for line in text.splitlines():
    digest, name = line.split("  ")
    path = wheels / name
    if not path.is_file():
        sys.exit(f"install.sh: {path}: missing; copy the folder again")
    found = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            found.update(piece)
            size += len(piece)
    if found.hexdigest() != digest:
        sys.exit(f"install.sh: {path}: damaged; copy the folder again")
needed = 256 << 20
free = shutil.disk_usage(data).free
if free < needed:
    sys.exit(f"install.sh: {data}: Fieldpack needs {needed:,} bytes, {free:,} are free; make room, or name another disk with --store")
print((wheels / "VERSION").read_text().strip() + "-" + hashlib.sha256((wheels / "runtime.json").read_bytes()).hexdigest()[:8] + "-py%d%d" % sys.version_info[:2])
END
) || exit 1

environment=$data/env/$version
if [ ! -f "$environment/complete" ]; then
  echo "Fieldpack: installing $version into $environment"
  rm -rf "$environment"
  mkdir -p "$data/env"
  "$python" -m venv --without-pip "$environment" || fail "$python cannot make an environment; install its venv module (package python3-venv)"
  # pip runs from its wheel and is not kept: 10 MB. It takes only files whose SHA-256 is in requirements.txt.
  pip=$(ls "$wheels"/pip-*.whl)
  PYTHONPATH=$pip "$environment/bin/python" -m pip install --quiet --disable-pip-version-check --no-cache-dir --no-compile --no-deps \
    --no-index --find-links "$wheels" --require-hashes --only-binary :all: -r "$wheels/requirements.txt" ||
    fail "installing failed; is there a wheel for this Python ($("$python" -V 2>&1)) in $wheels? Name another Python with --python"
  "$environment/bin/fieldpack" --version >/dev/null || fail "the installed Fieldpack does not start; see above"
  # Removes what no answer needs (14 MB), and says that the environment is whole once it is on the disk.
  "$environment/bin/python" -I -m fieldpack_app.install.environments
fi

# One pointer, replaced by a rename: whoever runs `fieldpack` meanwhile gets the old version or the new one.
"$environment/bin/python" -I -m fieldpack_app.install.runtime_update "$data" || exit 1
ln -sf "$data/env/current/bin/fieldpack" "$bin/fieldpack"
FIELDPACK_STORE=$data
export FIELDPACK_STORE
fieldpack=$bin/fieldpack
echo "Fieldpack: $("$fieldpack" --version) is installed as $fieldpack"

if [ -n "$bundle" ]; then
  set --
  [ -z "$name" ] || set -- "$@" --name "$name"
  if [ -n "$yes" ]; then
    fingerprint=$("$python" -I -c 'import hashlib, pathlib, sys; print(hashlib.sha256(pathlib.Path(sys.argv[1]).read_bytes()).hexdigest())' "$here/metadata/1.root.json")
  fi
  [ -z "$fingerprint" ] || set -- "$@" --fingerprint "$fingerprint"
  "$fieldpack" install "$here" "$@"
  installed=$("$fieldpack" list --json | "$python" -I -c 'import json, sys; print(json.load(sys.stdin)[0]["name"])')
  [ -z "$open" ] || exec "$fieldpack" serve "$installed" --open
fi
case ":$PATH:" in
  *":$bin:"*) ;;
  *) echo "Add $bin to your PATH to call it as fieldpack:  export PATH=\"$bin:\$PATH\"" ;;
esac
if [ "$data" != "${XDG_DATA_HOME:-${HOME:-/root}/.local/share}/fieldpack" ]; then
  echo "Say where the bundles are, each time or in your profile:  export FIELDPACK_STORE=\"$data\""
fi
