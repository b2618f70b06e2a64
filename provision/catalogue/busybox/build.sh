# One static program under the names of all that it can do, and the few files that a C library and
# a shell look for.
debootstrap_tar extract packages.tar --include=busybox-static
mkdir packages
tar -xf packages.tar -C packages --no-same-owner --wildcards '*/bin/busybox' '*/dpkg/status'
busybox=$(find packages -path '*/bin/busybox' -type f)
[ -x "$busybox" ] || fail "package busybox-static holds no program /bin/busybox"

mkdir root
for folder in bin dev etc home proc root sbin sys tmp usr/bin usr/sbin var/spool/mail var/www; do
  mkdir -p root/$folder
done
chmod 1777 root/tmp
chmod 700 root/root
install -m 755 "$busybox" root/bin/busybox
root/bin/busybox --list-full | grep -vx linuxrc | while read -r applet; do
  mkdir -p "root/$(dirname "$applet")"
  [ -e "root/$applet" ] || ln root/bin/busybox "root/$applet"
done
cp files/passwd files/group files/nsswitch.conf root/etc/
chmod 644 root/etc/*
install -m 755 files/adduser files/addgroup root/usr/sbin/
layer_from root

# "BusyBox v1.35.0 (Debian ...)" -> 1.35.0
version=$(root/bin/busybox | sed -n '1s/^BusyBox v\([0-9.]*\).*/\1/p')
[ -n "$version" ] || fail "busybox does not tell its version"
write_tags "$version"
