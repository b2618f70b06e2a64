"""Point 6: networks, addresses, names, published ports."""
from case import case


@case
def listed(on):
    on.prepare("network create --label a=1 one", "network create --internal two")
    on.docker("network ls --format '{{.Name}} {{.Driver}} {{.Scope}} {{.Internal}} {{.Labels}}'")
    on.docker("network ls")
    for chosen in ("driver=bridge", "name=on", "type=custom", "type=builtin", "label=a", "label=a=2", "scope=local",
                   "scope=swarm",
                   "dangling=true", "dangling=false", "id=zzz", "type=nosuch", "nosuch=1", "driver=nosuch"):
        on.docker(f"network ls --format '{{{{.Name}}}}' --filter {chosen}")


@case
def documents_of_the_predefined(on):
    on.docker("network inspect bridge host none")


@case
def document_of_a_new_one(on):
    on.docker("network create --label a=1 -o com.docker.network.bridge.name=mine --attachable n")
    on.docker("network inspect n")
    on.docker("network create n")
    on.docker("network inspect nosuch n")
    on.inside("ip -o -4 addr show dev mine")


@case
def addresses_of_ones_own(on):
    on.docker("network create --subnet 172.28.0.0/16 --ip-range 172.28.5.0/24 --gateway 172.28.5.254 "
              "--aux-address a=172.28.1.5 n")
    on.docker("network inspect n")
    on.docker("run --rm --network n busybox ip -o -4 addr show eth0")
    on.docker("run --rm --network n --ip 172.28.9.9 busybox sh -c 'ip -o -4 addr show eth0; ip route'")
    on.docker("run --rm --network n --ip 10.1.1.1 busybox true")
    on.docker("run --rm --network n --ip 172.28.1.5 busybox true")
    on.docker("run --rm --network bridge --ip 172.17.0.99 busybox true")
    on.docker("create --network n --ip bad busybox")


@case
def subnets_that_do_not_fit(on):
    on.prepare("network create --subnet 10.77.0.0/24 n")
    on.docker("network create --subnet 10.77.0.0/25 other")
    on.docker("network create --subnet 10.78.0.0/24 --gateway 10.79.0.1 other")
    on.docker("network create --subnet 10.78.0.0/24 --ip-range 10.79.0.0/25 other")
    on.docker("network create --subnet bad other")
    on.docker("network create --gateway 10.78.0.1 other")
    on.docker("network create --subnet 10.78.0.0/24 --subnet 10.79.0.0/24 other")


@case
def invalid_networks(on):
    for name in ("bridge", "host", "none", "default", "-x", "a b", "a/b", ""):
        on.docker(["network", "create", name])
    on.docker("network create -d nosuch n")
    on.docker("network create -d host n")
    on.docker("network create -d null n")
    on.docker("network create --scope swarm n")
    on.docker("network create -d overlay n")
    on.docker("network create --ipv6 n")
    on.docker("network create --ingress n")


@case
def remove(on):
    on.prepare("network create n", "network create used", "run -d --name c1 --network used busybox sleep 60",
               "create --name s1 --network n "
               "busybox")
    on.docker("network rm bridge")
    on.docker("network rm nosuch")
    on.docker("network rm used")
    on.docker("network rm n")
    on.docker("start s1")
    on.docker("network prune -f")


@case
def connect_and_disconnect(on):
    on.prepare("network create n", "run -d --name c1 busybox sleep 60")
    on.docker("network connect --alias other --ip6 '' n c1")
    on.docker("inspect -f '{{json .NetworkSettings}}' c1")
    on.docker("network inspect n")
    on.docker("network connect n c1")
    on.docker("exec c1 ip -o -4 addr")
    on.docker("network disconnect n c1")
    on.docker("network disconnect n c1")
    on.docker("network disconnect bridge c1")
    on.docker("inspect -f '{{json .NetworkSettings}}' c1")
    on.docker("network connect nosuch c1")
    on.docker("network connect n nosuch")
    on.docker("network disconnect nosuch c1")
    on.docker("network disconnect n nosuch")


@case
def connect_a_stopped_one(on):
    on.prepare("network create n", "create --name c1 busybox sleep 60")
    on.docker("network connect --alias x n c1")
    on.docker("inspect -f '{{json .NetworkSettings.Networks}}' c1")
    on.docker("network inspect -f '{{json .Containers}}' n")
    on.docker("start c1")
    on.docker("inspect -f '{{json .NetworkSettings.Networks}}' c1")
    on.docker("stop -t 0 c1")
    on.docker("inspect -f '{{json .NetworkSettings}}' c1")
    on.docker("network disconnect n c1")


