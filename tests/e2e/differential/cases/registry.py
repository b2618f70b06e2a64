"""Point 10: pulls, pushes, logins against registries on the engine's own loopback."""
import crypt

from case import case


def registry(on, port=5000, htpasswd=None):
    """Debian's docker-registry in the engine's namespaces, on 127.0.0.1:PORT; ends with the host."""
    auth = f"auth:\n  htpasswd:\n    realm: test\n    path: {on.folder}/htpasswd\n" if htpasswd else ""
    on.files({"registry.yml": f"version: 0.1\nlog: {{level: warn}}\nstorage: {{filesystem: "
                              f"{{rootdirectory: {on.folder}/registry}}}}\n"
                              f"http: {{addr: 127.0.0.1:{port}}}\n{auth}",
                              **({"htpasswd": htpasswd} if htpasswd else {})})
    on.program("docker-registry", "serve", on.folder / "registry.yml")
    on.until("registry", lambda: on.host.run("curl", "-s", f"http://127.0.0.1:{port}/v2/", check=False).returncode == 0)


@case
def pull_from_the_mirror(on):
    on.docker("pull hello-world")
    on.docker("pull hello-world")
    on.docker("pull -q hello-world")
    on.docker("run --rm hello-world")
    on.docker("inspect hello-world")


@case
def pull_by_digest(on):
    on.docker("pull busybox@sha256:" + 64 * "0")
    on.docker("pull busybox@bad")


@case
def run_pulls(on):
    on.docker("run --rm hello-world")
    on.docker("run --rm --pull always hello-world")
    on.docker("create --pull bad hello-world")


@case(differs={r"RepoDigests": "a manifest that was pulled is pushed as it was"})
def push_and_pull(on):
    registry(on)
    on.docker("tag web 127.0.0.1:5000/team/web:1")
    on.docker("push -q 127.0.0.1:5000/team/web:1")
    on.docker("inspect -f '{{json .RepoTags}} {{json .RepoDigests}}' web")
    on.docker("rmi 127.0.0.1:5000/team/web:1")
    on.docker("pull 127.0.0.1:5000/team/web:1")
    on.docker("pull 127.0.0.1:5000/team/web")
    on.docker("pull 127.0.0.1:5000/nosuch")
    on.docker("pull -a 127.0.0.1:5000/team/web")


@case
def push_several(on):
    registry(on)
    on.prepare("tag busybox 127.0.0.1:5000/b:1", "tag busybox 127.0.0.1:5000/b:2")
    on.docker("push -a 127.0.0.1:5000/b")
    on.docker("push 127.0.0.1:5000/b")
    on.docker("push 127.0.0.1:5000/nosuch")
    on.prepare("tag busybox 127.0.0.1:5000/other:1")
    on.docker("push 127.0.0.1:5000/other:1")


@case
def push_to_nowhere(on):
    on.prepare("tag busybox 127.0.0.1:1/b")
    on.docker("push 127.0.0.1:1/b")
    on.docker("pull 127.0.0.1:1/b")
    on.docker("login -u x -p y 127.0.0.1:1")


@case
def login(on):
    secret = crypt.crypt("secret", crypt.mksalt(crypt.METHOD_BLOWFISH, rounds=16))
    registry(on, 5001, f"ann:{secret}\n")
    on.prepare("tag busybox 127.0.0.1:5001/b")
    on.docker("push 127.0.0.1:5001/b")
    on.docker("login -u ann -p wrong 127.0.0.1:5001")
    on.docker("login -u ann --password-stdin 127.0.0.1:5001", stdin="secret")
    on.docker("push 127.0.0.1:5001/b")
    on.docker("pull 127.0.0.1:5001/b")
    on.docker("logout 127.0.0.1:5001")


@case(differs={r"Descriptor\.size": "engined writes manifests without blanks"})
def distribution(on):
    registry(on)
    on.prepare("tag web 127.0.0.1:5000/web", "push 127.0.0.1:5000/web")
    on.api("GET", "/distribution/127.0.0.1:5000/web/json")
    on.api("GET", "/distribution/127.0.0.1:5000/nosuch/json")
    on.api("GET", "/distribution/127.0.0.1:5000/web:nosuch/json")


@case
def pull_raw(on):
    on.api("POST", "/images/create?fromImage=hello-world&tag=latest")
    on.api("POST", "/images/create?fromImage=hello-world&tag=nosuch")
    on.api("POST", "/images/create?fromImage=127.0.0.1:1/x&tag=y")
