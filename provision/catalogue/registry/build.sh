# Debian's docker-registry with the C library that it is linked to and the usual certificates, upon
# busybox for the shell of its entry point. Paths and settings are those of the upstream image.
debootstrap_tar extract packages.tar --include=docker-registry,libc6,ca-certificates
mkdir packages root
tar -xf packages.tar -C packages --no-same-owner --exclude='./dev/*'

program=packages/usr/bin/docker-registry
[ -x "$program" ] || fail "package docker-registry holds no program $program"
install -D -m 755 "$program" root/bin/registry

# The C library, and the loader at the place where the program asks for it.
libraries=$(cd packages && find lib usr/lib -name libc.so.6 | head -n 1 | xargs dirname)
loader=$(cd packages && find lib64 lib -maxdepth 1 -name 'ld-linux*.so.*' | head -n 1)
[ -n "$loader" ] || fail "package libc6 holds no loader"
mkdir -p "root/$libraries" "root/$(dirname "$loader")"
cp "packages/$libraries/$(basename "$loader")" "root/$loader"
for library in libc.so.6 libpthread.so.0 libdl.so.2 libresolv.so.2; do
  cp "packages/$libraries/$library" "root/$libraries/"
done

mkdir -p root/etc/ssl/certs root/etc/docker/registry root/var/lib/registry
find packages/usr/share/ca-certificates -name '*.crt' | sort | xargs cat \
  > root/etc/ssl/certs/ca-certificates.crt
cp files/config.yml root/etc/docker/registry/config.yml
chmod 644 root/etc/ssl/certs/ca-certificates.crt root/etc/docker/registry/config.yml
install -m 755 files/entrypoint.sh root/entrypoint.sh
layer_from root

# "... 2.8.2+ds1" -> 2, 2.8, 2.8.2; it also shows that the program runs with what was packed.
version=$("root/$loader" --library-path "root/$libraries" root/bin/registry --version |
  sed -n 's/.* v\{0,1\}\([0-9][0-9.]*\).*/\1/p')
[ -n "$version" ] || fail "docker-registry does not tell its version"
printf '%s\n' "${version%%.*}" "${version%.*}" "$version" latest > tags
