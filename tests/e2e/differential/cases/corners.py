"""What public test suites for clients look at and the other topics do not: corners of many endpoints."""
from case import case


@case
def events_of_the_past(on):
    on.prepare("tag busybox seen:1", "rmi seen:1")
    until = on.ask("info -f '{{.SystemTime}}'")
    kept = on.ask(f"events --until {until} --format '{{{{.Action}}}} {{{{.Actor.Attributes.name}}}}'").splitlines()
    on.record("history without a beginning", [line for line in kept if "seen:1" in line])
    on.docker("events --since 2020-01-01T00:00:00Z --until 2001-01-01T00:00:00Z")


@case
def events_of_a_container_only(on):
    on.prepare("run --name eventful busybox true")
    until = on.ask("info -f '{{.SystemTime}}'")
    on.docker(f"events --until {until} --filter container=eventful --format '{{{{.Type}}}} {{{{.Action}}}}'",
              label="events --until NOW --filter container=eventful")


@case
def exec_has_the_limits_and_leaves_nothing(on):
    on.prepare("run -d --name c1 --ulimit nofile=511:511 busybox sleep 60")
    on.docker("exec c1 sh -c 'ulimit -n'")
    on.docker("exec c1 nosuchprogram")
    on.api("GET", "/containers/c1/json", keep=lambda body: body["ExecIDs"])
    on.prepare("pause c1")
    on.docker("exec c1 true")
    on.api("POST", f"/containers/{on.get('/containers/c1/json')['Id']}/exec", {"Cmd": ["true"]})


@case
def conflicts_of_the_network(on):
    on.docker("create --net host --mac-address 92:d0:c6:0a:29:33 busybox")
    on.docker("create --net container busybox")
    on.docker("create --net container: busybox")
    on.prepare("create --net host --name h1 busybox")
    on.docker("create --link h1:other busybox")
    on.docker("run --name me --net container:me busybox true")


@case
def a_domain_in_the_host_name(on):
    on.docker("run --rm --hostname one.example.com busybox sh -c 'tail -n 1 /etc/hosts | cut -f 2; hostname'")


@case
def limits_beside_the_configuration(on):
    on.api("POST", "/containers/create", {"Image": "busybox", "Memory": 524287})
    made = on.api("POST", "/containers/create?name=c1", {"Image": "busybox", "Memory": 8388608, "CpuShares": 3})
    on.api("GET", "/containers/c1/json", keep=lambda body: {name: body["HostConfig"][name] for name in (
        "Memory", "CpuShares")})
    on.docker("create --memory-reservation 1k busybox")
    assert made["Id"]


@case
def users_beyond_the_range(on):
    for user in ("2147483648", "-1"):
        on.docker(f"run --rm -u {user} busybox id")


@case
def working_directories(on):
    on.prepare("create --name c1 -w /made/deep busybox")
    on.docker("cp c1:/made/deep .")
    on.record("copied", (on.folder / "deep").is_dir())
    on.docker("create --name c2 -w /bin/cat busybox")


@case
def volumes_of_others_come_first(on):
    on.prepare("run --name c1 -v /shared busybox sh -c 'echo theirs >/shared/f'")
    on.docker("run --rm --volumes-from c1 -v /shared busybox cat /shared/f")
    on.docker("run --rm -v /etc busybox sh -c 'cut -f 2 /etc/hosts | head -n 1'")


@case
def options_of_temporary_files(on):
    for options in ("", ":rw,exec,size=8192k", ":exec,noexec,size=8192k,size=4096k", ":ro"):
        on.docker(f"run --rm --tmpfs /here{options} busybox sh -c 'mount | grep /here'")


@case
def memory_shared_with_the_host(on):
    on.docker("run --rm --ipc host busybox sh -c \"mount | grep -e ' /dev/shm' -e ' /dev/mqueue' | wc -l\"")


@case
def build_arguments_without_a_value(on):
    on.files({"Dockerfile": "FROM busybox\nARG A=from-file\nARG B\nRUN echo \"[$A] [${B-unset}]\"\n"})
    on.docker("build --build-arg A --build-arg B --no-cache -q .", label="build -q .")
    on.docker("build --build-arg A --build-arg B .")


@case
def images_of_one_second(on):
    for number in (1, 2, 3):
        on.files({"Dockerfile": f"FROM scratch\nLABEL number={number}\n"})
        on.prepare(f"build -q -t image:{number} {on.folder}")
    for words in ("since=image:1", "since=image:2", "before=image:3", "before=image:2"):
        # dockerd leaves the order within a second to chance.
        on.record(words, sorted(on.ask(f"images -f {words} --format '{{{{.Tag}}}}' image").split()))


@case
def names_that_are_none(on):
    on.api("DELETE", "/images/%20")
    on.api("POST", "/build?platform=foobar", b"")
    on.api("POST", "/images/create?fromImage=busybox&tag=latest&platform=foobar")
    on.api("GET", '/volumes?filters={"dangling":["x"]}')
    on.api("OPTIONS", "/")
    on.api("OPTIONS", "/containers/json")
    on.docker("run --rm -t --detach-keys ctrl-A,a busybox true")
