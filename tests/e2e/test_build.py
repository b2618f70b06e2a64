"""`docker build` with the stock client, the classic builder, and what else makes images of containers."""
import io
import json
import os
import pathlib
import re
import subprocess
import tarfile

import pytest
from engine_host import EngineHost, wait_for

CLOCK = "#!/bin/sh\n# prints the time\ndate\n"
FORTUNE = """FROM busybox

RUN echo update > /update
RUN echo fortune > /fortune
RUN echo cowsay > /cowsay
COPY clock.sh /usr/local/bin/clock.sh
RUN chmod +x /usr/local/bin/clock.sh
"""


@pytest.fixture(scope="module")
def engine():
    if os.geteuid() != 0:
        pytest.skip("namespaces for an engine need root")
    host = EngineHost(f"builder-{os.getpid()}", ["--experimental"])
    try:
        host.docker("pull", "-q", "busybox")
        yield host
    finally:
        host.close()


@pytest.fixture(autouse=True)
def nothing_is_left(engine, monkeypatch):
    monkeypatch.setenv("DOCKER_BUILDKIT", "0")
    yield
    engine.remove_all()
    mounts = engine.mounts()
    assert mounts == [], mounts
    temporary = list((engine.folder / "data/image/tmp").iterdir())
    assert temporary == [], temporary


@pytest.fixture
def context(tmp_path):
    return Context(tmp_path / "context")


class Context:
    def __init__(self, path):
        self.path = path
        path.mkdir()

    def write(self, name, text, mode=0o644):
        file = self.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode)
        return self

    def dockerfile(self, text):
        return self.write("Dockerfile", text)


def build(engine, context, *flags, check=True, **options):
    done = engine.docker("build", *flags, context.path if isinstance(context, Context) else context, check=check,
                         **options)
    return done if not check else done.stdout


def normal(text):
    """Ids numbered in the order in which they come."""
    seen = {}

    def number(match):
        return seen.setdefault(match.group(), f"<{len(seen) + 1}>")

    return re.sub(r"\b[0-9a-f]{12}\b", number, re.sub(r"daemon .*\n+", "daemon SIZE\n", text))


def steps(text):
    """What each step did: {number: [lines]}."""
    parts = re.split(r"^Step (\d+)/\d+ : .*\n", text, flags=re.M)
    return {int(parts[i]): parts[i + 1].splitlines() for i in range(1, len(parts), 2)}


def cached(text):
    return [number for number, lines in steps(text).items() if " ---> Using cache" in lines]


# --- the tutorial ---


def test_the_tutorials_transcripts_hold(engine, context):
    context.dockerfile(FORTUNE).write("clock.sh", CLOCK)
    assert normal(build(engine, context, "-t", "fortune-clock:3.0")) == """Sending build context to Docker daemon SIZE
Step 1/6 : FROM busybox
 ---> <1>
Step 2/6 : RUN echo update > /update
 ---> Running in <2>
Removing intermediate container <2>
 ---> <3>
Step 3/6 : RUN echo fortune > /fortune
 ---> Running in <4>
Removing intermediate container <4>
 ---> <5>
Step 4/6 : RUN echo cowsay > /cowsay
 ---> Running in <6>
Removing intermediate container <6>
 ---> <7>
Step 5/6 : COPY clock.sh /usr/local/bin/clock.sh
 ---> <8>
Step 6/6 : RUN chmod +x /usr/local/bin/clock.sh
 ---> Running in <9>
Removing intermediate container <9>
 ---> <10>
Successfully built <10>
Successfully tagged fortune-clock:3.0
"""
    base = engine.inspect("busybox")["RootFS"]["Layers"]
    layers = engine.inspect("fortune-clock:3.0")["RootFS"]["Layers"]
    assert layers[:len(base)] == base and len(layers) == len(base) + 5
    again = build(engine, context, "-t", "fortune-clock:3.0")
    assert cached(again) == [2, 3, 4, 5, 6]
    assert "Running in" not in again and engine.out("ps", "-aq") == ""
    context.write("clock.sh", CLOCK + "# changed\n")
    changed = build(engine, context, "-t", "fortune-clock:3.0")
    assert cached(changed) == [2, 3, 4]
    assert steps(changed)[5][0].startswith(" ---> ") and " ---> Running in" in steps(changed)[6][0]
    squashed = build(engine, context, "-t", "fortune-clock:3.0", "--squash")
    assert cached(squashed) == [2, 3, 4, 5, 6]
    layers = engine.inspect("fortune-clock:3.0")["RootFS"]["Layers"]
    assert layers[:len(base)] == base and len(layers) == len(base) + 1
    assert engine.docker("run", "--rm", "fortune-clock:3.0", "/usr/local/bin/clock.sh").returncode == 0
    assert "merge sha256:" in engine.out("history", "--no-trunc", "fortune-clock:3.0")


