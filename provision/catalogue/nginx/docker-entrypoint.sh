#!/bin/sh
# Runs what a derived image put into /docker-entrypoint.d, as the upstream image does.
set -e

if [ "$1" = nginx ]; then
  for script in /docker-entrypoint.d/*.sh; do
    if [ -x "$script" ]; then "$script"; fi
  done
fi

exec "$@"
