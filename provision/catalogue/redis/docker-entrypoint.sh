#!/bin/sh
# As the upstream image: options or a configuration file alone are for redis-server, which runs as the user redis and,
# unless a configuration file says otherwise, answers other hosts.
set -e

case "$1" in
  -* | *.conf) set -- redis-server "$@" ;;
esac
if [ "$1" = redis-server ]; then
  case "$2" in
    *.conf) ;;
    *) set -- "$@" --protected-mode no ;;
  esac
  if [ "$(id -u)" = 0 ]; then
    find . ! -user redis -exec chown redis:redis {} +
    shift
    exec start-stop-daemon --start --chuid redis:redis --exec /usr/bin/redis-server -- "$@"
  fi
fi

exec "$@"
