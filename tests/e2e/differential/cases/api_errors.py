"""Requests as no client of Docker's sends them, to every endpoint: status and text."""
import base64
import json

from case import case

JSON = {"Content-Type": "application/json"}


def bodies(on, method, path, documents=()):
    """A missing body, one that is no JSON, wrong types, other content types; then the documents."""
    on.api(method, path)
    on.api(method, path, b"", JSON)
    on.api(method, path, b"{", JSON)
    on.api(method, path, b"[]", JSON)
    on.api(method, path, b'"text"', JSON)
    on.api(method, path, b"null", JSON)
    on.api(method, path, b"{} {}", JSON)
    on.api(method, path, b"{}", {"Content-Type": "text/plain"})
    on.api(method, path, b"{}", {"Content-Type": "application/json; charset=utf-8"})
    for document in documents:
        on.api(method, path, document)


@case
def container_create_bodies(on):
    bodies(on, "POST", "/containers/create", (
        {"Image": ""}, {"Image": "busybox", "Cmd": 5}, {"Image": "busybox", "Cmd": "text"}, {"Image": ["busybox"]},
        {"Image": "busybox", "Env": {"A": "1"}}, {"Image": "busybox", "Env": ["=x"]},
        {"Image": "busybox", "Labels": ["a"]},
        {"Image": "busybox", "ExposedPorts": {"bad": {}}}, {"Image": "busybox", "ExposedPorts": ["80"]},
        {"Image": "busybox", "HostConfig": "x"}, {"Image": "busybox", "HostConfig": {"Memory": "64m"}},
        {"Image": "busybox", "HostConfig": {"Memory": 1.5}}, {"Image": "busybox", "HostConfig": {"Binds": "x"}},
        {"Image": "busybox", "HostConfig": {"PortBindings": {"80/tcp": [{"HostPort": 80}]}}},
        {"Image": "busybox", "HostConfig": {"PortBindings": {"80/tcp": [{"HostPort": "x"}]}}},
        {"Image": "busybox", "HostConfig": {"PortBindings": {"x/tcp": []}}},
        {"Image": "busybox", "HostConfig": {"PortBindings": {"80/bad": []}}},
        {"Image": "busybox", "HostConfig": {"NetworkMode": 5}}, {"Image": "busybox", "StopTimeout": "x"},
        {"Image": "busybox", "Tty": "yes"}, {"Image": "nosuch"}, {"Image": "Bad"},
        {"Image": "busybox", "NetworkingConfig": 5},
        {"Image": "busybox", "Entrypoint": {"a": 1}}, {"Image": "busybox", "Volumes": ["/x"]},
        {"Image": "busybox", "Healthcheck": {"Interval": "1s"}},
        {"Image": "busybox", "HostConfig": {"Ulimits": [{"Name": "nosuch"}]}},
        {"Image": "busybox", "HostConfig": {"RestartPolicy": {"Name": "bad"}}},
        {"Image": "busybox", "HostConfig": {"RestartPolicy": {"Name": "always", "MaximumRetryCount": 2}}},
        {"Image": "busybox", "HostConfig": {"ConsoleSize": [1]}},
        {"Image": "busybox", "HostConfig": {"Isolation": "bad"}},
        {"Image": "busybox", "HostConfig": {"AutoRemove": True, "RestartPolicy": {"Name": "always"}}},
        {"Image": "busybox", "HostConfig": {"CapAdd": ["NOSUCH"]}},
        {"Image": "busybox", "HostConfig": {"CapAdd": "ALL"}},
        {"Image": "busybox", "HostConfig": {"Sysctls": {"bad": "1"}}},
        {"Image": "busybox", "HostConfig": {"ShmSize": -1}},
        {"Image": "busybox", "HostConfig": {"CgroupnsMode": "bad"}},
        {"Image": "busybox", "HostConfig": {"LogConfig": {"Type": "bad"}}},
        {"Image": "busybox", "WorkingDir": "relative"}, {"Image": "busybox", "MacAddress": "bad"},
        {"Image": "busybox", "HostConfig": {"Links": ["bad:x:y"]}},
        {"Image": "busybox", "HostConfig": {"ExtraHosts": ["bad"]}},
        {"Image": "busybox", "HostConfig": {"Runtime": "bad"}},
        {"Image": "busybox", "HostConfig": {"DeviceRequests": [{"Driver": "x"}]}},
        {"Image": "busybox", "HostConfig": {"Tmpfs": {"relative": ""}}}, {"Image": "busybox", "StopSignal": "NOSUCH"},
        {"Image": "busybox", "HostConfig": {"PidMode": "bad"}}, {"Image": "busybox", "HostConfig": {"IpcMode": "bad"}},
        {"Image": "busybox", "HostConfig": {"UTSMode": "bad"}}, {"Image": "busybox", "HostConfig": {"NanoCPUs": -1}},
        {"Image": "busybox", "HostConfig": {"VolumesFrom": ["nosuch"]}},
        {"Image": "busybox", "HostConfig": {"Nosuch": 1}}))