def test_the_todo_applications_full_dockerfile(engine, context):
    context.dockerfile("""FROM busybox
LABEL maintainer="someone@example.com"
ENV NODE_ENV=production \\
    PORT=3000
RUN mkdir -p /usr/src/app && \\
    chown web:web /usr/src/app
USER web:web
COPY --chown=web:web package.json package-lock.json /usr/src/app/
WORKDIR /usr/src/app
RUN echo installed > modules
COPY --chown=web:web . /usr/src/app/
EXPOSE $PORT
CMD [ "cat", "modules" ]
""").write("package.json", "{}").write("package-lock.json", "{}").write("app/server.js", "x")
    build(engine, context, "-t", "todo")
    show = "stat -c '%u:%g %a %n' . modules package.json app/server.js"
    assert engine.out("run", "--rm", "todo", "sh", "-c", show).splitlines() == [
        "33:33 755 .", "33:33 644 modules", "33:33 644 package.json", "33:33 644 app/server.js"]
    assert engine.out("run", "--rm", "todo") == "installed"
    context.write("app/server.js", "y")
    assert cached(build(engine, context, "-t", "todo")) == [2, 3, 4, 5, 6, 7, 8]
    config = engine.inspect("todo")["Config"]
    assert config["ExposedPorts"] == {"3000/tcp": {}} and config["User"] == "web:web"


def test_multi_stage_builds_copy_what_they_name(engine, context):
    context.dockerfile("""FROM busybox as builder
WORKDIR /go/src/app
COPY . /go/src/app
RUN echo compiled > /go/app
FROM busybox
COPY --from=builder /go/app /usr/local/bin/hello
COPY --from=0 /go/src/app/Dockerfile /
COPY --from=busybox /etc/passwd /passwd
ENTRYPOINT [ "cat" ]
CMD [ "/usr/local/bin/hello" ]
""")
    out = build(engine, context, "-t", "multi")
    assert "Step 1/10 : FROM busybox as builder\n" in out
    assert engine.out("run", "--rm", "multi") == "compiled"
    assert engine.docker("run", "--rm", "multi", "/go/app", check=False).returncode == 1
    assert "root:x:0" in engine.out("run", "--rm", "multi", "/passwd")
    only = build(engine, context, "--target", "Builder", "-t", "first")
    assert cached(only) == [2, 3, 4] and "Step 4/4" in only
    assert engine.out("run", "--rm", "first", "cat", "/go/app") == "compiled"


# --- instructions ---


def test_output_of_both_streams_reaches_the_client(engine, context):
    context.dockerfile("FROM busybox\nRUN echo out; echo err >&2; echo out2\n")
    out = build(engine, context)
    assert "out\n" in out and "\x1b[91merr\n\x1b[0m" in out and "out2\n" in out


def test_a_failing_command_ends_the_build_with_its_status(engine, context):
    context.dockerfile("FROM busybox\nRUN exit 7\n")
    done = build(engine, context, check=False)
    assert done.returncode == 7
    assert done.stderr.endswith("The command '/bin/sh -c exit 7' returned a non-zero code: 7\n")
    assert engine.out("ps", "-a", "--format", "{{.Status}}").startswith("Exited (7)")
    engine.remove_all()
    build(engine, context, "--force-rm", check=False)
    assert engine.out("ps", "-aq") == ""


def test_containers_stay_when_asked_for(engine, context):
    context.dockerfile("FROM busybox\nENV A=1\nRUN echo x > /x\n")
    build(engine, context, "--rm=false", "--no-cache", "-t", "kept")
    names = engine.out("ps", "-aq").split()
    assert len(names) == 2
    assert engine.out("run", "--rm", "kept", "cat", "/x") == "x"
    assert cached(build(engine, context)) == [2, 3]


