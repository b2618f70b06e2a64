"""Point 2: what `run` is asked to limit and to give: the documents and what the container sees."""
from case import case


def shown(on, flags, command="true", image="busybox", fields="HostConfig"):
    """Creates a container and records a part of its document."""
    on.docker(f"create --name c1 {flags} {image} {command}")
    on.docker(f"inspect -f '{{{{json .{fields}}}}}' c1")


@case
def memory(on):
    shown(on, "--memory 64m --memory-swap 128m --memory-reservation 32m --kernel-memory 50m --memory-swappiness 10 "
              "--oom-kill-disable --oom-score-adj 100")


@case
def memory_too_small(on):
    on.docker("create --memory 1m busybox")
    on.docker("create --memory 64m --memory-swap 32m busybox")
    on.docker("create --memory-swap 64m busybox")
    on.docker("create --memory 64m --memory-reservation 65m busybox")
    on.docker("create --memory-swappiness 101 --memory 64m busybox")
    on.docker("create --kernel-memory 1m busybox")
    on.docker("create --memory bad busybox")
    on.docker("create --oom-score-adj 2000 busybox")


@case
def memory_limit_in_the_container(on):
    on.docker("run --rm --memory 64m busybox sh -c 'cat /sys/fs/cgroup/memory/memory.limit_in_bytes'")


@case
def out_of_memory(on):
    on.docker("run --name c1 --memory 16m --memory-swap 16m busybox sh -c 'x=a; while :; do x=$x$x; done'")
    on.docker("inspect -f '{{.State.OOMKilled}} {{.State.ExitCode}}' c1")


@case
def processors(on):
    shown(on, "--cpus 0.5 --cpu-shares 512 --cpuset-cpus 0 --cpuset-mems 0")


@case
def processor_periods(on):
    shown(on, "--cpu-period 50000 --cpu-quota 25000")
    on.docker("create --cpu-period 10 busybox")
    on.docker("create --cpu-quota 10 busybox")
    on.docker("create --cpus 1000 busybox")
    on.docker("create --cpus 0.5 --cpu-quota 10000 busybox")
    on.docker("create --cpuset-cpus 999 busybox")
    on.docker("create --cpuset-cpus x busybox")
    on.docker("create --cpu-shares -1 busybox")


@case
def process_limit(on):
    shown(on, "--pids-limit 20")
    on.docker("run --rm --pids-limit 20 busybox cat /sys/fs/cgroup/pids/pids.max")
    on.docker("create --name minus --pids-limit -1 busybox")
    on.docker("inspect -f '{{.HostConfig.PidsLimit}}' minus")


@case
def resource_limits(on):
    shown(on, "--ulimit nofile=100:200 --ulimit core=0")
    on.docker("run --rm --ulimit nofile=100:200 busybox sh -c 'ulimit -n; ulimit -Hn'")
    on.docker("create --ulimit nosuch=1 busybox")
    on.docker("create --ulimit nofile=20:10 busybox")


@case
def user(on):
    on.docker("run --rm --user 1000:1001 busybox id")
    on.docker("run --rm --user web busybox id")
    on.docker("run --rm --user web:extra busybox id")
    on.docker("run --rm --user nosuch busybox id")
    on.docker("run --rm --user 1:nosuch busybox id")


@case
def additional_groups(on):
    on.docker("run --rm --group-add extra --group-add 77 busybox id")
    on.docker("run --rm --group-add nosuch busybox id")


@case
def hostname(on):
    on.docker("run --rm --hostname box --domainname example.test busybox sh -c 'hostname; cat /etc/hostname'")
    on.docker("create --hostname 'bad name' busybox")
    on.docker("create --name c1 --hostname a.b.c busybox")
    on.docker("inspect -f '{{json .Config}}' c1")


@case
def names_of_hosts(on):
    on.docker("run --rm -h box --add-host one:10.0.0.1 --add-host six:::1 busybox cat /etc/hosts")
    on.docker("create --add-host bad busybox")
    on.docker("create --add-host one:bad busybox")


@case
def name_servers(on):
    on.docker("run --rm --dns 10.0.0.53 --dns-search example.test --dns-option ndots:2 busybox cat /etc/resolv.conf")
    on.docker("create --dns bad busybox")


@case
def host_gateway(on):
    on.docker("run --rm --network none --add-host gate:host-gateway busybox cat /etc/hosts")
    on.docker("run --rm --add-host gate:host-gateway busybox grep gate /etc/hosts")


@case
def read_only_root(on):
    on.docker("run --rm --read-only busybox sh -c 'touch /x; touch /dev/shm/x && touch /etc/hosts && echo written'")
    on.docker("run --rm --read-only --tmpfs /tmp busybox sh -c 'touch /tmp/x && echo written'")


