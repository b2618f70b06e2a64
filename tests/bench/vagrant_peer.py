"""vagrant + vagrant-libvirt as a peer to measure against: the same Debian packages, three machines of the same size.

The guest is an ordinary Debian (the packages of our recipe, with udev, dbus and DHCP as vagrant-libvirt expects them),
entered by its kernel directly as ours is, so that the boot loader is not part of the comparison. No synced folder, no
provisioner. libvirtd runs as the system's, in namespaces of its own: nothing of it is seen outside or left behind.

Needs root and Debian's vagrant, vagrant-libvirt, libvirt-daemon-system, dnsmasq-base, iptables, mmdebstrap.
"""

import hashlib
import os
import pathlib
import shutil
import subprocess
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
DISK_MIB = 4096

CUSTOMIZE = r"""
set -eu
chroot "$1" useradd -m -s /bin/bash vagrant
echo 'vagrant ALL=(ALL) NOPASSWD: ALL' > "$1/etc/sudoers.d/vagrant"
mkdir -m 700 "$1/home/vagrant/.ssh"
cp "$KEYS/vagrant.pub" "$1/home/vagrant/.ssh/authorized_keys"
chroot "$1" chown -R vagrant: /home/vagrant/.ssh
printf '[Match]\nName=e*\n[Network]\nDHCP=yes\n' > "$1/etc/systemd/network/80-dhcp.network"
chroot "$1" systemctl enable systemd-networkd
echo '/dev/vda / ext4 defaults 0 0' > "$1/etc/fstab"
"""

# What the machine's own libvirt keeps is hidden: a private mount namespace, with these folders empty.
DAEMONS = r"""
set -eu
mount --make-rprivate /
mount -t tmpfs tmpfs /run
mkdir -p /run/libvirt /run/lock
cp -r /etc/libvirt "$WORK/etc"
printf 'user="root"\ngroup="root"\nsecurity_driver="none"\ncgroup_controllers=[]\n' > "$WORK/etc/qemu.conf"
rm -rf "$WORK/etc/qemu"
mkdir -p "$WORK/etc/qemu" "$WORK/var"
mount --bind "$WORK/etc" /etc/libvirt
mount --bind "$WORK/var" /var/lib/libvirt
mkdir -p /var/lib/libvirt/images
ip link set lo up
virtlogd -d
libvirtd -d
until virsh -c qemu:///system version >/dev/null 2>&1; do sleep 0.1; done
virsh -q -c qemu:///system net-define /usr/share/libvirt/networks/default.xml >/dev/null
cd "$WORK"
echo ready
while read -r line; do
  begin=$(date +%s.%N)
  status=0
  sh -c "$line" > "$WORK/output" 2>&1 || status=$?
  echo "$status $begin $(date +%s.%N)"
done
"""