@case
def connect_with_an_address(on):
    on.prepare("network create --subnet 10.77.0.0/24 n", "network create free", "run -d --name c1 busybox sleep 60")
    on.docker("network connect --ip 10.77.0.50 n c1")
    on.docker("inspect -f '{{json .NetworkSettings.Networks.n}}' c1")
    on.docker("network connect --ip 10.1.1.1 free c1")
    on.prepare("run -d --name d1 --network none busybox sleep 60", "run -d --name h1 --network host busybox sleep 60")
    on.docker("network connect n d1")
    on.docker("network connect n h1")
    on.docker("network connect host c1")
    on.docker("network connect none c1")
    on.docker("network disconnect host h1")
    on.prepare("run -d --name e1 --network container:c1 busybox sleep 60")
    on.docker("network connect free e1")


@case
def names(on):
    on.prepare("network create n", "run -d --name server --network n --network-alias alias -h box web")
    on.docker("run --rm --network n busybox sh -c 'cat /etc/resolv.conf | grep -v search; wget -qO- http://server/; "
              "wget -qO- "
              "http://alias/'")
    identity = on.ask("inspect -f '{{.Id}}' server")[:12]
    on.docker(f"run --rm --network n busybox wget -qO- http://{identity}/", label="run by the short id")
    on.docker("run --rm busybox wget -qO- -T 2 http://server/")


@case
def aliases_need_a_network(on):
    on.docker("run --rm --network-alias x busybox true")
    on.docker("run --rm --network host --network-alias x busybox true")


@case
def links(on):
    on.prepare("run -d --name server -e GREETING=hi web")
    on.docker("run --rm --link server:s -h box busybox sh -c 'env | sort | grep -v NAME; cat /etc/hosts; wget -qO- "
              "http://s/'")
    on.docker("run --rm --link nosuch busybox true")
    on.docker("create --name c1 --link server:s busybox")
    on.docker("inspect -f '{{json .HostConfig.Links}}' c1")
    on.docker("create --link a:b:c busybox")
    on.docker("rm --link c1/s")
    on.docker("create --network host --link server busybox")


@case
def links_on_ones_own_network(on):
    on.prepare("network create n", "run -d --name server --network n web")
    on.docker("run --rm --network n --link server:s busybox wget -qO- http://s/")
    on.prepare("create --name c1 --network n --link server:s busybox")
    on.docker("inspect -f '{{json .HostConfig.Links}} {{json .NetworkSettings.Networks.n.Links}}' c1")


@case
def published(on):
    on.prepare("run -d --name c1 -p 127.0.0.1:8080:80 -p 8082-8083:82-83 web")
    on.until("answer", lambda: on.host.run("curl", "-s", "http://127.0.0.1:8080/", check=False).returncode == 0)
    on.inside("curl -s http://127.0.0.1:8080/")
    on.docker("ps --format '{{.Ports}}'")
    on.docker("inspect -f '{{json .NetworkSettings.Ports}}' c1")
    on.docker("run --name again -p 127.0.0.1:8080:80 busybox true")
    on.docker("inspect -f '{{json .State}}' again")


@case
def published_at_random(on):
    on.prepare("run -d --name c1 -P web", "run -d --name d1 -p 80 web")
    on.docker("port c1")
    on.docker("inspect -f '{{json .NetworkSettings.Ports}} {{json .HostConfig.PortBindings}}' c1 d1")
    on.docker("ps --format '{{.Ports}}'")


@case
def published_port_taken_by_another_program(on):
    on.program("/usr/bin/python3", "-c", "import socket,time;s=socket.socket();s.bind(('127.0.0.1',8085));s.listen();"
                                     "time.sleep(30)")
    on.until("listener", lambda: "8085" in on.host.run("ss", "-Htln").stdout)
    on.docker("run --rm --name c1 -p 127.0.0.1:8085:80 busybox true")


@case
def published_on_host_network(on):
    on.docker("create --network host -p 80:80 --name c1 busybox")
    on.docker("inspect -f '{{json .HostConfig.PortBindings}} {{json .NetworkSettings}}' c1")


@case
def hairpin(on):
    on.prepare("network create n", "run -d --name c1 --network n -p 8086:80 web")
    gateway = on.ask("network inspect -f '{{(index .IPAM.Config 0).Gateway}}' n")
    on.until("answer", lambda: on.host.run("curl", "-s", "http://127.0.0.1:8086/", check=False).returncode == 0)
    on.docker(f"exec c1 wget -qO- http://{gateway}:8086/")


