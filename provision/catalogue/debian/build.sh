# Debian 12, as small as apt still works in: no manuals, documentation or translations, which
# packages installed later leave out as well. The host's own package sources are in it, so that
# apt-get works in a container wherever it works on the host.
debootstrap_tar minbase layer.tar \
  --include=usr-is-merged --hook-dir=/usr/share/mmdebstrap/hooks/merged-usr \
  --dpkgopt=files/dpkg.cfg \
  --essential-hook='copy-in files/policy-rc.d /usr/sbin' \
  --essential-hook='chroot "$1" chown 0:0 /usr/sbin/policy-rc.d' \
  --essential-hook='chroot "$1" chmod 755 /usr/sbin/policy-rc.d' \
  --customize-hook='copy-in files/docker-apt.conf /etc/apt/apt.conf.d' \
  --customize-hook='chroot "$1" chown 0:0 /etc/apt/apt.conf.d/docker-apt.conf' \
  --customize-hook='rm -f "$1/etc/apt/apt.conf.d/99mmdebstrap" "$1/etc/hostname" "$1/etc/resolv.conf"' \
  --customize-hook='rm -rf "$1/var/cache/apt/"*.bin "$1/var/lib/apt/lists/"* "$1/var/log/"*' \
  --customize-hook='rm -rf "$1/usr/share/gdb" "$1/var/cache/debconf/"*-old "$1/var/lib/dpkg/"*-old' \
  --skip=output/dev
