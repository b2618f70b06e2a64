"""Volumes and bind mounts with the stock docker client against engined on this host."""
import json

import pytest


@pytest.fixture
def vols(clean):
    """Leaves no volume behind."""
    yield clean
    clean.remove_all()
    names = clean.out("volume", "ls", "-q").split()
    if names:
        clean.docker("volume", "rm", *names)


@pytest.fixture
def source(vols, tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "file").write_text("from the host\n")
    return tmp_path


def error_of(engine, *arguments):
    done = engine.docker(*arguments, check=False)
    assert done.returncode != 0, done.stdout
    lines = [line for line in done.stderr.splitlines() if "rror" in line and not line.startswith("time=")]
    return lines[0].removeprefix("docker: ").removeprefix("Error response from daemon: ")


def run(engine, *arguments):
    return engine.out("run", "--rm", *arguments)


# --- create, inspect, list, remove ---


def test_create_inspect_list_and_remove(vols):
    assert vols.out("volume", "create", "--label", "k=v", "one") == "one"
    assert vols.out("volume", "create", "one") == "one"
    shown = json.loads(vols.out("volume", "inspect", "one"))[0]
    shown.pop("CreatedAt")
    assert shown == {"Driver": "local", "Labels": {"k": "v"}, "Name": "one", "Options": {}, "Scope": "local",
                     "Mountpoint": f"{vols.folder}/data/volumes/one/_data"}
    vols.docker("volume", "create", "two")
    vols.docker("run", "-d", "--name", "user", "-v", "two:/data", "busybox", "sleep", "100")
    names = lambda *filters: vols.out("volume", "ls", "-q", *filters).split()  # noqa: E731
    assert names() == ["one", "two"]
    assert names("--filter", "label=k") == ["one"]
    assert names("--filter", "name=tw") == ["two"]
    assert names("--filter", "dangling=true") == ["one"]
    assert names("--filter", "dangling=false") == ["two"]
    assert error_of(vols, "volume", "ls", "--filter", "dangling=zz") == "Invalid filter 'dangling=[zz]'"
    assert error_of(vols, "volume", "ls", "--filter", "nosuch=1") == "Invalid filter 'nosuch'"
    user = vols.inspect("user")["Id"]
    assert error_of(vols, "volume", "rm", "-f", "two") == f"remove two: volume is in use - [{user}]"
    assert error_of(vols, "volume", "rm", "nosuch") == "Error: No such volume: nosuch"
    assert vols.out("volume", "rm", "-f", "nosuch") == "nosuch"
    vols.docker("volume", "prune", "-f", "--filter", "label!=k")
    assert names() == ["one", "two"]
    assert vols.out("volume", "prune", "-f").split()[:3] == ["Deleted", "Volumes:", "one"]


CREATE_ERRORS = [
    (["x"], "create x: volume name is too short, names should be at least two alphanumeric characters"),
    (["bad/name"], 'create bad/name: "bad/name" includes invalid characters for a local volume name, only '
                   '"[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use absolute path'),
    (["-d", "nosuch", "xx"], 'create xx: error looking up volume plugin nosuch: plugin "nosuch" not found'),
    (["-o", "foo=bar", "xx"], 'create xx: invalid option: "foo"'),
    (["-o", "type=tmpfs", "xx"], 'create xx: missing required option: "device"'),
    (["-o", "device=/tmp", "xx"], 'create xx: missing required option: "type"'),
]


@pytest.mark.parametrize("arguments, text", CREATE_ERRORS)
def test_create_refuses(vols, arguments, text):
    assert error_of(vols, "volume", "create", *arguments) == text
    assert vols.out("volume", "ls", "-q") == ""


# --- volumes that are mounts ---


