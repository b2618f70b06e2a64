"""A cloud image as distributions publish them: a partitioned qcow2 with GRUB, cloud-init and DHCP, made from the host's
package sources without root's devices: the partition's file system is made from a folder, GRUB's two halves are copied
to where its own installer would put them."""

import pathlib
import shutil
import struct
import subprocess

PACKAGES = ("systemd,systemd-sysv,systemd-resolved,udev,dbus,kmod,iproute2,nftables,openssh-server,sudo,cloud-init,"
            "ca-certificates,linux-image-cloud-amd64,crun,conmon,curl,python3-minimal")
SECTOR, PARTITION_START, PARTITION_MIB = 512, 2048, 2500
GRUB = pathlib.Path("/usr/lib/grub/i386-pc")

CUSTOMIZE = r"""set -eu
printf '[Match]\nName=e*\n[Network]\nDHCP=yes\n' > "$1/etc/systemd/network/80-dhcp.network"
chroot "$1" systemctl -q enable systemd-networkd
echo '/dev/vda1 / ext4 defaults 0 0' > "$1/etc/fstab"
echo 'datasource_list: [ NoCloud, None ]' > "$1/etc/cloud/cloud.cfg.d/90-datasources.cfg"
mkdir -p "$1/boot/grub"
cat > "$1/boot/grub/grub.cfg" <<GRUB
linux /vmlinuz root=/dev/vda1 rw console=ttyS0 quiet
initrd /initrd.img
boot
GRUB
ln -sf "boot/$(basename "$1"/boot/vmlinuz-*)" "$1/vmlinuz"
ln -sf "boot/$(basename "$1"/boot/initrd.img-*)" "$1/initrd.img"
"""


def build(target, work):
    """Writes the image to `target`; `work` is an empty folder for what is in between."""
    tree, raw, core = work / "tree", work / "disk.raw", work / "core.img"
    hook = work / "customize"
    hook.write_text(CUSTOMIZE)
    subprocess.run(["mmdebstrap", "--quiet", "--mode=root", "--variant=minbase", f"--include={PACKAGES}",
                    f'--customize-hook=sh {hook} "$1"', "bookworm", tree], check=True, stderr=subprocess.DEVNULL)
    offset = PARTITION_START * SECTOR
    with open(raw, "wb") as disk:
        disk.truncate(offset + PARTITION_MIB * 1024 * 1024)
    subprocess.run(["mke2fs", "-q", "-F", "-t", "ext4", "-O", "^metadata_csum_seed", "-E", f"offset={offset}", "-d", tree,
                    raw, f"{PARTITION_MIB}M"], check=True)
    shutil.rmtree(tree)
    subprocess.run(["grub-mkimage", "-O", "i386-pc", "-p", "(hd0,msdos1)/boot/grub", "-o", core, "biosdisk",
                    "part_msdos", "ext2", "linux", "normal"], check=True)
    assert core.stat().st_size <= (PARTITION_START - 1) * SECTOR
    entry = struct.pack("<B3sB3sII", 0x80, b"\0\2\0", 0x83, b"\xff\xff\xff", PARTITION_START,
                        PARTITION_MIB * 1024 * 1024 // SECTOR)
    with open(raw, "r+b") as disk:
        disk.write((GRUB / "boot.img").read_bytes()[:446] + entry + bytes(48) + b"\x55\xaa")
        disk.write(core.read_bytes())
    subprocess.run(["qemu-img", "convert", "-O", "qcow2", "-c", raw, target], check=True)
    raw.unlink()