@case
def container_create_names(on):
    for name in ("a", "-x", "a%20b", "%2Fok", "ok/no", "x" * 300):
        on.api("POST", f"/containers/create?name={name}", {"Image": "busybox"})
    on.api("POST", "/containers/create?name=ok", {"Image": "busybox"})
    on.api("POST", "/containers/create?name=p1&platform=bad", {"Image": "busybox"})
    for platform in ("linux/arm64", "linux/amd64x", "Linux/x86_64", "linux/amd64/v2"):
        on.api("POST", f"/containers/create?platform={platform}", {"Image": "busybox"})
    for target in ("/", "//", "relative", "."):
        on.api("POST", "/containers/create", {"Image": "busybox", "HostConfig": {"Tmpfs": {target: ""}}})


@case(differs={r"HostConfig.Runtime": "engined names the runtime that it takes; dockerd does so at the start"})
def container_document_of_little(on):
    on.api("POST", "/containers/create?name=c1", {"Image": "busybox"})
    on.api("GET", "/containers/c1/json")
    on.api("GET", "/containers/c1/json?size=1", keep=lambda body: [body["SizeRw"], body["SizeRootFs"] > 0])
    on.api("GET", "/containers/json?all=1")
    on.api("GET", "/containers/json?all=1&size=1", keep=lambda body: sorted(body[0]))


@case
def container_list_parameters(on):
    on.prepare("create --name a1 busybox", "create --name b1 busybox")

    def names(body):
        return [one["Names"] for one in body] if isinstance(body, list) else body

    for query in ("", "?all=1", "?all=true", "?all=yes", "?all=0", "?all=false", "?limit=1", "?limit=x", "?limit=-1",
                  "?limit=0", "?since=a1",
                  "?before=b1", '?filters={"name":["a1"]}', '?filters={"name":{"a1":true}}', "?filters=bad",
                  "?filters={}", '?filters={"name":"a1"}',
                  '?filters={"nosuch":["1"]}', '?all=1&filters={"status":["bad"]}',
                  '?all=1&filters={"status":["created"]}',
                  '?all=1&filters={"exited":["x"]}', '?all=1&filters={"id":["zz"]}',
                  '?all=1&filters={"ancestor":["nosuch"]}',
                  '?all=1&filters={"network":["nosuch"]}', '?all=1&filters={"since":["nosuch"]}',
                  '?all=1&filters={"is-task":["x"]}',
                  '?all=1&filters={"health":["bad"]}'):
        on.api("GET", f"/containers/json{query}", keep=names)


@case
def unknown_containers(on):
    for method, path in (("GET", "json"), ("GET", "top"), ("GET", "logs?stdout=1"), ("GET", "changes"),
                         ("GET", "export"), ("GET", "stats"),
                         ("POST", "resize?h=1&w=1"), ("POST", "start"), ("POST", "stop"), ("POST", "restart"),
                         ("POST", "kill"),
                         ("POST", "kill?signal=BAD"), ("POST", "update"), ("POST", "rename?name=x1"), ("POST", "pause"),
                         ("POST", "unpause"),
                         ("POST", "attach"), ("POST", "wait"), ("HEAD", "archive?path=/"), ("GET", "archive?path=/"),
                         ("GET", "attach/ws")):
        on.api(method, f"/containers/nosuch/{path}")
    on.api("PUT", "/containers/nosuch/archive?path=/", b"")
    on.api("POST", "/containers/nosuch/exec", {"Cmd": ["x1"]})
    on.api("POST", "/containers/nosuch/update", {})
    on.api("DELETE", "/containers/nosuch")
    on.api("DELETE", "/containers/nosuch?link=1")
    on.api("DELETE", "/containers/nosuch?force=1")


