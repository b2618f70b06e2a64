"""Point 4: a container's life after its start: signals, pauses, names, limits, files, further processes."""
from case import case


@case
def stop_sends_the_stop_signal(on):
    on.prepare("run -d --name c1 --stop-signal USR1 busybox sh -c \"trap 'echo usr1; exit 9' USR1; echo up; while :; "
               "do sleep 0.1; "
               "done\"")
    on.until_logs("c1", "up")
    on.docker("stop c1")
    on.docker("logs c1")
    on.docker("inspect -f '{{.State.ExitCode}} {{.State.Status}}' c1")
    on.docker("stop c1")


@case
def stop_kills_after_the_timeout(on):
    on.prepare("run -d --name c1 busybox sleep 60")
    on.docker("stop -t 0 c1")
    on.docker("inspect -f '{{.State.ExitCode}} {{.State.Status}}' c1")


@case
def stop_with_an_invalid_timeout(on):
    on.prepare("create --name c1 busybox")
    on.docker("stop -t x c1")
    on.api("POST", "/containers/c1/stop?t=x")
    on.api("POST", "/containers/c1/stop")
    on.api("POST", "/containers/c1/restart?t=x")


@case
def start_again(on):
    on.prepare("run --name c1 busybox sh -c 'echo hello >>/seen; cat /seen'")
    on.docker("start -a c1")
    on.docker("logs c1")
    on.docker("inspect -f '{{.RestartCount}}' c1")


@case
def start_a_running_one(on):
    on.prepare("run -d --name c1 busybox sleep 60")
    on.docker("start c1")
    on.api("POST", "/containers/c1/start")


@case
def restart(on):
    on.prepare("run -d --name c1 busybox sh -c 'echo started; trap exit TERM; while :; do sleep 0.1; done'")
    on.until_logs("c1", "started")
    on.docker("restart c1")
    on.until("logs", lambda: on.ask("logs c1").count("started") == 2)
    on.docker("inspect -f '{{.State.Status}} {{.RestartCount}}' c1")
    on.prepare("stop -t 0 c1")
    on.docker("restart -t 0 c1")


@case
def kill(on):
    on.prepare("run -d --name c1 busybox sleep 60")
    on.docker("kill -s NOSUCH c1")
    on.docker("kill -s 0 c1")
    on.docker("kill -s 65 c1")
    on.docker("kill -s SIGWINCH c1")
    on.docker("kill c1")
    on.docker("wait c1")
    on.docker("kill c1")


@case
def pause(on):
    on.prepare("run -d --name c1 busybox sleep 60")
    on.docker("pause c1")
    on.docker("pause c1")
    on.docker("ps --format '{{.Names}} {{.Status}}'")
    on.docker("inspect -f '{{json .State}}' c1")
    on.docker("exec c1 true")
    on.docker("start c1")
    on.docker("attach c1")
    on.docker("unpause c1")
    on.docker("unpause c1")


@case
def pause_of_a_stopped_one(on):
    on.prepare("create --name c1 busybox")
    on.docker("pause c1")
    on.docker("unpause c1")


@case
def stop_a_paused_one(on):
    on.prepare("run -d --name c1 busybox sleep 60", "pause c1")
    on.docker("stop -t 0 c1")
    on.docker("inspect -f '{{.State.Status}}' c1")


@case
def rename(on):
    on.prepare("create --name one busybox", "create --name two busybox")
    on.docker("rename one two")
    on.docker("rename one one")
    on.docker("rename one -bad")
    on.docker("rename one ''")
    on.docker("rename one new")
    on.docker("ps -a --format '{{.Names}}'")
    on.docker("inspect one")


@case
def update(on):
    on.prepare("run -d --name c1 --memory 64m busybox sleep 60")
    on.docker("update --memory 32m --memory-swap 32m --cpu-shares 100 --pids-limit 50 --restart on-failure:2 c1")
    on.docker("inspect -f '{{json .HostConfig}}' c1")
    on.docker("exec c1 cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/pids/pids.max")
    on.docker("update --memory 128m c1")
    on.docker("update --memory 1m c1")
    on.docker("update --restart bad c1")
    on.docker("update --cpus 0.5 c1")
    on.docker("update c1")


@case
def update_of_a_stopped_one(on):
    on.prepare("create --name c1 busybox")
    on.docker("update --memory 64m --cpus 0.5 --cpuset-cpus 0 c1")
    on.docker("inspect -f '{{.HostConfig.Memory}} {{.HostConfig.MemorySwap}} {{.HostConfig.NanoCpus}}' c1")
    on.prepare("create --rm --name r1 busybox")
    on.docker("update --restart always r1")