def test_a_tmpfs_volume_lives_with_its_containers(vols):
    vols.docker("volume", "create", "-o", "type=tmpfs", "-o", "device=tmpfs", "-o", "o=size=1m,uid=33", "fast")
    assert "tmpfs on /t type tmpfs (rw,relatime,size=1024k,uid=33" in run(
        vols, "-v", "fast:/t", "busybox", "sh", "-c", "cat /proc/mounts | sed 's/^tmpfs \\(.*\\) tmpfs \\([^ ]*\\) .*/"
        "tmpfs on \\1 type tmpfs (\\2)/'")
    vols.docker("run", "-d", "--name", "one", "-v", "fast:/t", "busybox", "sleep", "100")
    vols.docker("exec", "one", "touch", "/t/x")
    assert run(vols, "-v", "fast:/t", "busybox", "ls", "/t") == "x"
    vols.kill()
    vols.start()
    assert run(vols, "-v", "fast:/t", "busybox", "ls", "/t") == "x"
    vols.docker("rm", "-f", "one")
    assert not [line for line in vols.mounts() if "volumes" in line]
    assert run(vols, "-v", "fast:/t", "busybox", "ls", "/t") == ""
    assert vols.out("volume", "prune", "-f").startswith("Total reclaimed space: 0B")


def test_a_bind_volume_is_the_folder_it_names(vols, source):
    vols.docker("volume", "create", "-o", "type=none", "-o", f"device={source}", "-o", "o=bind", "there")
    assert run(vols, "-v", "there:/t", "busybox", "sh", "-c", "cat /t/file; echo new >/t/new") == "from the host"
    assert (source / "new").read_text() == "new\n"
    vols.docker("volume", "rm", "there")
    assert (source / "new").exists()
    vols.docker("volume", "create", "-o", "type=none", "-o", "device=/nosuch", "-o", "o=bind", "lost")
    folder = f"{vols.folder}/data/volumes/lost/_data"
    assert error_of(vols, "run", "--rm", "-v", "lost:/t", "busybox", "ls") == (
        f"error while mounting volume '{folder}': failed to mount local volume: mount /nosuch:{folder}, flags: 0x1000: "
        "no such file or directory.")


# --- in containers ---


def test_every_kind_of_mount(vols, source):
    vols.docker(
        "run", "-d", "--name", "all", "-v", "named:/data", "-v", "/anonymous", "--tmpfs", "/tm:size=1m", "--mount",
        f"type=bind,src={source},dst=/b,readonly", "--mount", "type=volume,src=empty,dst=/e,volume-nocopy,volume-label=x=y",
        "--mount", "type=tmpfs,dst=/tt,tmpfs-size=1m,tmpfs-mode=1770", "-v", f"{source}/sub:/c:ro", "busybox", "sleep",
        "100")
    shown = {mount["Destination"]: mount for mount in vols.inspect("all")["Mounts"]}
    assert shown["/b"] == {"Type": "bind", "Source": str(source), "Destination": "/b", "Mode": "", "RW": False,
                           "Propagation": "rprivate"}
    assert shown["/c"]["Mode"] == "ro"
    assert (shown["/data"]["Name"], shown["/data"]["Mode"], shown["/data"]["Driver"]) == ("named", "z", "local")
    assert shown["/tt"] == {"Type": "tmpfs", "Source": "", "Destination": "/tt", "Mode": "", "RW": True,
                            "Propagation": ""}
    assert "/tm" not in shown
    assert json.loads(vols.out("volume", "inspect", "empty"))[0]["Labels"] == {"x": "y"}
    show = "cat /data/from-image; ls -A /e; touch /b/x 2>&1; touch /c/x 2>&1; ls -ld /tt | cut -c1-10"
    assert vols.out("exec", "all", "sh", "-c", show).splitlines() == [
        "from the image", "touch: /b/x: Read-only file system", "touch: /c/x: Read-only file system", "drwxrwx--T"]
    vols.docker("rm", "-f", "-v", "all")
    assert vols.out("volume", "ls", "-q").split() == ["empty", "named"]