@case
def states_that_conflict(on):
    on.prepare("run -d --name r1 busybox sleep 60", "create --name c1 busybox")
    for path in ("start", "unpause"):
        on.api("POST", f"/containers/r1/{path}")
    on.api("DELETE", "/containers/r1")
    for path in ("stop", "kill", "pause", "unpause", "resize?h=1&w=1", "resize?h=x&w=1", "resize",
                 "wait?condition=next"):
        on.api("POST", f"/containers/c1/{path}")
    on.api("POST", "/containers/c1/exec", {"Cmd": ["true"]})
    on.api("GET", "/containers/c1/top")
    on.api("GET", "/containers/c1/changes")
    on.api("POST", "/containers/r1/pause")
    for path in ("pause", "start", "restart?t=0"):
        on.api("POST", f"/containers/r1/{path}")
    on.api("POST", "/containers/r1/pause")
    on.api("POST", "/containers/r1/exec", {"Cmd": ["true"]})
    on.api("DELETE", "/containers/r1")


@case(differs={r"/v1\.23/": "engined begins at API 1.24"})
def start_bodies(on):
    on.prepare("create --name c1 busybox sleep 60")
    on.api("POST", "/containers/c1/start", {"Binds": []})
    on.api("POST", "/containers/c1/start", b"{}", JSON)
    on.api("POST", "/v1.23/containers/c1/start", {})
    on.api("POST", "/containers/c1/start?detachKeys=bad")
    on.api("POST", "/containers/c1/start")


@case
def rename_parameters(on):
    on.prepare("create --name c1 busybox", "create --name d1 busybox")
    for name in ("", "c1", "d1", "-x", "a b".replace(" ", "%20"), "x", "/y"):
        on.api("POST", f"/containers/c1/rename?name={name}")
    on.api("POST", "/containers/c1/rename")


@case
def kill_parameters(on):
    on.prepare("run -d --name c1 busybox sleep 60")
    for signal in ("BAD", "0", "-1", "100", "x1", "sigwinch", "WINCH", "28", "SIGRTMIN+3", "KILL"):
        on.api("POST", f"/containers/c1/kill?signal={signal.replace('+', '%2B')}")


@case
def update_bodies(on):
    on.prepare("create --name c1 busybox")
    bodies(on, "POST", "/containers/c1/update", (
        {"Memory": 1}, {"Memory": "x"}, {"CpuShares": 100}, {"RestartPolicy": {"Name": "bad"}},
        {"RestartPolicy": {"Name": "always"}},
        {"Memory": 64 << 20, "MemorySwap": 32 << 20}, {"MemorySwap": 32 << 20}, {"NanoCpus": 1}, {"PidsLimit": 5},
        {"CpusetCpus": "99"},
        {"BlkioWeight": 1}, {"Nosuch": 1}))


@case
def exec_bodies(on):
    on.prepare("run -d --name c1 busybox sleep 60")
    bodies(on, "POST", "/containers/c1/exec", ({"Cmd": []}, {"Cmd": "true"}, {"Cmd": ["true"], "Env": "x"},
                                               {"Cmd": ["true"], "User": 5},
                                              {"Cmd": ["true"], "DetachKeys": "bad"},
                                              {"Cmd": ["true"], "Env": ["A=1"], "Tty": True}))
    made = on.post("/containers/c1/exec", {"Cmd": ["true"]})
    bodies(on, "POST", f"/exec/{made['Id']}/start", ({"Detach": "yes"}, {"Detach": True}))
    for method, path in (("GET", "json"), ("POST", "resize?h=1&w=1"), ("POST", "resize?h=x&w=1"), ("POST", "resize")):
        on.api(method, f"/exec/nosuch/{path}")
    on.api("POST", "/exec/nosuch/start", {})
    on.api("POST", "/exec/nosuch/start", {"Detach": True})


@case(differs={r"lstat <data>":
               "dockerd shows where its own folders lie", r"Error processing tar file":
               "the words are those of another library", r"/copy":
               "not in the API since 1.24"})
def archive_parameters(on):
    on.prepare("create --name c1 busybox")
    for method in ("GET", "HEAD"):
        for query in ("", "?path=", "?path=/nosuch", "?path=relative", "?path=/etc/passwd/", "?path=/etc/passwd/x"):
            on.api(method, f"/containers/c1/archive{query}")
    for query in ("", "?path=", "?path=/nosuch", "?path=/etc/passwd", "?path=/&noOverwriteDirNonDir=x"):
        on.api("PUT", f"/containers/c1/archive{query}", b"")
    on.api("PUT", "/containers/c1/archive?path=/tmp", b"junk")
    on.api("POST", "/containers/c1/archive?path=/")
    on.api("POST", "/containers/c1/copy", {"Resource": "/etc/passwd"})


