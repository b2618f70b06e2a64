# Shell functions that every image recipe may use. provision/catalogue.cpp runs a recipe's build.sh
# with this file in front of it, under `set -eu`, in a work folder that is empty but for `files/`
# (the recipe's folder). The script writes `layer.tar`; when the tags depend on what was packed it
# writes `tags` too, one a line.

export LC_ALL=C.UTF-8 TZ=UTC

fail() {
  echo "$*" >&2
  exit 1
}

# The host's configured APT sources of one Debian suite, with its -updates and -security, as one-line
# entries. Apt reads its files itself, so that all their formats work, and no index has to be there.
# What has no network address would mean nothing in an image, and what holds a password must not
# get into one: neither is listed.
apt_sources() {
  apt-get update --print-uris 2>/dev/null |
    sed -nE "s#^'(https?://[^'@]*)/dists/($1|$1-updates|$1-security)/([^/']+)/binary-[^/']*/Packages.*#\1 \2 \3#p" |
    awk '!seen[$0]++ {
        key = $1 " " $2
        if (!(key in components)) order[++count] = key
        components[key] = components[key] " " $3
      }
      END { for (i = 1; i <= count; ++i) print "deb " order[i] components[order[i]] }'
}

# The date of the suite's newest package index that the host has seen, else the start of this day:
# files that the build itself makes get it, so that the same packages give the same image.
index_date() {
  newest=0
  for file in /var/lib/apt/lists/*_dists_"$1"*_InRelease; do
    [ -r "$file" ] || continue
    date=$(date -d "$(sed -n 's/^Date: //p' "$file" | head -n 1)" +%s) || continue
    [ "$date" -le "$newest" ] || newest=$date
  done
  [ "$newest" -gt 0 ] || newest=$(($(date +%s) / 86400 * 86400))
  echo "$newest"
}

# debootstrap_tar VARIANT OUTPUT [option...]: mmdebstrap from those sources, without root.
debootstrap_tar() {
  variant=$1 output=$2
  shift 2
  apt_sources bookworm > apt-sources
  [ -s apt-sources ] ||
    fail "this host has no APT source of the suite bookworm: see sources.list(5)"
  mode=unshare
  [ "$(id -u)" != 0 ] || mode=root
  keyring=/usr/share/keyrings/debian-archive-keyring.gpg
  [ ! -r "$keyring" ] || set -- "$@" --keyring="$keyring"
  mmdebstrap --quiet --mode="$mode" --variant="$variant" --format=tar \
    --aptopt='APT::Sandbox::User "root"' \
    "$@" bookworm "$output" - < apt-sources
}

pack() {
  owner=$1
  shift
  tar --file layer.tar --format=pax --pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime \
    --sort=name --owner="$owner" --group="$owner" --numeric-owner \
    --mtime="@$SOURCE_DATE_EPOCH" --clamp-mtime --no-acls --no-xattrs --no-selinux "$@"
}

# layer_from FOLDER [ID PATH]: packs the folder as layer.tar, everything owned by root but for the folder PATH in it, which
# belongs to the user ID; in a fixed order, no file newer than SOURCE_DATE_EPOCH.
layer_from() {
  pack 0 --create --directory "$1" ${3:+"--exclude=./$3"} .
  [ $# -lt 3 ] || pack "$2" --append --directory "$1" --no-recursion "./$3"
}

# A registry's tags of a version: "1.22.1" -> latest, 1, 1.22, 1.22.1.
write_tags() {
  printf '%s\n' latest "${1%%.*}" "${1%.*}" "$1" | awk '!seen[$0]++' > tags
}

# install_program FILE...: copies programs of packages/ to the same places in root/, with the C
# library's loader and the shared libraries that they are linked to.
install_program() {
  loader=$(cd packages && find lib64 lib -maxdepth 1 -name 'ld-linux*.so.*' | head -n 1)
  [ -n "$loader" ] || fail "package libc6 holds no loader"
  search=$(find packages/lib packages/usr/lib -maxdepth 1 -name '*-linux-gnu*' -type d | paste -sd :)
  # What the package has at that place is a link into the system that it is unpacked on.
  interpreter=$(find packages/lib packages/usr/lib -name "$(basename "$loader")" -type f | head -n 1)
  install -D -m 755 "$interpreter" "root/$loader"
  for program in "$@"; do
    [ -f "packages/$program" ] || fail "the packages hold no program /$program"
    install -D -m 755 "packages/$program" "root/$program"
    "$interpreter" --library-path "$search" --list "packages/$program" > libraries
    ! grep 'not found' libraries || fail "the packages lack a library of /$program"
    sed -n 's#^\t*lib.* => packages/\([^ ]*\) .*#\1#p' libraries | while read -r library; do
      install -D -m 644 "packages/$library" "root/$library"
    done
  done
}

# add_user NAME ID HOME: a system user with a group of its own in root/, beside those of the image busybox.
add_user() {
  mkdir -p root/etc
  cp files/base/passwd files/base/group root/etc/
  echo "$1:x:$2:$2:$1:$3:/bin/false" >> root/etc/passwd
  echo "$1:x:$2:" >> root/etc/group
  chmod 644 root/etc/passwd root/etc/group
}
