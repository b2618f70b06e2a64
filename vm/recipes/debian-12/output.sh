# Runs after customize.sh: writes the disk to descriptor 3, and to descriptor 4 a tar archive of
# `vmlinuz` and `modules.cpio` (the initrd's part that belongs to the kernel). LAB_DISK_MIB is the
# size of the file system.
version=$(ls "$root/lib/modules")
work=$(mktemp -d)
modules=$work/lab/modules
mkdir -p "$modules"
for name in virtio_pci virtio_blk virtio_net; do
  chroot "$root" /sbin/modprobe -S "$version" --show-depends "$name"
done | while read -r verb path rest; do
  [ "$verb" = insmod ] || continue
  file=${path##*/}
  grep -qx "$file" "$modules/order" 2>/dev/null || echo "$file" >> "$modules/order"
  cp "$root$path" "$modules/$file"
done
(cd "$work" && find . -mindepth 1 | sort | cpio --quiet -o -H newc -R 0:0) > "$work.cpio"
cp "$root"/boot/vmlinuz-* "$work/vmlinuz"
mv "$work.cpio" "$work/modules.cpio"
tar -c -C "$work" vmlinuz modules.cpio >&4
rm -rf "$work" "$root/boot"/*

# A bind mount shows the root file system without what mmdebstrap has mounted on it; what it keeps in
# /tmp (it still needs it) is covered up.
mkdir "$work"
export root work LAB_DISK_MIB
unshare --mount sh -euc '
  mount --bind "$root" "$work"
  mount -t tmpfs -o mode=1777 tmpfs "$work/tmp"
  mke2fs -q -F -t ext4 -L lab-root -m 0 -J size=32 -E lazy_itable_init=0,root_owner=0:0 \
    -O ^metadata_csum -d "$work" /proc/self/fd/3 "${LAB_DISK_MIB}M"'
rmdir "$work"
