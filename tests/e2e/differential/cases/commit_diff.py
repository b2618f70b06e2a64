"""Point 3: commit, diff, history, inspect of images, save and load, import and export, usage, prune."""
from case import case


@case(differs={r"docker diff": "in a folder engined lists by name"})
def diff(on):
    on.prepare("run --name c1 busybox sh -c 'echo x >/new; rm /etc/group; echo y >>/etc/passwd; mkdir /d; touch "
               "/d/f; rm -r /data; "
               "mkdir /data; touch /data/n; chmod 700 /root; ln -s x /l'")
    on.docker("diff c1")


@case
def diff_of_nothing(on):
    on.prepare("create --name c1 busybox")
    on.docker("diff c1")
    on.prepare("run --name d1 busybox true")
    on.docker("diff d1")


@case
def commit(on):
    on.prepare("run --name c1 -e A=1 --label l=1 web sh -c 'echo x >/new'")
    on.docker("commit -a 'An Author <a@example.test>' -m 'A message' c1 made:1")
    on.docker("inspect made:1")
    on.docker("history --no-trunc made:1")
    on.docker("run --rm made:1 cat /new")


@case
def commit_changes(on):
    on.prepare("create --name c1 web true")
    on.docker(["commit", "-c", "CMD [\"echo\", \"hi\"]", "-c", "ENV B=2 C=3", "-c", "EXPOSE 99/udp", "-c", "LABEL x=y",
               "-c", "USER web", "-c", "VOLUME /vol", "-c", "WORKDIR /w", "-c", "ENTRYPOINT echo", "-c",
               "ONBUILD RUN x",
               "-c", "STOPSIGNAL 9", "-c", "HEALTHCHECK CMD true", "c1", "made"])
    on.docker("inspect -f '{{json .Config}}' made")
    on.docker("commit -c 'RUN x' c1 made")
    on.docker("commit -c 'NOSUCH x' c1 made")
    on.docker("commit -c 'CMD' c1 made")


@case
def commit_without_a_name(on):
    on.prepare("create --name c1 busybox")
    on.docker("commit c1")
    on.docker("images -a --format '{{.Repository}}:{{.Tag}}'")
    on.docker("commit c1 BAD")
    on.docker("commit c1 made:bad:tag")
    on.docker("commit -p=false c1 made")


@case
def commit_of_a_running_one(on):
    on.prepare("run -d --name c1 busybox sleep 60")
    on.docker("commit c1 made")
    on.docker("inspect -f '{{.State.Status}}' c1")
    on.docker("inspect -f '{{json .Config.Cmd}} {{json .ContainerConfig.Cmd}} {{.Comment}} {{.Parent}}' made")


@case
def commit_raw(on):
    on.prepare("create --name c1 busybox")
    on.api("POST", "/commit?container=c1&repo=made&tag=t&comment=hello&author=me", {"Cmd": ["x"], "Labels": {"a": "b"}})
    on.docker("inspect -f '{{json .Config}} {{.Author}} {{.Comment}}' made:t")
    on.api("POST", "/commit?container=nosuch")
    on.api("POST", "/commit")
    on.api("POST", "/commit?container=c1", b"{", {"Content-Type": "application/json"})


@case
def history(on):
    on.docker("history --no-trunc web")
    on.docker("history -q web")
    on.docker("history --format '{{.CreatedBy}} {{.Size}} {{.Comment}}' busybox")
    on.docker("history nosuch")


@case
def image_document(on):
    on.docker("inspect web")
    on.docker("image inspect busybox nosuch")
    on.docker("inspect --type image web nosuch")
    on.docker("inspect --type container web")


@case
def save_and_load(on):
    on.prepare("create --name c1 busybox", "commit c1 made:1", "tag made:1 made:2")
    on.docker("save -o saved.tar made:1 made:2")
    on.prepare("rmi made:1 made:2")
    on.docker("load -i saved.tar")
    on.docker("images --format '{{.Repository}}:{{.Tag}} {{.ID}}' made")
    on.docker("load -q -i saved.tar")


