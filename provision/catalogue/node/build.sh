# Debian's Node.js and npm with the libraries that they are linked to, upon busybox. Entry point and user are those of the
# upstream image.
debootstrap_tar extract packages.tar --include=nodejs,npm,ca-certificates
mkdir packages root
tar -xf packages.tar -C packages --no-same-owner --exclude='./dev/*'

install_program usr/bin/node
for folder in usr/share/nodejs usr/share/npm usr/share/node_modules usr/lib/nodejs; do
  [ -d "packages/$folder" ] || continue
  mkdir -p "root/$(dirname "$folder")"
  cp -a "packages/$folder" "root/$folder"
done
for name in npm npx; do
  cp -a packages/usr/bin/$name root/usr/bin/$name
done
mkdir -p root/etc/ssl/certs root/usr/local/bin root/home
find packages/usr/share/ca-certificates -name '*.crt' | sort | xargs cat \
  > root/etc/ssl/certs/ca-certificates.crt
chmod 644 root/etc/ssl/certs/ca-certificates.crt
install -m 755 files/docker-entrypoint.sh root/usr/local/bin/docker-entrypoint.sh
add_user node 1000 /home/node
mkdir root/home/node
layer_from root 1000 home/node

# "v18.20.4" -> 18.20.4
version=$("root/$loader" --library-path "$search" root/usr/bin/node --version | sed -n 's/^v\([0-9.]*\)$/\1/p')
[ -n "$version" ] || fail "node does not tell its version"
write_tags "$version"