class Vagrant:
    """Three machines with vagrant. `run(words)` executes a vagrant command and returns its seconds."""

    def __init__(self, cache, memory_mib, machines=3):
        missing = [tool for tool in ("vagrant", "libvirtd", "dnsmasq", "iptables", "mmdebstrap", "mke2fs")
                   if not shutil.which(tool, path=os.environ["PATH"] + ":/usr/sbin:/sbin")]
        if missing or os.geteuid():
            raise RuntimeError(f"vagrant cannot be measured: {'missing ' + ', '.join(missing) if missing else 'not root'}")
        self.work = pathlib.Path(tempfile.mkdtemp(prefix="vagrant-bench-"))
        image = self._image(cache)
        self._box(image)
        (self.work / "Vagrantfile").write_text(self._vagrantfile(image, memory_mib, machines))
        self.environment = {**os.environ, "WORK": str(self.work), "VAGRANT_HOME": str(self.work / "home"),
                            "VAGRANT_CHECKPOINT_DISABLE": "1", "VAGRANT_BOX_UPDATE_CHECK_DISABLE": "1"}
        self.shell = subprocess.Popen(["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child",
                                       "--mount-proc", "sh", "-c", DAEMONS], stdin=subprocess.PIPE,
                                      stdout=subprocess.PIPE, text=True, env=self.environment)
        if self.shell.stdout.readline() != "ready\n":
            raise RuntimeError("the peer's libvirtd did not start")
        self.run("vagrant box add --name lab-bench box.tar")
        self.run("vagrant up vm1 && vagrant destroy -f")  # uploads the box's disk into libvirt's pool, once

    def run(self, command):
        self.shell.stdin.write(command + "\n")
        self.shell.stdin.flush()
        answer = self.shell.stdout.readline().split()
        if not answer or answer[0] != "0":
            raise RuntimeError(f"{command}: {(self.work / 'output').read_text()[-2000:]}")
        return float(answer[2]) - float(answer[1])

    def close(self):
        self.shell.kill()
        self.shell.wait()
        shutil.rmtree(self.work)

    def _image(self, cache):
        packages = [line.split("#")[0].strip() for line in
                    (ROOT / "vm/recipes/debian-12/packages").read_text().splitlines()]
        packages = [name for name in packages if name] + ["dbus", "sudo", "systemd-resolved"]
        key = hashlib.sha256((CUSTOMIZE + " ".join(packages) + str(DISK_MIB)).encode()).hexdigest()[:16]
        image = cache / f"vagrant-peer-{key}"
        if (image / "disk.qcow2").exists():
            return image
        image.mkdir(parents=True, exist_ok=True)
        tree = self.work / "tree"
        keys = next(pathlib.Path("/usr/share/rubygems-integration/all/gems").glob("vagrant-*/keys"))
        hook = self.work / "customize"
        hook.write_text(CUSTOMIZE)
        subprocess.run(["mmdebstrap", "--quiet", "--mode=root", "--variant=minbase", "--include=" + ",".join(packages),
                        f"--customize-hook=sh {hook} \"$1\"", "bookworm", tree],
                       check=True, env={**os.environ, "KEYS": str(keys)})
        for name in ("vmlinuz", "initrd.img"):
            shutil.copy(next((tree / "boot").glob(name + "-*")), image / name)
        raw = self.work / "disk.raw"
        subprocess.run(["mke2fs", "-q", "-F", "-t", "ext4", "-d", tree, raw, f"{DISK_MIB}M"], check=True)
        subprocess.run(["qemu-img", "convert", "-O", "qcow2", raw, image / "disk.part"], check=True)
        (image / "disk.part").rename(image / "disk.qcow2")
        raw.unlink()
        shutil.rmtree(tree)
        return image

    def _box(self, image):
        folder = self.work / "box"
        folder.mkdir()
        (folder / "metadata.json").write_text(
            f'{{"provider": "libvirt", "format": "qcow2", "virtual_size": {DISK_MIB // 1024}}}')
        (folder / "Vagrantfile").write_text("")
        os.symlink(image / "disk.qcow2", folder / "box.img")
        subprocess.run(["tar", "-chf", self.work / "box.tar", "-C", folder, "metadata.json", "Vagrantfile", "box.img"],
                       check=True)

    @staticmethod
    def _vagrantfile(image, memory_mib, machines):
        defined = "".join(f"""
  config.vm.define "vm{number}" do |machine|
    machine.vm.hostname = "vm{number}"
    machine.vm.network :private_network, ip: "192.168.50.{3 + number}"
  end""" for number in range(1, machines + 1))
        return f"""
Vagrant.configure("2") do |config|
  config.vm.box = "lab-bench"
  config.ssh.insert_key = false
  config.vm.boot_timeout = 600
  config.vm.synced_folder ".", "/vagrant", disabled: true
  config.vm.provider :libvirt do |libvirt|
    libvirt.driver = "qemu"
    libvirt.cpu_mode = "maximum"
    libvirt.machine_type = "q35"
    libvirt.memory = {memory_mib}
    libvirt.cpus = 1
    libvirt.graphics_type = "none"
    libvirt.volume_cache = "unsafe"
    libvirt.kernel = "{image}/vmlinuz"
    libvirt.initrd = "{image}/initrd.img"
    libvirt.cmd_line = "root=/dev/vda rw quiet console=ttyS0 net.ifnames=0"
  end{defined}
end
"""
