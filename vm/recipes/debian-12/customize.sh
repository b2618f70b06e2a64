# Runs on the host with the new root file system in $root, as root of mmdebstrap's (user) namespace.
# Turns a Debian that would suit anything into one that boots fast and only runs a node.
set -eu
export LC_ALL=C

# --- The docker client alone: its package would bring dockerd and containerd with it.
download=$root/var/cache/lab-download
mkdir -p "$download"
chmod 777 "$download"
chroot "$root" sh -c 'cd /var/cache/lab-download && apt-get download -qq docker.io'
dpkg-deb --fsys-tarfile "$download"/docker.io_*.deb | tar -x -C "$root" ./usr/bin/docker
rm -r "$download"
chroot "$root" groupadd --system docker

# --- Units. A node's devices are known and its file systems are mounted by its initrd, so that
# nothing has to be discovered, checked or waited for. A masked unit is one symbolic link.
units=$root/etc/systemd/system
mask() { for unit in "$@"; do ln -sf /dev/null "$units/$unit"; done; }
rm -rf "$units"/*.wants
mask systemd-udevd.service systemd-udevd-control.socket systemd-udevd-kernel.socket \
  systemd-udev-trigger.service systemd-udev-settle.service kmod-static-nodes.service
mask systemd-logind.service getty.target systemd-user-sessions.service \
  systemd-update-utmp.service systemd-update-utmp-runlevel.service systemd-initctl.socket \
  systemd-ask-password-wall.path systemd-ask-password-console.path
mask systemd-firstboot.service systemd-machine-id-commit.service systemd-sysusers.service \
  systemd-repart.service systemd-pcrphase.service systemd-pcrphase-sysinit.service \
  systemd-random-seed.service systemd-pstore.service systemd-binfmt.service \
  systemd-tmpfiles-setup-dev.service systemd-remount-fs.service systemd-journal-flush.service \
  systemd-journald-audit.socket
mask proc-sys-fs-binfmt_misc.automount dev-hugepages.mount dev-mqueue.mount \
  sys-kernel-debug.mount sys-kernel-tracing.mount sys-kernel-config.mount \
  sys-fs-fuse-connections.mount
mask apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer \
  e2scrub_reap.service fstrim.timer systemd-tmpfiles-clean.timer
mkdir -p "$units/multi-user.target.wants"
ln -s ../ssh.service "$units/multi-user.target.wants/ssh.service"
ln -sf /lib/systemd/system/multi-user.target "$units/default.target"

# Generators look for swap, LVM, LUKS, System V scripts...: a node has none of them.
mkdir -p "$root/etc/systemd/system-generators"
for generator in "$root"/lib/systemd/system-generators/*; do
  ln -s /dev/null "$root/etc/systemd/system-generators/${generator##*/}"
done

# Some housekeeping can be done while the machine is already of use.
cat > "$units/systemd-tmpfiles-setup.service" <<'UNIT'
[Unit]
Description=Create volatile files and directories
DefaultDependencies=no
After=systemd-journald.service ssh.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=systemd-tmpfiles --create --remove --boot --exclude-prefix=/dev --exclude-prefix=/run/nologin
SuccessExitStatus=DATAERR CANTCREAT
UNIT
cat > "$units/systemd-sysctl.service" <<'UNIT'
[Unit]
Description=Apply kernel variables
DefaultDependencies=no
After=systemd-journald.service
Before=engined.service swarmd.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/lib/systemd/systemd-sysctl
UNIT
rm -f "$root/etc/modules-load.d/modules.conf"

# Enabled before they are there: the seed or a deployment brings these units.
ln -s ../engined.service "$units/multi-user.target.wants/engined.service"
ln -s ../swarmd.service "$units/multi-user.target.wants/swarmd.service"

# The log stays small and in memory.
mkdir -p "$root/etc/systemd/journald.conf.d"
cat > "$root/etc/systemd/journald.conf.d/lab.conf" <<'CONF'
[Journal]
Storage=volatile
RuntimeMaxUse=32M
ReadKMsg=no
Audit=no
ForwardToSyslog=no
CONF

# --- SSH: keys only (the initrd brings them), no PAM session, file transfer inside the daemon.
rm -f "$root"/etc/ssh/ssh_host_*
cat > "$root/etc/ssh/sshd_config" <<'CONF'
HostKey /etc/ssh/ssh_host_ed25519_key
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
UseDNS no
PrintMotd no
PrintLastLog no
SetEnv LANG=C.UTF-8
MaxSessions 100
MaxStartups 100
Subsystem sftp internal-sftp
CONF
# Needs nothing but the network, which the initrd has set up.
cat > "$units/ssh.service" <<'UNIT'
[Unit]
Description=OpenBSD Secure Shell server
DefaultDependencies=no
Conflicts=shutdown.target
Before=shutdown.target

[Service]
Type=notify
ExecStart=/usr/sbin/sshd -D
ExecReload=/bin/kill -HUP $MAINPID
KillMode=process
Restart=on-failure
RuntimeDirectory=sshd
RuntimeDirectoryMode=0755

[Install]
WantedBy=multi-user.target
UNIT
mkdir -p "$root/root/.ssh"
chmod 700 "$root/root/.ssh"

# --- Without logind somebody has to listen to the power button.
cat > "$root/usr/local/sbin/power-button" <<'SCRIPT'
#!/bin/sh
# Waits for the ACPI power button and shuts down. A button sends no other event.
modprobe -a button evdev
for name in /sys/class/input/event*/device/name; do
  [ "$(cat "$name")" = "Power Button" ] || continue
  event=${name#/sys/class/input/}
  head -c 24 "/dev/input/${event%%/*}" > /dev/null && exec systemctl poweroff
done
SCRIPT
chmod 755 "$root/usr/local/sbin/power-button"
cat > "$units/power-button.service" <<'UNIT'
[Unit]
Description=Shut down when the power button is pressed
After=multi-user.target

[Service]
Type=simple
ExecStart=/usr/local/sbin/power-button
Nice=10

[Install]
WantedBy=multi-user.target
UNIT
ln -s ../power-button.service "$units/multi-user.target.wants/power-button.service"

# --- What the seed or nobody provides.
rm -f "$root/etc/fstab" "$root/etc/hostname" "$root/etc/resolv.conf" "$root/etc/machine-id" \
  "$root/var/lib/dbus/machine-id" "$root/etc/motd"
rm -rf "$root/var/lib/apt/lists"/* "$root/var/cache/apt"/*.bin "$root/var/cache/apt/archives"/*.deb \
  "$root/var/log"/* "$root/boot"/initrd*
