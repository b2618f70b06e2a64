"""Points 1 and 3: images: listing, names, removal."""
from case import case


@case
def listed(on):
    on.docker("images")
    on.docker("images --no-trunc --digests")
    on.docker("images -q --no-trunc busybox")
    on.docker("images nosuch")
    on.docker("images busybox:nosuch")


@case
def list_documents(on):
    on.prepare("create --name c1 busybox", "commit c1 made:1", "tag busybox other:1")
    on.api("GET", "/images/json")
    on.api("GET", "/images/json?all=1&digests=1", keep=lambda body: sorted(str(sorted(image)) for image in body))
    on.api("GET", "/images/json?filters=bad")
    on.api("GET", '/images/json?filters={"nosuch":["1"]}')
    on.api("GET", '/images/json?filter=busybox', keep=len)


@case
def names_of_an_image(on):
    full = on.ask("inspect -f '{{.Id}}' busybox")
    for name in ("busybox", "busybox:latest", "docker.io/library/busybox", "docker.io/busybox", "library/busybox",
                 "index.docker.io/busybox",
                 full, full[7:], full[7:19], "sha256:" + full[7:12]):
        on.docker(["inspect", "-f", "{{.Id}}", name])
    digest = on.ask("inspect -f '{{index .RepoDigests 0}}' busybox")
    on.docker(["inspect", "-f", "{{.RepoTags}}", digest])


@case
def invalid_names(on):
    for name in ("Busybox", "busybox:", "busybox:b@d", "-x", "a//b", "sha256:0000", "0" * 64, "a:" + "b" * 129,
                 "busybox@sha256:0"):
        on.docker(["image", "inspect", name])
        on.docker(["rmi", name])


@case
def remove(on):
    on.prepare("tag busybox one", "tag busybox two")
    on.docker("rmi one")
    on.docker("rmi two nosuch")
    on.docker("images --format '{{.Repository}}'")


@case
def remove_one_in_use(on):
    on.prepare("create --name c1 busybox", "commit c1 made", "create --name stopped made",
               "run -d --name running made sleep 60")
    on.docker("rmi made")
    on.docker("rmi -f made")
    on.prepare("rm -f running")
    on.docker("rmi -f made")
    on.docker("ps -a --format '{{.Names}} {{.Image}}'")


@case
def remove_by_identity(on):
    on.prepare("create --name c1 busybox", "commit c1 made:1", "tag made:1 made:2")
    identity = on.ask("inspect -f '{{.Id}}' made:1")
    on.docker(["rmi", identity])
    on.docker(["rmi", identity[7:19]])
    on.docker(["rmi", "-f", identity[7:19]])


@case
def remove_one_with_children(on):
    on.files({"Dockerfile": "FROM busybox\nENV A=1\nENV B=2\n"})
    on.prepare("build -q -t parent --target '' .")
    on.files({"Dockerfile": "FROM parent\nENV C=2\n"})
    on.prepare("build -q -t child .")
    on.docker("rmi parent")
    on.record("left", sorted(on.ask("images -a --format '{{.Repository}}:{{.Tag}}'").splitlines()))
    on.docker("rmi child")
    on.record("left", sorted(on.ask("images -a --format '{{.Repository}}:{{.Tag}}'").splitlines()))


@case
def remove_raw(on):
    on.prepare("create --name c1 busybox", "commit c1 made:1", "tag made:1 made:2", "rm c1")
    on.api("DELETE", "/images/made:1")
    on.api("DELETE", "/images/made:2")
    on.api("DELETE", "/images/made:2")
    on.api("DELETE", "/images/Bad")


@case
def prune(on):
    on.prepare("create --name c1 busybox", "commit c1 made", "commit c1 made", "rm c1")
    on.docker("image prune -f --filter until=1h")
    on.docker("image prune -f --filter label=nosuch")
    on.docker("image prune -f")
    on.docker("images -a --format '{{.Repository}}:{{.Tag}}'")
    on.docker("image prune -f --filter nosuch=1")
    on.api("POST", "/images/prune")
    on.api("POST", "/images/prune?filters=bad")


@case
def search_needs_a_term(on):
    on.api("GET", "/images/search")
    on.api("GET", "/images/search?term=x&limit=1000")
    on.api("GET", '/images/search?term=x&filters={"nosuch":["1"]}')