@case
def archive_stat(on):
    on.prepare("create --name c1 web")
    for path in ("/etc/passwd", "/bin/sh", "/bin", "/tmp", "/data/from-image", "/"):
        status, headers, _ = on.request("HEAD", f"/containers/c1/archive?path={path}")
        stat = json.loads(base64.b64decode(headers["X-Docker-Container-Path-Stat"]))
        stat.pop("mtime")
        on.record(f"stat {path}", [status, stat, headers.get("Content-Type")])


@case
def image_parameters(on):
    for path in ("nosuch/json", "nosuch/history", "Bad/json", "nosuch/get", "get?names=nosuch", "json?filters=x",
                 "busybox"):
        on.api("GET", f"/images/{path}")
    for path in ("create?fromImage=Bad", "create?fromImage=busybox:bad:x", "nosuch/tag?repo=x", "busybox/tag",
                 "busybox/tag?repo=BAD", "nosuch/push", "busybox/push", "prune?filters=x"):
        on.api("POST", f"/images/{path}")
    on.api("POST", "/images/nosuch/push", b"", {"X-Registry-Auth": "bad"})
    on.api("POST", "/images/create?fromImage=nosuch&tag=x", b"", {"X-Registry-Auth": "bad"})
    on.api("DELETE", "/images/nosuch")
    on.api("DELETE", "/images/BAD")
    on.api("GET", "/distribution/BAD/json")


@case
def network_create_bodies(on):
    bodies(on, "POST", "/networks/create", (
        {"Name": ""}, {"Name": 5}, {"Name": "n", "Driver": "nosuch"},
        {"Name": "n", "IPAM": {"Config": [{"Subnet": "bad"}]}},
        {"Name": "n", "IPAM": {"Config": "x"}}, {"Name": "n", "Options": {"com.docker.network.driver.mtu": "bad"}},
        {"Name": "n", "Labels": []},
        {"Name": "bridge"}, {"Name": "n", "Driver": "overlay"},
        {"Name": "n", "Scope": "bad"}, {"Name": "n", "Ingress": True}, {"Name": "n", "ConfigOnly": True},
        {"Name": "n", "ConfigFrom": {"Network": "x"}},
        {"Name": "m", "IPAM": {"Config": [{"Subnet": "10.99.0.0/24", "Gateway": "bad"}]}},
        {"Name": "m", "IPAM": {"Config": [{"Subnet": "10.99.0.0/24", "AuxiliaryAddresses": {"a": "10.1.1.1"}}]}},
        {"Name": "m", "Options": {"com.docker.network.bridge.name": "toolongnameforalink"}}))


@case
def network_parameters(on):
    on.prepare("network create n", "run -d --name c1 busybox sleep 60")
    on.api("GET", "/networks/nosuch")
    on.api("GET", "/networks/n?verbose=1")
    on.api("GET", "/networks/n?scope=swarm")
    on.api("GET", "/networks?filters=x")
    on.api("GET", '/networks?filters={"nosuch":["x"]}')
    on.api("DELETE", "/networks/nosuch")
    on.api("DELETE", "/networks/bridge")
    for action in ("connect", "disconnect"):
        bodies(on, "POST", f"/networks/n/{action}", ({"Container": "nosuch"}, {"Container": ""}, {"Container": 5}))
        on.api("POST", f"/networks/nosuch/{action}", {"Container": "c1"})
    on.api("POST", "/networks/n/connect", {"Container": "c1", "EndpointConfig": 5})
    on.api("POST", "/networks/n/connect", {"Container": "c1", "EndpointConfig": {"Aliases": ["a"]}})
    on.api("POST", "/networks/n/disconnect", {"Container": "c1", "Force": "x"})
    on.api("POST", "/networks/prune?filters=x")
    on.api("POST", '/networks/prune?filters={"nosuch":["x"]}')


@case(differs={r"/containers//json|/containers/json/":
               "engined does not mind additional slashes", r"/session|/grpc":
               "of BuildKit, which engined does not have"})
