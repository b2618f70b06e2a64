# Debian's nginx with the libraries that it is linked to, upon busybox for the shell of its entry point. Paths, user and
# logs (to the container's output) are those of the upstream image.
debootstrap_tar extract packages.tar --include=nginx,nginx-common,media-types
mkdir packages root
tar -xf packages.tar -C packages --no-same-owner --exclude='./dev/*'

install_program usr/sbin/nginx
for folder in docker-entrypoint.d etc/nginx/conf.d usr/share/nginx/html var/cache/nginx var/lib/nginx var/log/nginx run; do
  mkdir -p root/$folder
done
ln -s /run root/var/run
ln -s /dev/stdout root/var/log/nginx/access.log
ln -s /dev/stderr root/var/log/nginx/error.log
for file in fastcgi_params mime.types scgi_params uwsgi_params; do
  install -m 644 packages/etc/nginx/$file root/etc/nginx/$file
done
install -m 644 files/nginx.conf root/etc/nginx/nginx.conf
install -m 644 files/default.conf root/etc/nginx/conf.d/default.conf
install -m 644 files/index.html files/50x.html root/usr/share/nginx/html
install -m 755 files/docker-entrypoint.sh root/docker-entrypoint.sh
add_user nginx 101 /var/cache/nginx
layer_from root

# "nginx version: nginx/1.22.1" -> 1.22.1
version=$("root/$loader" --library-path "$search" root/usr/sbin/nginx -v 2>&1 |
  sed -n 's#^nginx version: nginx/\([0-9.]*\).*#\1#p')
[ -n "$version" ] || fail "nginx does not tell its version"
write_tags "$version"