def test_build_arguments(engine, context):
    context.dockerfile("""ARG TAG=nosuch
FROM busybox:$TAG
ARG WHO=world
ARG UNSET
ENV GREETING=hello-$WHO
RUN echo "<$GREETING $UNSET>" > /said
""")
    out = build(engine, context, "--build-arg", "TAG=latest", "--build-arg", "EXTRA=1", "-t", "args")
    assert "[Warning] One or more build-args [EXTRA] were not consumed\n" in out
    assert engine.out("run", "--rm", "args", "cat", "/said") == "<hello-world >"
    # Another value is another command, but only from where it is seen.
    out = build(engine, context, "--build-arg", "TAG=latest", "--build-arg", "UNSET=u", "-t", "args")
    assert cached(out) == [3, 4, 5]
    assert engine.out("run", "--rm", "args", "cat", "/said") == "<hello-world u>"
    assert "UNSET" not in str(engine.inspect("args")["Config"]["Env"])


def test_add_unpacks_archives_and_copy_does_not(engine, context, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/file").write_text("packed")
    for suffix, mode in (("tar", "w"), ("tar.gz", "w:gz"), ("tar.bz2", "w:bz2"), ("tar.xz", "w:xz")):
        with tarfile.open(context.path / f"a.{suffix}", mode) as tar:
            tar.add(tmp_path / "in", suffix)
    context.dockerfile("FROM busybox\nADD a.* /added/\nCOPY a.tar /copied/\nADD Dockerfile /plain\n")
    build(engine, context, "-t", "archives")
    out = engine.out("run", "--rm", "archives", "sh", "-c", "cat /added/*/file; ls /copied /plain")
    assert out.splitlines() == ["packedpackedpackedpacked/plain", "", "/copied:", "a.tar"]


@pytest.fixture(scope="module")
def web(engine, tmp_path_factory):
    """A web server inside the engine's namespaces; put files into `folder`."""
    folder = tmp_path_factory.mktemp("web")
    log = folder / "log"
    code = ("import http.server, os, sys; os.chdir(sys.argv[1]); "
            "http.server.ThreadingHTTPServer(('127.0.0.1', 8099), http.server.SimpleHTTPRequestHandler).serve_forever()")
    with open(log, "wb") as output:
        process = engine.popen("/usr/bin/python3", "-c", code, folder, stdout=output, stderr=output)
    wait_for("the web server", lambda: engine.run("curl", "-s", "http://127.0.0.1:8099/", check=False).returncode == 0)
    yield folder
    process.kill()
    process.wait()


def test_add_of_a_url(engine, context, web):
    (web / "file.txt").write_text("from the web")
    context.dockerfile("FROM busybox\nADD http://127.0.0.1:8099/file.txt /dl/\nADD http://127.0.0.1:8099/file.txt /as\n")
    build(engine, context, "-t", "web-add")
    assert engine.out("run", "--rm", "web-add", "sh", "-c", "cat /dl/file.txt /as; stat -c %a /as") == \
        "from the webfrom the web600"
    assert cached(build(engine, context)) == [2, 3]
    (web / "file.txt").write_text("changed")
    assert cached(build(engine, context)) == []
    context.dockerfile("FROM busybox\nADD http://127.0.0.1:8099/nosuch /dl/\n")
    done = build(engine, context, check=False)
    assert "ADD failed: failed to GET http://127.0.0.1:8099/nosuch with status 404 Not Found: " in done.stderr
    context.dockerfile("FROM busybox\nCOPY http://127.0.0.1:8099/file.txt /dl/\n")
    assert "COPY failed: source can't be a URL for COPY" in build(engine, context, check=False).stderr


def test_remote_contexts(engine, web, tmp_path):
    (web / "Dockerfile.txt").write_text("FROM busybox\nRUN echo alone\n")
    with tarfile.open(web / "context.tar.gz", "w:gz") as tar:
        data = b"FROM busybox\nCOPY x /x\nRUN cat /x\n"
        info = tarfile.TarInfo("Dockerfile")
        info.size = len(data)
        tar.addfile(info, io.BytesIO(data))
        info = tarfile.TarInfo("x")
        info.size = 3
        tar.addfile(info, io.BytesIO(b"abc"))
    for name, text in (("Dockerfile.txt", "alone"), ("context.tar.gz", "abc")):
        lines = engine.curl(f"/build?remote=http://127.0.0.1:8099/{name}", "-X", "POST")
        assert text in lines and "Successfully built" in lines, lines
    repository = tmp_path / "repository"
    repository.mkdir()
    git = ["git", "-c", "user.name=x", "-c", "user.email=x@example.com", "-C", repository]
    subprocess.run([*git, "init", "-q"], check=True)
    (repository / "sub").mkdir()
    (repository / "sub/Dockerfile").write_text("FROM busybox\nRUN echo of git\n")
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "x"], check=True)
    subprocess.run([*git, "clone", "-q", "--bare", repository, web / "x.git"], check=True)
    subprocess.run(["git", "-C", web / "x.git", "update-server-info"], check=True)
    lines = engine.curl("/build?remote=http://127.0.0.1:8099/x.git%23:sub", "-X", "POST")
    # A server of plain files gives no shallow clones.
    assert "of git" in lines or "shallow" in lines or "dumb http" in lines, lines


