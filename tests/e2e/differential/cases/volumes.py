"""Point 7: volumes and bind mounts."""
from case import case


@case
def documents(on):
    on.docker("volume create --label a=1 v1")
    on.docker("volume inspect v1")
    on.docker("volume create v1")
    on.docker("volume create --label a=2 v1")
    on.docker("volume inspect nosuch v1")
    on.docker("volume ls")
    on.docker("volume ls --format '{{.Name}} {{.Driver}} {{.Scope}} {{.Mountpoint}} {{.Labels}}'")


@case
def without_a_name(on):
    on.docker("volume create")
    on.docker("volume ls -q")


@case
def invalid(on):
    for name in ("a", "-a", "a/b", "a b", "é", "."):
        on.docker(["volume", "create", name])
    on.docker("volume create -o nosuch=1 v1")
    on.docker("volume create -o type=tmpfs v1")


@case
def options(on):
    on.docker("volume create -o type=tmpfs -o device=tmpfs -o o=size=64k,uid=33 v1")
    on.docker("volume inspect v1")
    on.docker("run --rm -v v1:/v1 busybox sh -c 'grep \" /v1 \" /proc/mounts | sed s/,inode64//; ls -lnd /v1 | cut "
              "-c1-30'")
    on.docker("volume create -o type=none -o device=/nosuch -o o=bind w1")
    on.docker("run --rm -v w1:/w1 busybox true")


@case
def remove(on):
    on.prepare("volume create v1", "volume create used", "create --name c1 -v used:/x busybox")
    on.docker("volume rm v1 nosuch used")
    on.docker("volume rm -f nosuch")
    on.docker("volume rm -f used")
    on.prepare("rm c1")
    on.docker("volume rm used")


@case
def list_filters(on):
    on.prepare("volume create --label a=1 one", "volume create two", "create --name c1 -v two:/x busybox")
    for chosen in ("dangling=true", "dangling=false", "name=o", "name=^t", "label=a", "label=a=2", "driver=local",
                   "driver=nosuch",
                   "nosuch=1", "dangling=x"):
        on.docker(f"volume ls -q --filter {chosen}")


@case
def prune(on):
    on.prepare("volume create --label keep one", "volume create two", "create --name c1 -v used:/x busybox")
    on.docker("volume prune -f --filter label!=keep")
    on.docker("volume prune -f --filter nosuch=1")
    on.docker("volume prune -f")
    on.docker("volume ls -q")


@case
def filled_from_the_image(on):
    on.prepare("create --name c1 -v v1:/data web")
    on.docker("run --rm -v v1:/v1 busybox sh -c 'ls -ln /v1 | sed 1d | cut -c1-25; cat /v1/from-image'")
    on.docker("run --rm -v empty:/var/www:nocopy web ls /var/www")
    on.docker("run --rm --mount type=volume,src=m1,dst=/var/www,volume-nocopy web ls /var/www")
    on.docker("run --rm -v v1:/var/www web ls /var/www")


@case
def anonymous(on):
    on.prepare("create --name c1 -v /x web")
    on.api("GET", "/containers/c1/json", keep=lambda body: {"Mounts": body["Mounts"]})
    on.docker("inspect -f '{{json .Config.Volumes}} {{json .HostConfig.Binds}}' c1")


@case
def bind_mounts(on):
    on.files({"here/f": "outside\n"})
    place = on.folder / "here"
    on.docker(["run", "--rm", "-v", f"{place}:/x", "busybox", "sh", "-c", "cat /x/f; echo inside >/x/g"])
    on.record("written", (place / "g").read_text())
    on.docker(["run", "--rm", "-v", f"{place}:/x:ro", "busybox", "sh", "-c", "touch /x/h"])
    on.docker(["run", "--rm", "-v", f"{place}/made:/x", "busybox", "true"])
    on.record("made", (place / "made").is_dir())
    on.docker(["run", "--rm", "-v", f"{place}/f:/file", "busybox", "cat", "/file"])


@case
def bind_documents(on):
    on.files({"here/f": "outside\n"})
    on.docker(["create", "--name", "mounted", "-v", f"{on.folder}/here:/x:ro,rslave", "-v", "v:/v:rw", "--mount",
               f"type=bind,src={on.folder}/here,dst=/y,readonly,bind-propagation=private", "--mount",
               "type=volume,src=w1,dst=/w,volume-label=a=1", "--mount",
               "type=tmpfs,dst=/t,tmpfs-size=65536,tmpfs-mode=1770",
               "busybox"])
    on.docker("inspect -f '{{json .HostConfig.Binds}} {{json .HostConfig.Mounts}}' mounted")
    on.docker("inspect -f '{{json .Mounts}}' mounted")
    on.docker("volume inspect w1")
    on.docker("ps -a --format '{{.Mounts}}'")


