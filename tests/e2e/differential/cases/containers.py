"""Point 1: containers from `run` to `rm`."""
from case import case

PS = ("ps -a --no-trunc --format '{{.ID}} {{.Names}} {{.Image}} {{.Command}} {{.Status}} {{.Ports}} {{.Networks}} "
      "{{.Mounts}}'")


@case
def outputs_and_exit_status(on):
    on.docker("run --rm busybox sh -c 'echo out; echo err >&2; exit 3'")


@case
def command_not_found(on):
    on.docker("run --name c1 busybox nosuch")
    on.docker("inspect -f '{{json .State}}' c1")
    on.docker(PS)


@case
def command_is_a_folder(on):
    on.docker("run --name c1 busybox /etc")
    on.docker("inspect -f '{{.State.ExitCode}} {{.State.Error}}' c1")


@case
def command_is_not_executable(on):
    on.docker("run --rm busybox /etc/passwd")


@case
def working_folder_of_the_image(on):
    on.docker("run --rm web pwd")


@case
def working_folder_is_made(on):
    on.docker("run --rm -w /made/here busybox sh -c 'pwd; ls -ld /made | cut -c1-10'")


@case
def working_folder_must_be_absolute(on):
    on.docker("run --rm -w relative busybox pwd")


@case
def unknown_image(on):
    on.docker("run nosuchimage true")
    on.docker("run nosuch/image:tag true")
    on.docker("create --pull never nosuchimage")


@case
def invalid_image_name(on):
    on.docker("run UPPER true")
    on.docker("run '' true")
    on.docker("run busybox:bad:tag true")


@case
def environment(on):
    on.docker("run --rm -e A=1 -e B= -e HOME=/x -h box web sh -c 'env | sort'")
    on.docker("run --rm --env A=2 -e GREETING=bye -h box web sh -c 'env | sort'")


@case
def environment_file(on):
    on.files({"env": "ONE=1\n# comment\nTWO=two words\n"})
    on.docker("run --rm -h box --env-file env busybox sh -c 'env | sort'")
    on.docker("run --rm --env-file missing busybox env")


@case
def standard_input(on):
    on.docker("run --rm -i busybox sh -c 'cat; echo end'", stdin="one\ntwo\n")


@case
def entry_point(on):
    on.docker("run --rm --entrypoint echo busybox a b")
    on.docker("run --name c1 --entrypoint '' busybox echo x")
    on.docker("inspect -f '{{json .Config.Entrypoint}} {{json .Config.Cmd}} {{.Path}} {{json .Args}}' c1")


@case
def image_without_a_command(on):
    on.prepare("create --name c1 busybox")
    on.docker("commit -c 'CMD []' c1 nocmd")
    on.docker("run --rm nocmd")
    on.docker("run --rm --entrypoint '' nocmd")


@case
def inspect_of_a_created_container(on):
    on.prepare("create --name c1 busybox echo hi")
    on.docker("inspect c1")


@case
def inspect_of_a_running_container(on):
    on.prepare("run -d --name c1 -p 8080:80 web")
    on.docker("inspect c1")


@case
def inspect_of_an_ended_container(on):
    on.docker("run --name c1 busybox false")
    on.docker("inspect c1")


@case
def listed_containers(on):
    on.prepare("run -d --name one -p 8081:80 web", "run -d --name two busybox sleep 60", "create --name three busybox")
    on.docker(PS)
    on.docker("ps --format '{{.Names}}'")
    on.docker("ps -aq --no-trunc")
    on.docker("ps -n 1 --format '{{.Names}}'")
    on.docker("ps -l --format '{{.Names}}'")
    on.docker("ps -a")


@case
def list_filters(on):
    on.prepare("run -d --name one --label a=1 web", "create --name two --label a=2 busybox",
               "create --name three busybox")
    on.docker("run --name four busybox sh -c 'exit 4'")
    for chosen in ("label=a", "label=a=2", "name=o", "name=^/t", "status=created", "status=exited", "status=running",
                   "exited=4", "ancestor=busybox", "ancestor=web", "before=two", "since=two", "network=bridge",
                   "volume=/data", "id=zzz", "is-task=false", "health=none", "expose=80", "publish=80",
                   "status=nosuch", "nosuch=1", "exited=x", "before=nosuch", "health=bad"):
        on.docker(f"ps -a --format '{{{{.Names}}}}' --filter {chosen}")


@case
def listed_sizes(on):
    on.docker("run --name c1 busybox sh -c 'dd if=/dev/zero of=/file bs=1000 count=5 2>/dev/null'")
    on.docker("ps -as --format '{{.Names}} {{.Size}}'")
    on.docker("inspect -s -f '{{.SizeRw}} {{.SizeRootFs}}' c1")