@case
def wait(on):
    on.prepare("run -d --name c1 busybox sh -c 'sleep 0.3; exit 6'", "create --name n1 busybox")
    on.docker("wait c1 n1")
    on.api("POST", "/containers/c1/wait?condition=bad")
    on.api("POST", "/containers/c1/wait?condition=not-running")


@case(differs={r"Usage:": "engined passes on all that ps says"})
def top(on):
    on.prepare("run -d --name c1 busybox sleep 60")
    on.api("GET", "/containers/c1/top", keep=lambda body: [body["Titles"], [row[-1] for row in body["Processes"]]])
    on.docker("top c1 -o args")
    on.docker("top c1 nosuch")
    on.prepare("kill c1", "wait c1")
    on.docker("top c1")


@case
def top_of_a_created_one(on):
    on.prepare("create --name c1 busybox")
    on.docker("top c1")


@case(differs={r"memory_stats\.stats": "engined passes on all that the kernel counts"})
def statistics(on):
    on.prepare("run -d --name c1 --memory 64m busybox sleep 60", "create --name n1 busybox")

    def shape(value):
        return {key: shape(value[key]) for key in value} if isinstance(value, dict) else type(value).__name__

    on.api("GET", "/containers/c1/stats?stream=0", keep=shape)
    on.api("GET", "/containers/c1/stats?stream=0&one-shot=1", keep=shape)
    on.api("GET", "/containers/n1/stats?stream=0", keep=shape)
    on.docker("stats --no-stream --format '{{.Name}} {{.ID}}' c1")


@case
def exec_runs_in_a_container(on):
    on.prepare("run -d --name c1 -e A=1 -w /tmp busybox sleep 60")
    on.docker("exec c1 sh -c 'echo out; echo err >&2; pwd; echo $A$B; exit 8'")
    on.docker("exec -e B=2 -w /etc -u web c1 sh -c 'id; pwd; echo $A$B'")
    on.docker("exec -i c1 cat", stdin="typed\n")
    on.docker("exec -d c1 touch /touched")
    on.until("file", lambda: on.ask("exec c1 ls /touched"))
    on.docker("exec c1 grep CapEff /proc/self/status")


@case
def exec_errors(on):
    on.prepare("run -d --name c1 busybox sleep 60", "create --name n1 busybox")
    on.docker("exec c1 nosuch")
    on.docker("exec c1 /etc")
    on.docker("exec -u nosuch c1 true")
    on.docker("exec -w /nosuch c1 true")
    on.docker("exec n1 true")


@case
def exec_on_a_terminal(on):
    on.prepare("run -d --name c1 busybox sleep 60")
    on.terminal("exec -it -e PS1=_ c1 sh", ("_", "tty; exit 3\r"))


@case
def exec_documents(on):
    on.prepare("run -d --name c1 busybox sleep 60")
    made = on.api("POST", "/containers/c1/exec", {"Cmd": ["sh", "-c", "exit 4"], "AttachStdout": True, "Env": ["A=1"],
                                                 "User": "web", "WorkingDir": "/tmp"})
    path = f"/exec/{made['Id']}"
    on.api("GET", f"{path}/json")
    on.api("GET", "/containers/c1/json", keep=lambda body: body["ExecIDs"])
    on.api("POST", f"{path}/start", {"Detach": True})
    on.until("exec ended", lambda: on.get(f"{path}/json").get("ExitCode") is not None)
    on.api("GET", f"{path}/json")
    on.api("POST", f"{path}/start", {"Detach": True})
    on.prepare("kill c1", "wait c1")
    on.api("GET", f"{path}/json")
    on.api("POST", f"{path}/start", {"Detach": True})
    on.api("GET", "/containers/c1/json", keep=lambda body: body["ExecIDs"])


@case
def attach(on):
    on.prepare("run -d --name c1 busybox sh -c 'while [ ! -e /go ]; do sleep 0.1; done; echo late; exit 2'",
               "create --name n1 busybox")
    on.docker("attach n1")
    on.docker("exec -d c1 sh -c 'sleep 0.5; touch /go'")
    on.docker("attach c1")