def paths_and_methods(on):
    for method, path in (("GET", "/nosuch"), ("POST", "/containers/json"), ("GET", "/containers/create"),
                         ("DELETE", "/containers"),
                         ("PUT", "/images/json"), ("GET", "/containers/"), ("GET", "/v1.41"), ("GET", "/v1.99/info"),
                         ("GET", "/v1.x/info"), ("GET", "/v1.24/_ping"), ("HEAD", "/_ping"), ("GET", "/_ping"),
                         ("GET", "/exec/x"),
                         ("PATCH", "/volumes"), ("OPTIONS", "/containers/json"), ("GET", "/containers//json"),
                         ("GET", "/plugins"),
                         ("POST", "/session"), ("POST", "/grpc"), ("GET", "/containers/json/"), ("GET", "/debug/vars")):
        on.api(method, path, keep=lambda body: body if path != "/plugins" else None)


@case(differs={r"builder-version":
               "engined names the classic builder, which is the one it has", r"GET /nosuch":
               "engined puts its headers on every answer"})
def headers_of_answers(on):
    for method, path in (("GET", "/_ping"), ("HEAD", "/_ping"), ("GET", "/version"), ("GET", "/containers/nosuch/json"),
                         ("GET", "/nosuch"),
                         ("GET", "/containers/json"), ("POST", "/containers/nosuch/start"),
                         ("DELETE", "/volumes/nosuch?force=1")):
        status, headers, _ = on.request(method, path)
        on.record(f"{method} {path}", [status, {name.lower(): value for name, value in headers.items()
                                                if name.lower() not in ("date", "server", "content-length")}])


@case
def logs_and_stats_parameters(on):
    on.prepare("run --name c1 busybox echo hello")
    for query in ("stdout=1&tail=x", "stdout=1&since=x", "stdout=1&until=x", "stdout=1&since=1.5", "stdout=1&follow=1",
                  "stdout=true", "stdout=yes"):
        on.api("GET", f"/containers/c1/logs?{query}")
    on.api("GET", "/containers/c1/stats?stream=0", keep=lambda body: sorted(body))
    on.api("GET", "/containers/c1/stats?stream=0&one-shot=1", keep=lambda body: sorted(body))


@case
def attach_of_an_ended_one(on):
    on.prepare("run --name c1 busybox sh -c 'echo out; sleep 0.2; echo err >&2'")
    for query in ("logs=1&stdout=1", "logs=1&stderr=1&stdout=1", "", "stream=1&detachKeys=bad"):
        on.api("POST", f"/containers/c1/attach?{query}")


@case
def system_requests(on):
    on.api("GET", "/events?since=1&until=2&filters=x")
    on.api("GET", "/events?since=x")
    on.api("GET", "/events?until=x")
    on.api("POST", "/auth", {"username": "u", "password": "p", "serveraddress": "127.0.0.1:1"})
    on.api("POST", "/auth", {"username": "", "password": "", "serveraddress": "127.0.0.1:5555"})
    on.api("GET", "/system/df", keep=lambda body: sorted(body))
    on.api("GET", "/system/df?type=container", keep=lambda body: sorted(body))
    on.api("POST", '/containers/prune?filters={"nosuch":["x"]}')
    on.api("POST", '/volumes/prune?filters={"nosuch":["x"]}')
    on.api("POST", '/images/prune?filters={"dangling":["x"]}')


@case
def older_versions(on):
    on.prepare("run -d --name c1 -p 8097:80 -v v1:/v1 web")
    for version in ("1.24", "1.25", "1.30", "1.35", "1.40"):
        on.api("GET", f"/v{version}/containers/c1/json")
        on.api("GET", f"/v{version}/containers/json")
        on.api("GET", f"/v{version}/images/json")
        on.api("GET", f"/v{version}/networks/bridge")
        on.api("GET", f"/v{version}/volumes")
    on.api("POST", "/v1.24/containers/create?name=old", {"Image": "busybox", "Cmd": ["sleep", "60"]})
    on.api("POST", "/v1.24/containers/old/start")
    on.api("POST", "/v1.24/containers/old/kill")
    on.api("POST", "/v1.24/containers/old/wait")


@case
def swarm_is_not_active(on):
    for method, path in (("GET", "/swarm"), ("GET", "/nodes"), ("GET", "/services"), ("GET", "/tasks"),
                         ("GET", "/secrets"), ("GET", "/configs")):
        on.api(method, path)
