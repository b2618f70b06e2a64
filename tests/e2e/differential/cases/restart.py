"""Point 8: restart policies."""
from case import case


@case
def on_failure_gives_up(on):
    on.docker("run -d --name c1 --restart on-failure:1 busybox sh -c 'echo again; exit 3'")
    on.until("given up",
             lambda: (lambda state: state["Status"] == "exited" and on.get("/containers/c1/json")["RestartCount"] == 1)(
        on.get("/containers/c1/json")["State"]))
    on.docker("inspect -f '{{.RestartCount}} {{.State.ExitCode}}' c1")
    on.docker("logs c1")


@case
def on_failure_is_content_with_success(on):
    on.docker("run --name c1 --restart on-failure busybox true")
    on.docker("inspect -f '{{.RestartCount}} {{.State.Status}}' c1")


@case
def no_is_the_default(on):
    on.docker("run --name c1 busybox false")
    on.docker("inspect -f '{{json .HostConfig.RestartPolicy}} {{.RestartCount}} {{.State.Status}}' c1")


@case
def always_restarts(on):
    on.prepare("run -d --name c1 --restart always busybox sh -c 'echo again; sleep 0.2'")
    on.until("restarted", lambda: on.get("/containers/c1/json")["RestartCount"] >= 1)
    on.docker("stop c1")
    on.docker("inspect -f '{{.State.Restarting}} {{.State.Status}}' c1")


@case
def a_killed_one_stays_down(on):
    for policy in ("always", "unless-stopped", "on-failure"):
        on.prepare(f"run -d --name {policy} --restart {policy} busybox sleep 60", f"kill {policy}")
        on.until_state(policy, "exited")
        on.docker(f"inspect -f '{{{{.RestartCount}}}}' {policy}")


@case
def a_failed_start_is_not_repeated(on):
    on.docker("run -d --name c1 --restart always busybox nosuch")
    on.docker("inspect -f '{{.State.Status}} {{.RestartCount}} {{.State.Restarting}}' c1")