@case
def attach_over_web_sockets(on):
    on.prepare("run -d -i --name c1 busybox sh -c 'read a; echo out $a; read b; echo out $b; exit 3'",
               "run -d -it --name t1 busybox sh -c 'stty -echo; echo begin; read a; echo got $a; exit 4'")
    on.until_logs("t1", "begin")
    on.web_socket("/containers/c1/attach/ws?stream=1", (0x89, b"ping"), (0x82, b"one\n"), (0x81, b"two\n"))
    on.web_socket("/v1.27/containers/t1/attach/ws?stream=1&logs=1", (0x82, b"on"), (0x80, b"e\n"))
    on.web_socket("/v1.41/containers/c1/attach/ws?logs=1")
    on.api("GET", "/containers/c1/attach/ws?stream=1&detachKeys=bad")
    on.api("GET", "/containers/nosuch/attach/ws?stream=1&detachKeys=bad")
    on.prepare("run -d --name p1 busybox sleep 60", "pause p1")
    on.api("GET", "/containers/p1/attach/ws?stream=1")
    on.api("POST", "/containers/p1/attach?stream=1")


@case
def copy_files(on):
    on.files({"f": "from outside\n", "d/one": "1\n", "d/two": "2\n"})
    on.prepare("create --name c1 web true")
    on.docker("cp f c1:/tmp/f")
    on.docker("cp d c1:/tmp/new")
    on.docker("cp d c1:/tmp")
    on.docker("cp d/. c1:/tmp/flat")
    on.docker("cp c1:/etc/passwd got")
    on.record("got", (on.folder / "got").read_text())
    on.docker("cp c1:/tmp/new back")
    on.record("back", sorted(str(path.relative_to(on.folder)) for path in (on.folder / "back").rglob("*")))
    on.docker("cp -L c1:/bin/sh sh")
    on.prepare("commit c1 copied")
    on.docker("run --rm copied sh -c 'find /tmp | sort; ls -ln /tmp/f | cut -c1-30; cat /tmp/f'")


@case(differs={r"closed pipe": "how far the client has come when it sees the error is chance"})
def copy_errors(on):
    on.files({"f": "x\n", "d/one": "1\n"})
    on.prepare("create --name c1 busybox true")
    on.docker("cp c1:/nosuch .")
    on.docker("cp nosuch c1:/tmp")
    on.docker("cp f c1:/nosuch/f")
    on.docker("cp f c1:/etc/passwd/")
    on.docker("cp d c1:/etc/passwd")
    on.docker("cp c1:/etc f")
    on.docker("cp f c1:")
    on.docker("cp f g")
    on.docker("cp c1:/a c1:/b")
    on.docker("cp c1:/etc/passwd nosuch/")


@case
def copy_keeps_owner_with_a(on):
    on.files({"f": "x\n"})
    on.prepare("create --name c1 busybox true")
    on.docker("cp -a f c1:/tmp/f")
    on.prepare("cp c1:/tmp/f got")
    on.api("HEAD", "/containers/c1/archive?path=/tmp/f")


@case
def copy_into_volumes_and_read_only(on):
    on.files({"f": "x\n"})
    on.prepare("run -d --name c1 -v v1:/v1 --tmpfs /t --read-only busybox sleep 60")
    on.docker("cp f c1:/v1/f")
    on.docker("cp f c1:/f")
    on.docker("exec c1 cat /v1/f")
    on.docker("cp c1:/v1/f got")


@case
def health(on):
    on.prepare("run -d --name c1 --health-cmd 'test -e /ok && echo fine' --health-interval 200ms --health-retries 1 "
               "busybox sleep 60")

    def status():
        return on.get("/containers/c1/json")["State"]["Health"]["Status"]

    on.until("unhealthy", lambda: status() == "unhealthy")
    on.docker("ps --format '{{.Names}} {{.Status}}'")
    on.docker("ps -q --filter health=unhealthy --format '{{.Names}}'")
    on.prepare("exec c1 touch /ok")
    on.until("healthy", lambda: status() == "healthy")
    on.docker("ps --format '{{.Names}} {{.Status}}'")
    on.record("log", {key: value for key, value in on.get("/containers/c1/json")["State"]["Health"]["Log"][-1].items()})


@case
def export(on):
    on.prepare("create --name c1 busybox true")
    on.docker("export -o out.tar c1")
    listed = on.host.run("tar", "-tf", on.folder / "out.tar").stdout.split()
    on.record("files", sorted(listed))


@case
def port_of_a_container(on):
    on.prepare("run -d --name c1 -p 8090:80 -p 127.0.0.1:8091:81/udp web", "create --name n1 web")
    on.docker("port c1")
    on.docker("port c1 80")
    on.docker("port c1 80/tcp")
    on.docker("port c1 81/udp")
    on.docker("port c1 82")
    on.docker("port n1")