@case
def mount_errors(on):
    on.docker("create -v relative/path:/x1 busybox")
    on.docker("create -v v1:relative busybox")
    on.docker("create -v /a1:/x1:bad busybox")
    on.docker("create -v /a1:/x1:ro:rw busybox")
    on.docker("create -v v1:/ busybox")
    on.docker("create -v /a1:/x1 -v /b:/x1 busybox")
    on.docker("create --mount type=bind,src=/nosuch,dst=/x1 busybox")
    on.docker("create --mount type=bind,dst=/x1 busybox")
    on.docker("create --mount type=volume,src=v1 busybox")
    on.docker("create --mount type=nosuch,dst=/x1 busybox")
    on.docker("create --mount type=tmpfs,src=x1,dst=/x1 busybox")
    on.docker("create --mount type=bind,src=relative,dst=/x1 busybox")
    on.docker("create --mount type=volume,src=/abs,dst=/x1 busybox")
    on.docker("create -v a1:/x1:ro,rw busybox")
    on.docker("create -v a1/b:/x1 busybox")
    on.docker("create -v v1:/x1:shared busybox")


@case
def mount_errors_raw(on):
    def create(mounts):
        on.api("POST", "/containers/create", {"Image": "busybox", "HostConfig": {"Mounts": mounts}})

    create([{"Type": "bind", "Source": "/nosuch", "Target": "/x"}])
    create([{"Type": "bind", "Source": "", "Target": "/x"}])
    create([{"Type": "bind", "Source": "relative", "Target": "/x"}])
    create([{"Type": "bind", "Source": "/tmp", "Target": ""}])
    create([{"Type": "bind", "Source": "/tmp", "Target": "relative"}])
    create([{"Type": "bind", "Source": "/tmp", "Target": "/"}])
    create([{"Type": "bind", "Source": "/tmp", "Target": "/x", "VolumeOptions": {}}])
    create([{"Type": "bind", "Source": "/tmp", "Target": "/x", "BindOptions": {"Propagation": "bad"}}])
    create([{"Type": "volume", "Source": "/abs", "Target": "/x"}])
    create([{"Type": "volume", "Target": "/x", "BindOptions": {"Propagation": "private"}}])
    create([{"Type": "tmpfs", "Source": "x", "Target": "/x"}])
    create([{"Type": "tmpfs", "Target": "/x", "TmpfsOptions": {"SizeBytes": -1}}])
    create([{"Type": "npipe", "Target": "/x"}])
    create([{"Type": "", "Target": "/x"}])
    create([{"Type": "volume", "Source": "v1", "Target": "/x"}, {"Type": "tmpfs", "Target": "/x"}])


@case
def volumes_from(on):
    on.prepare("create --name data -v v1:/v1 -v /anon web", "create --name c1 --volumes-from data:ro busybox")
    on.docker("run --rm --volumes-from data busybox sh -c 'touch /v1/x; ls /v1 /data'")
    on.docker("run --rm --volumes-from data:ro busybox touch /v1/y")
    on.docker("create --volumes-from nosuch busybox")
    on.docker("create --volumes-from data:bad busybox")


@case
def data_outlives_containers(on):
    on.docker("run --rm -v v1:/v1 busybox sh -c 'echo kept >/v1/f'")
    on.docker("run --rm -v v1:/v1:ro busybox cat /v1/f")
    on.docker("run --rm -v v1:/v1:ro busybox touch /v1/g")


@case
def raw_requests(on):
    on.api("POST", "/volumes/create", {"Name": "v", "Labels": {"a": "1"}, "DriverOpts": {}})
    on.api("POST", "/volumes/create", {})
    on.api("POST", "/volumes/create", {"Name": 1})
    on.api("POST", "/volumes/create", b"{", {"Content-Type": "application/json"})
    on.api("POST", "/volumes/create", b"{}", {"Content-Type": "text/plain"})
    on.api("POST", "/volumes/create", b"", {"Content-Type": "application/json"})
    on.api("GET", "/volumes/v")
    on.api("GET", "/volumes/nosuch")
    on.api("GET", "/volumes")
    on.api("DELETE", "/volumes/nosuch")
    on.api("DELETE", "/volumes/nosuch?force=1")
    on.api("DELETE", "/volumes/v")
