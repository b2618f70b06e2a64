"""Point 4: what containers said and what happened."""
import json
import re
import urllib.parse

from case import case

SCRIPT = "sh -c 'for i in 1 2 3; do echo out$i; echo err$i >&2; done'"


@case
def logs(on):
    on.prepare(f"run --name c1 busybox {SCRIPT}")
    on.docker("logs c1")
    on.docker("logs --tail 0 c1")
    on.docker("logs --tail bad c1")
    on.docker("logs --tail -1 c1")
    on.docker("logs -f c1")


@case
def logs_tail(on):
    on.prepare("run --name c1 busybox sh -c 'seq 1 50'")
    for tail in (1, 3, 49, 50, 51, 1000, "all"):
        on.docker(f"logs --tail {tail} c1")


@case
def logs_with_times(on):
    on.prepare("run --name c1 busybox sh -c 'echo one; echo two'")
    on.docker("logs -t c1")
    on.docker("logs --details c1")
    on.docker("logs -t --details c1")


@case
def logs_since_and_until(on):
    on.prepare("run --name c1 busybox sh -c 'echo one'")
    for limit in ("--since 1h", "--until 1h", "--since 2020-01-01", "--until 2020-01-01T00:00:00Z",
                  "--since 1000000000",
                  "--since bad", "--until 2020-13-01", "--since 1000000000.5", "--until 2100-01-01"):
        on.docker(f"logs {limit} c1")


@case
def logs_without_line_end(on):
    on.docker("run --name c1 busybox printf unfinished")
    on.docker("logs c1")
    on.docker("logs -t c1")


@case
def logs_of_a_long_line(on):
    on.prepare("run --name c1 busybox sh -c 'dd if=/dev/zero bs=1000 count=40 2>/dev/null | tr \"\\0\" x; echo'")
    on.record("length", len(on.ask("logs c1")))
    on.record("lines with times", len(on.ask("logs -t c1").splitlines()))


@case
def logs_followed(on):
    on.prepare("run -d --name c1 busybox sh -c 'echo one; sleep 0.5; echo two'")
    on.docker("logs -f c1")


@case
def logs_of_a_terminal(on):
    on.prepare("run -t --name c1 busybox sh -c 'echo one; echo two >&2'")
    on.record("logs", on.api("GET", "/containers/c1/logs?stdout=1&stderr=1"))
    on.docker("logs c1")


@case
def logs_as_frames(on):
    on.prepare("run --name c1 busybox echo one")
    on.api("GET", "/containers/c1/logs?stdout=1")
    on.api("GET", "/containers/c1/logs?stderr=1")
    on.api("GET", "/containers/c1/logs")
    on.api("GET", "/containers/c1/logs?stdout=0&stderr=0")
    on.api("GET", "/containers/nosuch/logs?stdout=1")
    on.api("GET", "/containers/c1/logs?stdout=1&since=bad")


@case
def logs_of_no_driver(on):
    on.docker("run --name c1 --log-driver none busybox echo hello")
    on.docker("logs c1")


@case
def logs_of_a_created_one(on):
    on.prepare("create --name c1 busybox")
    on.docker("logs c1")


@case
def log_rotation(on):
    on.prepare("run --name c1 --log-opt max-size=1k --log-opt max-file=2 busybox sh -c 'seq 1 40'")
    on.record("last", on.ask("logs --tail 5 c1"))


def events(on, begin, *filters, drop=()):
    """The events since `begin`: type, action, attributes."""
    wanted = {}
    for one in filters:
        name, value = one.split("=", 1)
        wanted.setdefault(name, []).append(value)
    query = urllib.parse.urlencode({"since": begin, "until": now(on), "filters": json.dumps(wanted)})
    listed = on.get(f"/events?{query}")
    shown = []
    for event in [listed] if isinstance(listed, dict) else listed:
        if event["Action"] in drop:
            continue
        shown.append({key: value for key, value in event.items() if key not in ("time", "timeNano")})
    return on.record(f"events {' '.join(filters)}", shown)


def now(on):
    return on.host.run("date", "+%s.%N").stdout.strip()


@case
def events_of_a_run(on):
    begin = now(on)
    on.prepare("run --rm --name c1 --label a=1 busybox true")
    on.until("destroyed", lambda: not on.ask("ps -aq"))
    events(on, begin, "type=container", drop=("attach",))


@case
def events_of_images(on):
    begin = now(on)
    on.prepare("create --name c1 busybox", "commit c1 made", "tag made other", "rmi made", "save -o saved other",
               "rmi other",
               "load -i saved")
    events(on, begin, "type=image")
    events(on, begin, "type=container", "event=commit")


@case
def event_filters(on):
    begin = now(on)
    on.prepare("create --name a1 --label x=1 busybox", "create --name b1 busybox", "rm a1", "volume create v1")
    for chosen in ("container=a1", "event=destroy", "label=x", "label=x=2", "type=volume", "image=busybox", "volume=v1",
                   "scope=local", "type=nosuch", "daemon=x", "event=create"):
        events(on, begin, chosen)
    events(on, begin, "label=x", "label=y")
    on.docker("events --since 0 --until 1 --filter bad")
    on.docker("events --since bad --until 1")
    on.docker("events --until bad")


@case
def events_shown_as_lines(on):
    begin = now(on)
    on.prepare("create --name a1 --label x=1 busybox", "rm a1")
    on.docker(["events", "--since", begin, "--until", now(on)], label="events")
    on.api("GET", "/events?since=bad")
    on.api("GET", "/events?since=1&until=2")
    on.api("GET", "/events?until=1&filters=bad")


@case
def health_events(on):
    begin = now(on)
    on.prepare("run -d --name c1 --health-cmd true --health-interval 100ms busybox sleep 60")
    on.until("healthy", lambda: on.get("/containers/c1/json")["State"]["Health"]["Status"] == "healthy")
    on.prepare("rm -f c1")
    lines = on.ask(f"events --since {begin} --until {now(on)} --format '{{{{.Action}}}}'").splitlines()
    on.record("actions", sorted({re.sub(r" .*", "", line) for line in lines}))
