"""Clients of older API versions: dockerd answers them as it did then."""
from case import case


@case
def creations(on):
    host_config = {"AutoRemove": True, "Mounts": [
        {"Type": "bind", "Source": "/tmp", "Target": "/mnt", "BindOptions": {"NonRecursive": True}}]}
    for version in ("1.24", "1.25", "1.38", "1.39", "1.40", "1.41"):
        on.api("POST", f"/v{version}/containers/create?name=c{version}&platform=linux/arm64",
               {"Image": "busybox", "HostConfig": host_config})
        on.api("GET", f"/containers/c{version}/json", keep=lambda body: body.get("HostConfig"))
    on.api("POST", "/v1.38/containers/create?name=plain", {"Image": "busybox"})
    on.api("GET", "/containers/plain/json", keep=lambda body: body["HostConfig"]["IpcMode"])


@case
def shared_memory_of_another(on):
    on.api("POST", "/v1.38/containers/create?name=c1", {"Image": "busybox", "Cmd": ["sleep", "60"], "HostConfig": {}})
    on.api("POST", "/containers/c1/start")
    on.docker("run --rm --ipc container:c1 busybox echo shared")


@case
def waits(on):
    on.prepare("run -d --name c1 busybox sh -c 'sleep 0.3; exit 4'")
    on.api("POST", "/v1.29/containers/c1/wait?condition=removed")
    on.api("POST", "/v1.24/containers/nosuch/wait")


@case
def lists_and_updates(on):
    on.prepare("network create mine", "run -d --name c1 --network mine busybox sleep 60")
    for version in ("1.27", "1.28"):
        on.api("GET", f"/v{version}/networks?filters={{\"name\":[\"mine\"]}}")
    for version in ("1.40", "1.41"):
        on.api("GET", f"/v{version}/images/json?filter=busybox", keep=lambda body: [one["RepoTags"] for one in body])
    for version in ("1.39", "1.40"):
        on.api("POST", f"/v{version}/containers/c1/update", {"PidsLimit": 55})
        on.api("GET", "/containers/c1/json", keep=lambda body: body["HostConfig"]["PidsLimit"])


@case
def info(on):
    for version in ("1.24", "1.25"):
        on.api("GET", f"/v{version}/info", keep=lambda body: [body.get("ExecutionDriver"), body["SecurityOptions"]])
