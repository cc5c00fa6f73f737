#!/bin/sh
# Installs a release of peerd: downloads the archive for this machine and the checksums, verifies the
# archive, and installs the binary. Installs nothing if anything is wrong.
#
#   install.sh [--version X.Y.Z] [--to DIRECTORY]
#
# Without --version, the latest release; the directory is /usr/local/bin by default. PEERD_RELEASES is the
# address of the releases; a released install.sh has that of its own.
set -eu

releases=${PEERD_RELEASES:-@RELEASES@}
version=
directory=/usr/local/bin

fail() {
    echo "install.sh: $*" >&2
    exit 1
}

while [ $# -gt 0 ]; do
    case $1 in
        --version | --to)
            [ $# -ge 2 ] || fail "$1 needs a value"
            if [ "$1" = --to ]; then directory=$2; else version=${2#v}; fi
            shift 2
            ;;
        *) fail "unknown argument $1; usage: install.sh [--version X.Y.Z] [--to DIRECTORY]" ;;
    esac
done
case $releases in
    @*) fail "set PEERD_RELEASES to the address of the releases" ;;
esac

case $(uname -s)/$(uname -m) in
    Linux/x86_64) target=x86_64-unknown-linux-musl ;;
    Linux/aarch64 | Linux/arm64) target=aarch64-unknown-linux-musl ;;
    Darwin/x86_64) target=x86_64-apple-darwin ;;
    Darwin/arm64) target=aarch64-apple-darwin ;;
    *) fail "there is no archive for $(uname -s) on $(uname -m): cargo install --locked --path ." ;;
esac

# Before anything is downloaded.
[ -d "$directory" ] || fail "$directory is not a directory"
[ -w "$directory" ] || fail "$directory cannot be written: run this as root, or choose another with --to"

if [ -n "$version" ]; then
    from=$releases/download/v$version
else
    from=$releases/latest/download
fi
archive=peerd-$target.tar.gz
scratch=$(mktemp -d)
new=
trap 'rm -rf "$scratch" ${new:+"$new"}' EXIT
trap 'exit 1' HUP INT TERM

download() {
    if command -v curl >/dev/null; then
        curl --fail --silent --show-error --location --output "$scratch/$1" "$from/$1"
    elif command -v wget >/dev/null; then
        wget --quiet --output-document="$scratch/$1" "$from/$1"
    else
        fail "curl or wget is needed"
    fi || fail "$from/$1 cannot be downloaded"
}

sum_of() {
    if command -v sha256sum >/dev/null; then
        sha256sum <"$1"
    else
        shasum -a 256 <"$1"
    fi | cut -d ' ' -f 1
}

download SHA256SUMS
download "$archive"
expected=$(awk -v name="$archive" '$2 == name || $2 == "*" name { print $1 }' "$scratch/SHA256SUMS")
[ -n "$expected" ] || fail "SHA256SUMS has no line for $archive"
found=$(sum_of "$scratch/$archive")
[ "$found" = "$expected" ] ||
    fail "the checksum of $archive is $found, not $expected: nothing was installed"

tar -xzf "$scratch/$archive" -C "$scratch" || fail "$archive cannot be unpacked"
binary=$scratch/peerd-$target/peerd
installed=$("$binary" --version) || fail "the binary of $archive does not run on this machine"

# In the same directory, so that the rename replaces a running peerd in one step.
new=$(mktemp "$directory/.peerd.XXXXXX") || fail "$directory cannot be written"
cp "$binary" "$new"
chmod 755 "$new"
mv -f "$new" "$directory/peerd"
new=
echo "install.sh: $installed is in $directory"