@case
def temporary_file_systems(on):
    on.docker("run --rm --tmpfs /t --tmpfs /u:size=64k,mode=700,noexec busybox sh -c 'grep -E \" /(t|u) \" "
              "/proc/mounts'")
    shown(on, "--tmpfs /t:size=64k")
    on.docker("run --rm --tmpfs relative busybox true")


@case
def shared_memory(on):
    on.docker("run --rm --shm-size 1m busybox grep /dev/shm /proc/mounts")
    on.docker("create --shm-size 0 --name c1 busybox")
    on.docker("inspect -f '{{.HostConfig.ShmSize}}' c1")
    on.docker("create --shm-size bad busybox")


@case
def kernel_settings(on):
    on.docker("run --rm --sysctl net.ipv4.ip_forward=0 busybox cat /proc/sys/net/ipv4/ip_forward")
    on.docker("run --rm --sysctl kernel.msgmax=1000 busybox cat /proc/sys/kernel/msgmax")
    on.docker("run --rm --sysctl kernel.hostname=x busybox true")
    on.docker("run --rm --sysctl vm.swappiness=1 busybox true")


@case
def devices(on):
    on.docker("run --rm --device /dev/zero:/dev/mine:r busybox sh -c 'ls -l /dev/mine | cut -c1-10'")
    shown(on, "--device /dev/zero --device /dev/null:/dev/n:rw --device-cgroup-rule 'c 1:3 rmw'")
    on.docker("run --rm --device /dev/nosuch busybox true")
    on.docker("create --device /dev/zero:/x:bad busybox")


@case
def initial_process(on):
    on.docker("run --rm --init busybox cat /proc/1/comm")
    shown(on, "--init")


@case
def stop_settings(on):
    shown(on, "--stop-signal USR1 --stop-timeout 3", fields="Config")
    on.docker("create --stop-signal NOSUCH busybox")


@case(differs={r"max-size=bad|max-file=2": "engined refuses at creation what dockerd refuses at the start"})
def log_options(on):
    shown(on, "--log-driver json-file --log-opt max-size=1m --log-opt max-file=2")
    on.docker("create --log-driver none --name n1 busybox")
    on.docker("inspect -f '{{json .HostConfig.LogConfig}}' n1")
    on.docker("create --log-driver nosuch busybox")
    on.docker("create --log-opt nosuch=1 busybox")
    on.docker("create --log-opt max-size=bad busybox")
    on.docker("create --log-opt max-file=2 busybox")
    on.docker("create --log-driver none --log-opt max-size=1m busybox")


@case
def restart_policies_shown(on):
    shown(on, "--restart on-failure:3")
    on.docker("create --restart nosuch busybox")
    on.docker("create --restart always:3 busybox")
    on.docker("create --restart on-failure:-1 busybox")


@case
def published_ports(on):
    shown(on, "-p 80 -p 127.0.0.1:81:81 -p 82-83:82-83/udp --expose 90 --expose 91-92/udp")
    on.docker("inspect -f '{{json .Config.ExposedPorts}}' c1")
    on.docker("create -p bad busybox")
    on.docker("create -p 80:80:80:80 busybox")
    on.docker("create -p 1-2:3 busybox")
    on.docker("create -p 99999:80 busybox")


@case
def block_io(on):
    shown(on, "--blkio-weight 300")
    on.docker("create --blkio-weight 5 busybox")
    on.docker("create --device-read-bps /dev/nosuch:1mb busybox")


@case
def storage_options(on):
    on.docker("create --storage-opt size=1G busybox")
    on.docker("create --storage-opt nosuch=1 busybox")


@case
def annotations_of_health(on):
    shown(on, "--health-cmd 'test -e /x' --health-interval 5s --health-retries 2 --health-timeout 1s "
              "--health-start-period 3s", fields="Config.Healthcheck")
    on.docker("create --name n1 --no-healthcheck busybox")
    on.docker("inspect -f '{{json .Config.Healthcheck}}' n1")
    on.docker("create --health-interval 1us --health-cmd x busybox")
    on.docker("create --health-retries -1 --health-cmd x busybox")


@case
def runtimes(on):
    on.docker("create --runtime nosuch busybox")
    on.docker("create --isolation hyperv busybox")


@case
def user_namespaces(on):
    on.docker("create --userns host --name c1 busybox")
    on.docker("inspect -f '{{json .HostConfig.UsernsMode}}' c1")
    on.docker("create --userns bad busybox")


@case
def parent_group(on):
    shown(on, "--cgroup-parent /mine")
    on.docker("create --name n1 --cgroupns private busybox")
    on.docker("inspect -f '{{.HostConfig.CgroupnsMode}}' n1")
    on.docker("create --cgroupns bad busybox")