def test_onbuild_triggers_run_in_the_next_build(engine, context):
    context.dockerfile("FROM busybox\nONBUILD RUN echo triggered > /t\nONBUILD COPY own /own\n")
    build(engine, context, "-t", "trigger")
    context.dockerfile("FROM trigger\nRUN cat /t /own\n").write("own", "mine\n")
    out = build(engine, context, "-t", "child")
    assert "# Executing 2 build triggers\n" in out and "triggered\nmine\n" in out
    assert engine.inspect("child")["Config"]["OnBuild"] is None


def test_the_rest_of_the_language(engine, context):
    context.dockerfile(r"""# escape=`
FROM busybox
SHELL ["/bin/sh", "-ec"]
WORKDIR rel/ative
RUN pwd; `
    echo joined
HEALTHCHECK --interval=5s --retries=2 CMD echo ok
STOPSIGNAL SIGINT
VOLUME ["/v1", "/v 2"]
MAINTAINER a person
ENTRYPOINT echo from entry
""")
    out = build(engine, context, "-t", "rest")
    assert "/rel/ative\njoined\n" in out
    image = engine.inspect("rest")
    config = image["Config"]
    assert config["Healthcheck"] == {"Test": ["CMD-SHELL", "echo ok"], "Interval": 5_000_000_000, "Retries": 2}
    assert config["StopSignal"] == "SIGINT" and config["Volumes"] == {"/v1": {}, "/v 2": {}}
    assert config["Entrypoint"] == ["/bin/sh", "-ec", "echo from entry"] and config["Cmd"] is None
    assert config["Shell"] == ["/bin/sh", "-ec"] and config["WorkingDir"] == "/rel/ative"
    assert image["Author"] == "a person"


def test_from_scratch(engine, context, tmp_path):
    context.dockerfile("FROM scratch\nCOPY busybox /bin/busybox\nCMD [\"/bin/busybox\", \"echo\", \"tiny\"]\n")
    (context.path / "busybox").write_bytes(pathlib.Path("/bin/busybox").read_bytes())
    (context.path / "busybox").chmod(0o755)
    out = build(engine, context, "-t", "tiny")
    assert "Step 1/3 : FROM scratch\n ---> \n" in out
    assert engine.out("run", "--rm", "tiny") == "tiny"
    assert len(engine.inspect("tiny")["RootFS"]["Layers"]) == 1
    assert cached(build(engine, context, "-t", "tiny")) == [2, 3]


# --- flags ---


def test_quiet_iidfile_labels_tags_and_standard_input(engine, context, tmp_path):
    context.dockerfile("FROM busybox\nRUN echo hidden\n")
    identity = build(engine, context, "-q", "-t", "a:1", "-t", "b", "--label", "x=y", "--iidfile", tmp_path / "iid").strip()
    assert re.fullmatch("sha256:[0-9a-f]{64}", identity)
    assert (tmp_path / "iid").read_text().strip() == identity
    image = engine.inspect(identity)
    assert sorted(image["RepoTags"]) == ["a:1", "b:latest"] and image["Config"]["Labels"] == {"x": "y"}
    out = build(engine, "-", "-t", "c", input="FROM busybox\nRUN echo of stdin\n")
    assert "of stdin\n" in out
    out = build(engine, context, "-f", "-", input="FROM busybox\nCOPY Dockerfile /d\nRUN cat /d\n")
    assert "RUN echo hidden" in out
    context.write("other/File", "FROM busybox\nRUN echo another\n")
    assert "another\n" in build(engine, context, "-f", context.path / "other/File")


