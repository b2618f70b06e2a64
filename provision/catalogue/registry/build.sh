# Debian's docker-registry with the C library that it is linked to and the usual certificates, upon
# busybox for the shell of its entry point. Paths and settings are those of the upstream image.
debootstrap_tar extract packages.tar --include=docker-registry,libc6,ca-certificates
mkdir packages root
tar -xf packages.tar -C packages --no-same-owner --exclude='./dev/*'

install_program usr/bin/docker-registry
mkdir -p root/bin root/etc/ssl/certs root/etc/docker/registry root/var/lib/registry
mv root/usr/bin/docker-registry root/bin/registry
find packages/usr/share/ca-certificates -name '*.crt' | sort | xargs cat \
  > root/etc/ssl/certs/ca-certificates.crt
cp files/config.yml root/etc/docker/registry/config.yml
chmod 644 root/etc/ssl/certs/ca-certificates.crt root/etc/docker/registry/config.yml
install -m 755 files/entrypoint.sh root/entrypoint.sh
layer_from root

# "... 2.8.2+ds1" -> 2.8.2; it also shows that the program runs with what was packed.
version=$("root/$loader" --library-path "$search" root/bin/registry --version |
  sed -n 's/.* v\{0,1\}\([0-9][0-9.]*\).*/\1/p')
[ -n "$version" ] || fail "docker-registry does not tell its version"
write_tags "$version"
