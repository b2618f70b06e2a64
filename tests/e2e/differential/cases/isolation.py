"""Point 2: what a container's process sees and may do."""
from case import case


def sh(on, script, flags="", image="busybox"):
    on.docker(["run", "--rm", *flags.split(), image, "sh", "-c", script])


@case
def process_table(on):
    sh(on, "echo $$; ps >/tmp/ps; grep -c sh /tmp/ps")
    sh(on, "[ $(ps | wc -l) -gt 10 ] && echo many", "--pid host")


@case
def capabilities(on):
    sh(on, "grep Cap /proc/self/status")
    sh(on, "grep Cap /proc/self/status", "--user 1000")


@case
def capabilities_added_and_dropped(on):
    sh(on, "grep Cap /proc/self/status", "--cap-add SYS_ADMIN --cap-drop chown")
    sh(on, "grep Cap /proc/self/status", "--cap-drop ALL --cap-add NET_BIND_SERVICE")
    sh(on, "true", "--cap-add NOSUCH")
    sh(on, "true", "--cap-drop NOSUCH")


@case
def privileged_document(on):
    on.prepare("create --privileged --name c1 busybox")
    on.docker("inspect -f '{{json .HostConfig}}' c1")


@case
def system_call_filter(on):
    sh(on, "grep -E 'Seccomp:|NoNewPrivs' /proc/self/status; mount -t tmpfs none /tmp")
    sh(on, "grep -E 'Seccomp:|NoNewPrivs' /proc/self/status", "--security-opt seccomp=unconfined")
    sh(on, "grep -E 'Seccomp:|NoNewPrivs' /proc/self/status", "--security-opt no-new-privileges")


@case
def system_call_filter_of_ones_own(on):
    on.files({"profile.json": '{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mkdir", "mkdirat"], '
                              '"action": "SCMP_ACT_ERRNO"}]}', "bad.json": "{"})
    sh(on, "mkdir /x", "--security-opt seccomp=profile.json")
    sh(on, "mkdir /x", "--security-opt seccomp=bad.json")
    sh(on, "mkdir /x", "--security-opt seccomp=missing.json")


@case
def security_options(on):
    on.docker("create --security-opt nosuch busybox")
    on.docker("create --security-opt nosuch=1 busybox")
    on.docker("create --name c1 --security-opt label=disable --security-opt no-new-privileges:true busybox")
    on.docker("inspect -f '{{json .HostConfig.SecurityOpt}}' c1")
    on.docker("create --name u1 --security-opt systempaths=unconfined busybox")
    on.docker("inspect -f '{{json .HostConfig.MaskedPaths}} {{json .HostConfig.ReadonlyPaths}}' u1")


@case
def masked_and_read_only_paths(on):
    sh(on, "cat /proc/kcore | wc -c; ls /proc/acpi /proc/scsi /sys/firmware 2>&1 | head -20; cat /proc/keys | wc -c")
    sh(on, "echo 1 >/proc/sys/kernel/panic; echo b >/proc/sysrq-trigger; mkdir /sys/fs/cgroup/x")


@case
def mount_options_of_a_container(on):
    sh(on,
       "grep -E ' (/proc|/dev|/dev/pts|/dev/shm|/dev/mqueue|/sys) ' /proc/mounts | sed -E 's/inode64//; "
       "s/size=[0-9]+k//' "
           "| sort")


@case
def host_names_files(on):
    sh(on, "cat /etc/hosts; cat /etc/hostname; hostname", "-h box")
    sh(on, "ls -l /etc/hosts /etc/hostname /etc/resolv.conf | cut -c1-10; ls -l /etc/mtab | sed 's/.*-> //'")


@case
def host_namespaces(on):
    sh(on, "hostname | wc -c; cat /etc/hosts | wc -l >/dev/null; ip link show lo | head -1",
       "--network host --uts host "
                                                                                        "--ipc host")
    on.docker("create --uts host --hostname x busybox")
    on.docker("create --network host --hostname x --name c1 busybox")
    on.docker("create --uts bad busybox")
    on.docker("create --pid bad busybox")
    on.docker("create --ipc bad busybox")


@case
def another_containers_namespaces(on):
    on.prepare("run -d --name other --ipc shareable -h other busybox sleep 60")
    sh(on, "ps | grep -c 'sleep 60'; hostname; ls /dev/shm", "--pid container:other --network container:other "
                                                           "--ipc container:other")
    on.prepare("run -d --name private --ipc private busybox sleep 60")
    sh(on, "true", "--ipc container:private")
    sh(on, "true", "--pid container:nosuch")
    sh(on, "true", "--network container:nosuch")
    on.docker("create --network container:other -p 80:80 busybox")
    on.docker("create --network container:other --hostname x busybox")
    on.docker("create --network container:other --dns 1.1.1.1 busybox")
    on.docker("create --network container:other --add-host x:1.1.1.1 busybox")


@case
def namespaces_of_a_stopped_container(on):
    on.prepare("create --name stopped busybox")
    for kind in ("pid", "network", "ipc"):
        on.docker(f"run --rm --{kind} container:stopped busybox true")


@case
def network_none(on):
    sh(on, "ip -o addr | grep -v inet6; cat /etc/hosts", "--network none -h box")


@case
def environment_of_a_container(on):
    sh(on, "env | sort", "-h box --user web")
    sh(on, "env | sort", "-h box --user 4242")
    on.docker("run --rm -t -h box busybox env")


@case
def process_limits_of_a_container(on):
    sh(on, "cat /proc/self/oom_score_adj; umask; ulimit -c")
    sh(on, "cat /proc/self/oom_score_adj", "--oom-score-adj 77")