def test_cache_from_takes_the_steps_of_an_image_that_was_loaded(engine, context, tmp_path):
    context.dockerfile("FROM busybox\nRUN date +%N > /a\nRUN date +%N > /b\n")
    build(engine, context, "-t", "source", "--no-cache")
    layers = engine.inspect("source")["RootFS"]["Layers"]
    engine.docker("save", "-o", tmp_path / "image.tar", "source")
    engine.docker("rmi", "source")
    engine.docker("load", "-i", tmp_path / "image.tar")
    out = build(engine, context, "--cache-from", "source", "-t", "again")
    assert cached(out) == [2, 3]
    assert engine.inspect("again")["RootFS"]["Layers"] == layers


def test_dockerignore_hides_files_from_the_builder(engine, context):
    context.dockerfile("FROM busybox\nCOPY . /c\nRUN find /c -type f | sort\n")
    context.write(".dockerignore", "*.log\n!kept.log\nDockerfile\n.dockerignore\nnode_modules\n")
    context.write("x.log", "").write("kept.log", "").write("node_modules/a/b", "").write("src/main", "")
    assert "/c/kept.log\n/c/src/main\nRemoving" in build(engine, context)


@pytest.mark.parametrize("text, message", [
    ("FROM busybox\nRUM x\n", "dockerfile parse error line 2: unknown instruction: RUM"),
    ("FROM busybox\nCOPY nofile /x\n", "COPY failed: file not found in build context or excluded by .dockerignore: "
                                       "stat nofile: file does not exist"),
    ("FROM busybox\nCOPY ../x /x\n", "COPY failed: forbidden path outside the build context: ../x ()"),
    ("FROM busybox\nCOPY n* /x\n", "COPY failed: no source files were specified"),
    ("FROM busybox\nCOPY Dockerfile . /x\n", "When using COPY with more than one source file, the destination must be "
                                             "a directory and end with a /"),
    ("FROM busybox\nCOPY --chown=no:one Dockerfile /\n", "unable to convert uid/gid chown string to host mapping: "
                                                         "can't find uid for user no: no such user: no"),
    ("FROM busybox\nRUN [\"nosuch\"]\n", 'exec: "nosuch": executable file not found in $PATH: unknown'),
    ("FROM busybox as a\nFROM busybox as a\n", "a stage name already used"),
    ("FROM busybox\nCOPY --from=1 /a /b\n", "invalid from flag value 1: index out of bounds"),
    ("FROM busybox\nEXPOSE 99999\n", "Invalid containerPort: 99999"),
    ("FROM busybox\nSTOPSIGNAL FOO\n", "Invalid signal: FOO"),
    ("", "the Dockerfile (Dockerfile) cannot be empty"),
])
def test_errors_have_dockerds_words(engine, context, text, message):
    context.dockerfile(text)
    done = build(engine, context, check=False)
    assert done.returncode != 0 and message in done.stderr, done.stderr


def test_a_build_ends_when_its_client_goes(engine, context):
    context.dockerfile("FROM busybox\nRUN sleep 1000\n")
    process = subprocess.Popen([engine.client, "build", "--no-cache", context.path], stdout=subprocess.PIPE, text=True,
                               env=dict(os.environ, DOCKER_HOST=f"unix://{engine.socket}"))
    while "Running in" not in process.stdout.readline():
        pass
    process.kill()
    process.wait()
    wait_for("the end of the step", lambda: engine.out("ps", "-q") == "")


def test_a_crash_during_a_build_leaves_its_container_and_the_finished_steps(engine, context):
    context.dockerfile("FROM busybox\nRUN date +%N > /done\nRUN sleep 1000\n")
    process = subprocess.Popen([engine.client, "build", context.path], stdout=subprocess.PIPE, text=True,
                               env=dict(os.environ, DOCKER_HOST=f"unix://{engine.socket}"))
    while "Step 3/3" not in process.stdout.readline():
        pass
    wait_for("the second step", lambda: engine.out("ps", "-q"))
    engine.kill()
    process.wait()
    engine.start()
    assert engine.out("ps", "--format", "{{.Command}}", "--no-trunc") == "\"/bin/sh -c 'sleep 1000'\""
    context.dockerfile("FROM busybox\nRUN date +%N > /done\nRUN true\n")
    assert cached(build(engine, context)) == [2]