@case
def save_of_an_identity(on):
    on.prepare("create --name c1 busybox", "commit c1 made")
    identity = on.ask("inspect -f '{{.Id}}' made")
    on.docker(["save", "-o", "saved.tar", identity])
    on.prepare("rmi made")
    on.docker("load -i saved.tar")


@case(differs={r"kinds":
               "engined writes no documents of image format 1 beside the layers", r"manifest":
               "the ids of image format 1 are each engine's own"})
def saved_files(on):
    on.docker("save -o saved.tar web")
    names = on.host.run("tar", "-tf", on.folder / "saved.tar").stdout.split()
    on.record("kinds", sorted({name.rsplit("/", 1)[-1] for name in names if not name.endswith((".json",
        "/")) or "/" in name}))
    on.record("manifest", on.host.run("tar", "-xOf", on.folder / "saved.tar", "repositories").stdout.replace("\n",
        "")[:20])


@case
def save_errors(on):
    on.docker("save -o saved.tar nosuch")
    on.docker("save -o nosuch/saved.tar busybox")
    on.api("GET", "/images/nosuch/get")
    on.api("GET", "/images/get?names=nosuch")


@case(differs={r"unexpected EOF":
               "the words are those of another library", r"repositories":
               "engined names the file that the archive lacks"})
def load_errors(on):
    on.files({"bad.tar": "this is not a tar archive", "empty.tar": ""})
    on.docker("load -i bad.tar")
    on.docker("load -i empty.tar")
    on.docker("load -i missing.tar")
    on.api("POST", "/images/load", b"junk", {"Content-Type": "application/x-tar"})


@case
def import_of_an_export(on):
    on.prepare("run --name c1 -e A=1 busybox sh -c 'echo x >/new'", "export -o out.tar c1")
    on.docker("import -m 'A message' -c 'CMD [\"cat\", \"/new\"]' -c 'ENV PATH=/bin' out.tar made:1")
    on.docker("run --rm made:1")
    on.docker("inspect made:1")
    on.docker("history --no-trunc made:1")


@case(differs={r"unexpected EOF": "the words are those of another library"})
def import_errors(on):
    on.files({"bad.tar": "junk", "good": ""})
    on.docker("import bad.tar made")
    on.docker("import missing.tar made")
    on.docker("import bad.tar BAD")
    on.docker("import http://127.0.0.1:1/x.tar made")
    on.docker("import -c 'RUN x' good made")


@case
def tags(on):
    on.docker("tag busybox mine")
    on.docker("tag busybox example.test:5000/a/b:c")
    on.docker("tag nosuch mine")
    on.docker("tag busybox Mine")
    on.docker("tag busybox mine:bad:tag")
    on.docker("tag busybox mine@sha256:" + 64 * "0")
    on.docker("images --format '{{.Repository}}:{{.Tag}}' mine")
    on.api("POST", "/images/busybox/tag?repo=mine&tag=two")
    on.api("POST", "/images/busybox/tag")
    on.api("POST", "/images/busybox/tag?repo=Mine&tag=x")


@case
def disk_usage(on):
    on.prepare("run --name c1 -v v1:/v1 busybox sh -c 'echo 12345 >/new; echo 12 >/v1/x'", "create --name w1 web",
               "commit c1 made")
    on.docker("system df")
    on.docker("system df --format '{{.Type}} {{.TotalCount}} {{.Active}}'")


@case
def disk_usage_documents(on):
    on.prepare("run --name c1 -v v1:/v1 busybox sh -c 'echo 12 >/v1/x'")
    usage = on.get("/system/df")
    on.record("volumes", usage["Volumes"])
    on.record("containers", usage["Containers"])
    on.record("images", sorted([image["RepoTags"], image["Containers"], image["Size"],
                                image["SharedSize"]] for image in usage["Images"]))
    on.record("builder", usage.get("BuilderSize"))
    on.record("keys", sorted(usage))


@case
def prune_everything(on):
    on.prepare("create --name a1 busybox", "commit a1 made", "commit a1 made", "volume create v1", "network create n")
    on.docker("system prune -f --volumes --filter label=nosuch")
    on.docker("system prune -f --volumes")
    on.docker("volume ls -q")
    on.docker("network ls --format '{{.Name}}'")