@case
def name_is_taken(on):
    on.prepare("create --name c1 busybox")
    on.docker("create --name c1 busybox")
    on.docker("run --name c1 busybox true")


@case
def invalid_names(on):
    for name in ("a", "-a", "a/b", "a b", "é", ".a"):
        on.docker(["create", "--name", name, "busybox"])


@case
def names_and_short_identities(on):
    on.prepare("create --name c1 busybox")
    full = on.ask("inspect -f '{{.Id}}' c1")
    for name in ("c1", "/c1", full, full[:12], full[:4]):
        on.docker(["inspect", "-f", "{{.Name}} {{.Id}}", name], label=f"inspect a name of {len(name)} characters")


@case
def remove_a_running_container(on):
    on.prepare("run -d --name c1 busybox sleep 60")
    on.docker("rm c1")
    on.docker("rm -f c1")
    on.docker("rm c1")


@case
def remove_a_paused_container(on):
    on.prepare("run -d --name c1 busybox sleep 60", "pause c1")
    on.docker("rm c1")
    on.docker("rm -f c1")


@case
def remove_several(on):
    on.prepare("create --name a1 busybox", "create --name b1 busybox")
    on.docker("rm a1 nosuch b1")


@case
def remove_with_anonymous_volumes(on):
    on.prepare("create --name a1 web", "create --name b1 web", "create --name k1 -v kept:/x web")
    on.docker("rm -v a1 k1")
    on.docker("rm b1")
    on.docker("volume ls -q")


@case
def removed_at_its_end(on):
    on.docker("run --rm --name c1 web true")
    on.docker("ps -aq")
    on.docker("volume ls -q")
    on.docker("run --rm --restart always busybox true")


@case
def started_attached(on):
    on.prepare("create --name c1 busybox sh -c 'echo out; echo err >&2; exit 5'")
    on.docker("start -a c1")
    on.docker("start c1")
    on.docker("wait c1")
    on.docker("logs c1")


@case
def started_with_input(on):
    on.prepare("create -i --name c1 busybox cat")
    on.docker("start -ai c1", stdin="typed\n")


@case
def unknown_containers(on):
    for command in ("start", "stop", "restart", "kill", "pause", "unpause", "rm", "rm -f", "logs", "top", "inspect",
                    "port",
                    "diff", "wait", "attach", "export", "stats --no-stream", "update -m 64m", "rename nosuch"):
        on.docker(f"{command} nosuch")
    on.docker("exec nosuch true")
    on.docker("cp nosuch:/x .")
    on.docker("commit nosuch x")


@case
def container_identity_file(on):
    on.docker("create --cidfile id busybox")
    on.record("length", len((on.folder / "id").read_text()))
    on.docker("create --cidfile id busybox")


@case
def terminal_shows_one_stream(on):
    on.terminal("run --rm -it busybox sh -c 'echo out; echo err >&2; tty; exit 7'")


@case
def terminal_types_into_a_shell(on):
    on.terminal("run --rm -it -h box -e PS1=_ busybox sh", ("_", "echo a$((1+1))b\r"), ("a2b\r\n_", "exit 4\r"))


@case
def terminal_detaches(on):
    on.terminal("run -it --name c1 -e PS1=_ busybox sh", ("_", "\x10\x11"))
    on.docker("inspect -f '{{.State.Running}}' c1")
    on.terminal("attach --detach-keys ctrl-a,x c1", ("", "echo a$((2+2))b\r"), ("a4b\r\n_", "\x01x"))
    on.docker("inspect -f '{{.State.Running}}' c1")


@case
def terminal_needs_a_terminal(on):
    on.docker("run --rm -it busybox true", stdin="")


@case
def signal_names_of_the_exit(on):
    on.prepare("run -d --name c1 busybox sleep 60", "kill -s TERM c1", "kill c1")
    on.docker("wait c1")
    on.docker("inspect -f '{{.State.ExitCode}} {{.State.Status}} {{.State.OOMKilled}}' c1")


@case
def prune_containers(on):
    on.prepare("create --name a1 busybox", "run -d --name b1 busybox sleep 60", "create --name l1 --label keep busybox")
    on.docker("container prune -f --filter label!=keep")
    on.docker("ps -a --format '{{.Names}}'")
    on.docker("container prune -f --filter until=1h")
    on.docker("container prune -f --filter nosuch=1")
    on.docker("container prune -f")


@case
def default_name_is_two_words(on):
    on.prepare("create busybox")
    name = on.ask("ps -a --format '{{.Names}}'")
    on.record("two words", len(name.split("_")))


@case
def labels(on):
    on.files({"labels": "c=3\nd\n"})
    on.docker("create --name c1 --label a=1 --label b --label-file labels web")
    on.docker("inspect -f '{{json .Config.Labels}}' c1")
    on.docker("ps -a --format '{{.Label \"a\"}} {{.Labels}}'")