def test_a_hostile_context_stays_in_its_folder(engine, tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("untouched")
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, link in (("up", "/"), ("deep", "../../../../../../../..")):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, link
            tar.addfile(info)
        for name in (f"up{victim}", f"deep{victim}", "Dockerfile"):
            data = b"FROM busybox\n" if name == "Dockerfile" else b"overwritten"
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    archive = tmp_path / "context.tar"
    archive.write_bytes(out.getvalue())
    lines = engine.curl("/build", "-X", "POST", "-H", "Content-Type: application/x-tar", "--data-binary", f"@{archive}")
    assert "Successfully built" in lines, lines
    assert victim.read_text() == "untouched"


def test_bad_bodies_are_refused(engine, tmp_path):
    garbage = tmp_path / "garbage"
    garbage.write_bytes(b"x" * 2000)
    answer = engine.curl("/build", "-X", "POST", "--data-binary", f"@{garbage}")
    assert "Error processing tar file" in json.loads(answer)["message"]
    status, body = engine.api("POST", "/build?t=UPPER")
    assert status == 500 and "invalid reference format" in body["message"]


# --- registries ---


@pytest.fixture
def registry(engine, tmp_path):
    """Debian's docker-registry in the engine's namespaces."""
    config = tmp_path / "registry.yml"
    config.write_text(json.dumps({
        "version": 0.1, "log": {"level": "warn"}, "http": {"addr": "127.0.0.1:5000"},
        "storage": {"filesystem": {"rootdirectory": str(tmp_path / "registry")}, "delete": {"enabled": True}}}))
    with open(tmp_path / "registry.log", "wb") as log:
        process = engine.popen("docker-registry", "serve", config, stdout=log, stderr=log)
    wait_for("the registry", lambda: engine.run("curl", "-s", "http://127.0.0.1:5000/v2/", check=False).stdout == "{}")
    yield "127.0.0.1:5000"
    process.kill()
    process.wait()


def test_what_was_built_is_pushed_mounted_and_read_by_skopeo_and_back(engine, context, registry, tmp_path):
    context.dockerfile("FROM busybox\nRUN echo pushed > /pushed\nCMD [\"cat\", \"/pushed\"]\n")
    build(engine, context, "-t", f"{registry}/one:1")
    out = engine.out("push", f"{registry}/one:1")
    assert out.count(": Pushed") == 2, out
    engine.docker("tag", f"{registry}/one:1", f"{registry}/two:1")
    out = engine.out("push", f"{registry}/two:1")
    assert out.count("Mounted from one") == 2, out
    digest = re.search(r"1: digest: (sha256:[0-9a-f]{64}) size: \d+", out).group(1)
    assert engine.out("push", f"{registry}/two:1").count(": Layer already exists") == 2
    shown = json.loads(engine.run("skopeo", "inspect", "--tls-verify=false", f"docker://{registry}/two:1").stdout)
    assert shown["Digest"] == digest and shown["Layers"]
    engine.docker("rmi", f"{registry}/one:1", f"{registry}/two:1")
    engine.docker("pull", f"{registry}/two@{digest}")
    assert engine.out("run", "--rm", f"{registry}/two@{digest}") == "pushed"
    # As OCI with zstd layers, by another program.
    engine.run("skopeo", "copy", "-q", "--src-tls-verify=false", "--dest-tls-verify=false", "--format", "oci",
               "--dest-compress", "--dest-compress-format", "zstd", f"docker://{registry}/two:1",
               f"docker://{registry}/oci:1")
    manifest = engine.run("skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{registry}/oci:1").stdout
    assert "vnd.oci.image" in manifest
    assert engine.out("run", "--rm", f"{registry}/oci:1") == "pushed"
    # The layers that came as zstd go elsewhere as they are.
    engine.docker("tag", f"{registry}/oci:1", f"{registry}/again:1")
    engine.docker("push", f"{registry}/again:1")
    engine.docker("rmi", f"{registry}/again:1", f"{registry}/oci:1")
    assert engine.out("run", "--rm", f"{registry}/again:1") == "pushed"


def test_a_base_image_is_pulled_with_what_it_says(engine, context, registry):
    engine.docker("tag", "busybox", f"{registry}/base:1")
    engine.docker("push", f"{registry}/base:1")
    engine.docker("rmi", f"{registry}/base:1")
    context.dockerfile(f"FROM {registry}/base:1\nRUN true\n")
    out = build(engine, context)
    assert f"Step 1/2 : FROM {registry}/base:1\n1: Pulling from base\n" in out
    assert re.search(r"Status: (Downloaded newer image|Image is up to date) for .*/base:1\n ---> [0-9a-f]{12}\n", out), out
    assert "Pulling from base" in build(engine, context, "--pull")
    assert "Pulling" not in build(engine, context)