def test_a_volume_takes_what_the_image_has_once(vols):
    assert run(vols, "-v", "filled:/data", "busybox", "sh", "-c", "cat /data/from-image; rm /data/from-image") == (
        "from the image")
    assert run(vols, "-v", "filled:/data:ro", "busybox", "ls", "/data") == "from-image"
    assert run(vols, "-v", "bare:/data:nocopy", "busybox", "ls", "/data") == ""


def test_volumes_from_another_container(vols):
    vols.docker("run", "-d", "--name", "one", "-v", "named:/data", "-v", "/anonymous", "busybox", "sleep", "100")
    vols.docker("exec", "one", "touch", "/anonymous/x")
    assert run(vols, "--volumes-from", "one:ro", "busybox", "sh", "-c", "ls /anonymous; touch /data/x 2>&1 || true") == (
        "x\ntouch: /data/x: Read-only file system")
    assert error_of(vols, "run", "--volumes-from", "one:zz", "busybox") == "invalid mode: zz."
    assert error_of(vols, "run", "--volumes-from", "nosuch", "busybox") == "No such container: nosuch."


RUN_ERRORS = [
    (["--mount", "type=bind,dst=/x"], 'invalid mount config for type "bind": field Source must not be empty.'),
    (["--mount", "type=bind,src=/nosuch,dst=/x"],
     'invalid mount config for type "bind": bind source path does not exist: /nosuch.'),
    (["--mount", "type=bind,src=/tmp,dst=/x,bind-propagation=zz"],
     'invalid mount config for type "bind": invalid propagation mode: zz.'),
    (["--mount", "type=nosuch,dst=/x"], 'invalid mount config for type "nosuch": mount type unknown.'),
    (["--mount", "type=tmpfs,src=/x,dst=/y"], 'invalid mount config for type "tmpfs": field Source must not be specified.'),
    (["--mount", "type=volume,src=vv,dst=/x,volume-driver=nosuch"],
     'create vv: error looking up volume plugin nosuch: plugin "nosuch" not found.'),
    (["-v", "name:/x:zz"], "invalid mode: zz."),
    (["-v", "/tmp:/x:ro,rw"], "invalid mode: ro,rw."),
    (["-v", "/tmp:/x:ro:rw"], "invalid volume specification: '/tmp:/x:ro:rw'."),
    (["-v", "name:/x:rslave"], "invalid volume specification: 'name:/x:rslave': invalid mount config for type "
                               '"volume": field BindOptions must not be specified.'),
    (["-v", "/tmp:/x:nocopy"], "invalid volume specification: '/tmp:/x:nocopy': invalid mount config for type "
                               '"bind": field VolumeOptions must not be specified.'),
    (["-v", "one:/x", "-v", "two:/x"], "Duplicate mount point: /x."),
    (["--tmpfs", "relative"], "invalid mount path: 'relative' mount path must be absolute."),
    (["-v", "/tmp:/x:rshared"], "path /tmp is mounted on / but it is not a shared mount.."),
]


@pytest.mark.parametrize("arguments, text", RUN_ERRORS)
def test_run_refuses(vols, arguments, text):
    assert error_of(vols, "run", "--rm", *arguments, "busybox", "true").rstrip(".") == text.rstrip(".")


def test_mounts_propagate_as_asked(vols, source):
    vols.run("mount", "--bind", source, source)
    vols.run("mount", "--make-shared", source)
    try:
        vols.docker("run", "-d", "--name", "slave", "-v", f"{source}:/s:rslave", "busybox", "sleep", "100")
        vols.docker("run", "-d", "--name", "private", "-v", f"{source}:/s", "busybox", "sleep", "100")
        vols.run("mount", "-t", "tmpfs", "late", source / "sub")
        assert "/s/sub" in vols.out("exec", "slave", "cat", "/proc/mounts")
        assert "/s/sub" not in vols.out("exec", "private", "cat", "/proc/mounts")
        vols.run("umount", source / "sub")
    finally:
        vols.remove_all()
        vols.run("umount", source)
