# Debian's redis-server and redis-cli with the libraries that they are linked to, upon busybox for the shell of the entry
# point. Paths, user and volume are those of the upstream image.
debootstrap_tar extract packages.tar --include=redis-server,redis-tools
mkdir packages root
tar -xf packages.tar -C packages --no-same-owner --exclude='./dev/*'

# The server checks files and guards other servers too, by the name that it is called with.
install_program usr/bin/redis-server usr/bin/redis-cli usr/bin/redis-benchmark
ln -s redis-server root/usr/bin/redis-check-rdb
ln -s redis-server root/usr/bin/redis-check-aof
ln -s redis-server root/usr/bin/redis-sentinel
mkdir -p root/usr/local/bin
install -m 755 files/docker-entrypoint.sh root/usr/local/bin/docker-entrypoint.sh
add_user redis 999 /data
mkdir root/data
layer_from root 999 data

# "Redis server v=7.0.15 sha=..." -> 7.0.15
version=$("root/$loader" --library-path "$search" root/usr/bin/redis-server --version |
  sed -n 's/^Redis server v=\([0-9.]*\).*/\1/p')
[ -n "$version" ] || fail "redis-server does not tell its version"
write_tags "$version"