@case
def isolated_networks(on):
    on.prepare("network create a", "network create b",
               "run -d --name server --network a web")
    address = on.ask("inspect -f '{{.NetworkSettings.Networks.a.IPAddress}}' server")
    on.docker(f"run --rm --network b busybox wget -qO- -T 1 http://{address}/", label="wget from b")
    on.docker(f"run --rm --network a busybox wget -qO- -T 1 http://{address}/", label="wget from a")


@case
def internet_protocol_6(on):
    on.docker("network create --ipv6 --subnet 2001:db8:1::/64 n")
    on.docker("network inspect n")
    on.docker("run --rm --network n -h box busybox sh -c 'ip -o -6 addr show dev eth0 scope global; cat /etc/hosts'")
    on.docker("run --rm --network n --ip6 2001:db8:1::99 busybox ip -o -6 addr show dev eth0 scope global")


@case
def network_of_a_container(on):
    on.prepare("run -d --name c1 -h box web")
    on.docker("run --rm --network container:c1 busybox sh -c 'hostname; wget -qO- http://127.0.0.1/'")
    on.prepare("create --name d1 --network container:c1 busybox")
    on.docker("inspect -f '{{.HostConfig.NetworkMode}} {{json .NetworkSettings.Networks}}' d1")


@case
def unknown_network(on):
    on.docker("create --name c1 --network nosuch busybox")
    on.docker("start c1")
    on.docker("inspect -f '{{json .State}}' c1")
    on.docker("run --name d1 --network nosuch busybox true")


@case
def prune(on):
    on.prepare("network create a", "network create --label keep b", "network create used",
               "run -d --network used busybox sleep 60")
    on.docker("network prune -f --filter label!=keep")
    on.docker("network prune -f --filter until=1h")
    on.docker("network prune -f")
    on.docker("network prune -f --filter nosuch=1")


@case
def two_of_the_same_name(on):
    on.api("POST", "/networks/create", {"Name": "n"})
    on.api("POST", "/networks/create", {"Name": "n", "CheckDuplicate": True})
    on.api("POST", "/networks/create", {"Name": "n"})
    on.api("DELETE", "/networks/n")
    for one in on.get("/networks"):
        if one["Name"] == "n":
            on.record("removed", on.request("DELETE", f"/networks/{one['Id']}")[0])


@case
def endpoints_in_create(on):
    on.prepare("network create --subnet 10.77.0.0/24 n", "network create m")
    create = {"Image": "busybox", "Cmd": ["sleep", "60"], "HostConfig": {"NetworkMode": "n"}}
    on.api("POST", "/containers/create?name=c1", dict(create, NetworkingConfig={"EndpointsConfig": {"n": {
        "Aliases": ["one", "two"], "IPAMConfig": {"IPv4Address": "10.77.0.20", "LinkLocalIPs": ["169.254.8.8"]},
        "Links": ["x:y"]}}}))
    on.api("GET", "/containers/c1/json", keep=lambda body: body["NetworkSettings"]["Networks"])
    on.api("POST", "/containers/create?name=bad", dict(create, NetworkingConfig={"EndpointsConfig": {"n": {
        "IPAMConfig": {"IPv4Address": "bad"}}}}))
    on.api("POST", "/containers/create?name=other", dict(create, NetworkingConfig={"EndpointsConfig": {"m": {}}}))
    on.api("GET", "/containers/other/json", keep=lambda body: body["NetworkSettings"]["Networks"])
    on.api("POST", "/containers/other/start")
    on.api("GET", "/containers/other/json", keep=lambda body: body["NetworkSettings"]["Networks"])


@case
def link_local_addresses(on):
    on.prepare("network create n")
    for name, network, address in (("c1", "bridge", "169.254.8.8"), ("c2", "n", "169.254.9.9"), ("c3", "n", "bad")):
        settings = {network: {"IPAMConfig": {"LinkLocalIPs": [address]}}}
        on.api("POST", f"/containers/create?name={name}", {
            "Image": "busybox", "Cmd": ["sleep", "60"], "HostConfig": {"NetworkMode": network},
            "NetworkingConfig": {"EndpointsConfig": settings}})
        on.api("POST", f"/containers/{name}/start")
        on.api("GET", f"/containers/{name}/json", keep=lambda body: body["NetworkSettings"]["Networks"])
        on.docker(f"exec {name} ip -o -4 addr show dev eth0")
