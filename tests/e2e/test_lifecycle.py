"""What can be done to a container besides running it: copies, statistics, changed limits, health checks, a first process,
bounded logs. With the stock docker client against engined on this host."""
import io
import json
import os
import re
import subprocess
import tarfile
import time

import pytest
from engine_host import wait_for

# --- cp ---


def archive_of(engine, name, path):
    """The tar of a path in a container: {member: TarInfo}."""
    environment = dict(os.environ, DOCKER_HOST=f"unix://{engine.socket}")
    done = subprocess.run([engine.client, "cp", f"{name}:{path}", "-"], capture_output=True, env=environment, timeout=60)
    assert done.returncode == 0, done.stderr
    return {member.name: member for member in tarfile.open(fileobj=io.BytesIO(done.stdout)).getmembers()}


@pytest.mark.parametrize("running", [True, False])
def test_cp_both_ways(clean, tmp_path, running):
    clean.docker("run", "-d", "--name", "c1", "-v", "/volume", "busybox", "sh", "-c",
                 "mkdir -p /d/sub; echo a > /d/a; chmod 640 /d/a; ln -s /d /link; touch /ready; sleep 100")
    wait_for("the files", lambda: clean.docker("exec", "c1", "ls", "/ready", check=False).returncode == 0)
    if not running:
        clean.docker("stop", "-t", "0", "c1")
    (tmp_path / "in").mkdir()
    (tmp_path / "in/file").write_text("from the host\n")
    clean.docker("cp", tmp_path / "in", "c1:/d/sub")
    clean.docker("cp", tmp_path / "in/file", "c1:/volume/renamed")
    clean.docker("cp", "c1:/d", tmp_path / "out")
    assert (tmp_path / "out/a").read_text() == "a\n"
    assert (tmp_path / "out/a").stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "out/sub/in/file").read_text() == "from the host\n"
    clean.docker("cp", "-L", "c1:/link", tmp_path / "followed")
    assert (tmp_path / "followed/a").read_text() == "a\n"
    assert archive_of(clean, "c1", "/link")["link"].linkname == "/d"
    assert set(archive_of(clean, "c1", "/d/.")) >= {".", "./a", "./sub/in/file"}
    assert set(archive_of(clean, "c1", "/volume/renamed")) == {"renamed"}
    assert "hosts" in archive_of(clean, "c1", "/etc/hosts")
    if not running:
        clean.docker("start", "c1")
    assert clean.out("exec", "c1", "cat", "/d/sub/in/file", "/volume/renamed") == "from the host\nfrom the host"
    assert clean.mounts() != [] and all("cgroup" not in line for line in clean.mounts())


def test_cp_before_the_first_start_and_into_what_a_user_owns(clean, tmp_path):
    (tmp_path / "f").write_text("early\n")
    clean.docker("create", "--name", "c1", "-u", "33:33", "-v", "/new/volume", "busybox", "cat", "/new/volume/f")
    clean.docker("cp", tmp_path / "f", "c1:/new/volume/f")
    clean.docker("cp", "-a", tmp_path / "f", "c1:/tmp/owned")
    assert clean.docker("start", "-a", "c1").stdout == "early\n"
    assert (archive_of(clean, "c1", "/tmp/owned")["owned"].uid, archive_of(clean, "c1", "/tmp/owned")["owned"].gid) == (33, 33)
    assert clean.mounts() == []


def test_cp_errors_have_dockerd_s_words(clean, tmp_path):
    (tmp_path / "f").write_text("x")
    clean.docker("create", "--name", "c1", "busybox")
    clean.docker("create", "--name", "ro", "--read-only", "-v", f"{tmp_path}:/m:ro", "-v", "/free", "busybox")
    assert clean.api("GET", "/v1.41/containers/c1/archive?path=/none") == (
        404, {"message": "Could not find the file /none in container c1"})
    assert "c1:/none" in clean.docker("cp", "c1:/none", "-", check=False).stderr
    done = clean.docker("cp", tmp_path / "f", "ro:/tmp/f", check=False)
    assert "container rootfs is marked read-only" in done.stderr
    done = clean.docker("cp", tmp_path / "f", "ro:/m/g", check=False)
    assert "mounted volume is marked read-only" in done.stderr
    clean.docker("cp", tmp_path / "f", "ro:/free/f")
    assert clean.api("GET", "/v1.41/containers/c1/archive?path=") == (
        400, {"message": "bad parameter: pathcannot be empty"})
    (tmp_path / "tmp").write_text("x")
    tar = tmp_path / "f.tar"
    subprocess.run(["tar", "-cf", tar, "-C", tmp_path, "tmp"], check=True)
    answer = clean.curl("/v1.41/containers/c1/archive?path=/&noOverwriteDirNonDir=true", "-X", "PUT", "--data-binary",
                        f"@{tar}")
    assert 'cannot overwrite directory \\"/tmp\\" with non-directory \\"/\\"' in answer


def test_cp_never_leaves_the_container(clean, tmp_path):
    secret = tmp_path / "host"
    secret.mkdir()
    (secret / "secret").write_text("of the host\n")
    clean.docker("run", "-d", "--name", "c1", "busybox", "sh", "-c",
                 f"ln -s {secret} /out; ln -s ../../../../../../..{secret} /up; mkdir /race; touch /ready; "
                 f"while :; do rm -rf /race/d; mkdir /race/d; rm -rf /race/d; ln -s {secret} /race/d; done")
    wait_for("the links", lambda: clean.docker("exec", "c1", "ls", "/ready", check=False).returncode == 0)
    for path in ("/out/secret", "/up/secret", "/proc/1/root/../../secret"):
        assert clean.docker("cp", f"c1:{path}", "-", check=False).returncode != 0
    (tmp_path / "evil").mkdir()
    (tmp_path / "evil/planted").write_text("x")
    for _ in range(15):
        clean.docker("cp", f"{tmp_path}/evil/.", "c1:/race/d", check=False)
        clean.docker("cp", "c1:/race/d/secret", "-", check=False)
    assert sorted(os.listdir(secret)) == ["secret"]
    assert (secret / "secret").read_text() == "of the host\n"


# --- stats ---


def test_stats_once_and_as_a_stream(clean):
    clean.docker("run", "-d", "--name", "c1", "-m", "64m", "--pids-limit", "50", "busybox", "sh", "-c",
                 "while :; do :; done")
    line = clean.out("stats", "--no-stream", "--format", "{{.Name}} {{.MemUsage}} {{.PIDs}} {{.CPUPerc}}", "c1")
    assert re.fullmatch(r"c1 [\d.]+[KM]?i?B / 64MiB 1 [\d.]+%", line) and not line.endswith(" 0.00%")
    status, document = clean.api("GET", "/v1.41/containers/c1/stats?stream=false")
    assert status == 200 and document["name"] == "/c1" and document["preread"] > "2000"
    assert document["cpu_stats"]["cpu_usage"]["total_usage"] > document["precpu_stats"]["cpu_usage"]["total_usage"] > 0
    assert document["cpu_stats"]["system_cpu_usage"] > document["precpu_stats"]["system_cpu_usage"]
    assert document["memory_stats"]["limit"] == 64 << 20 and document["memory_stats"]["usage"] > 0
    assert document["pids_stats"] == {"current": 1, "limit": 50}
    assert document["networks"]["eth0"]["rx_errors"] == 0
    # curl ends the stream after its 20 s at most; two lines are enough.
    stream = clean.popen("curl", "-sN", "-m", "20", "--unix-socket", clean.socket,
                         "http://localhost/v1.41/containers/c1/stats", stdout=subprocess.PIPE, text=True)
    try:
        first, second = json.loads(stream.stdout.readline()), json.loads(stream.stdout.readline())
    finally:
        stream.kill()
        stream.wait()
        stream.stdout.close()
    assert second["preread"] == first["read"] and second["precpu_stats"] == first["cpu_stats"]


def test_stats_of_a_container_that_does_not_run_are_empty(clean):
    clean.docker("create", "--name", "c1", "busybox")
    status, document = clean.api("GET", "/v1.41/containers/c1/stats?stream=false")
    assert status == 200 and document["read"] == "0001-01-01T00:00:00Z" and document["memory_stats"] == {}


# --- update ---


def test_update_of_limits_and_policy(clean):
    clean.docker("run", "-d", "--name", "c1", "-m", "64m", "busybox", "sleep", "100")
    done = clean.docker("update", "-m", "512m", "c1", check=False)
    assert "Memory limit should be smaller than already set memoryswap limit" in done.stderr
    clean.docker("update", "-m", "512m", "--memory-swap", "1g", "--cpus", "0.5", "--pids-limit", "7", "--restart",
                 "on-failure:3", "c1")
    limits = clean.inspect("c1")["HostConfig"]
    assert (limits["Memory"], limits["MemorySwap"], limits["NanoCpus"], limits["PidsLimit"]) == (
        512 << 20, 1 << 30, 500_000_000, 7)
    assert limits["RestartPolicy"] == {"Name": "on-failure", "MaximumRetryCount": 3}
    status, document = clean.api("GET", "/v1.41/containers/c1/stats?stream=false&one-shot=1")
    assert document["memory_stats"]["limit"] == 512 << 20 and document["pids_stats"]["limit"] == 7
    done = clean.docker("exec", "c1", "sh", "-c", "for i in 1 2 3 4 5 6 7 8 9; do sleep 1 & done; wait", check=False)
    assert "can't fork" in done.stderr
    clean.docker("kill", "c1")
    assert clean.inspect("c1")["HostConfig"]["PidsLimit"] == 7


def test_update_errors_have_dockerd_s_words(clean):
    clean.docker("run", "-d", "--rm", "--name", "c1", "--cpu-period", "50000", "busybox", "sleep", "100")
    for flags, message in [
            (("-m", "1m"), "Minimum memory limit allowed is 6MB"),
            (("--cpu-period", "10"), "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s"),
            (("--cpus", "1"), "Conflicting options: Nano CPUs cannot be updated as CPU Period has already been set"),
            (("--restart", "always"), "Restart policy cannot be updated because AutoRemove is enabled for the container")]:
        assert message in clean.docker("update", *flags, "c1", check=False).stderr


# --- health ---


def health_of(engine, name):
    return engine.inspect(name)["State"]["Health"]


def test_health_follows_the_probes(clean):
    clean.docker("run", "-d", "--name", "c1", "--health-cmd", "echo probed; test -e /ok", "--health-interval", "100ms",
                 "--health-retries", "2", "busybox", "sleep", "100")
    wait_for("unhealthy", lambda: health_of(clean, "c1")["Status"] == "unhealthy")
    health = health_of(clean, "c1")
    assert health["FailingStreak"] >= 2 and health["Log"][-1]["ExitCode"] == 1
    assert health["Log"][-1]["Output"] == "probed\n"
    assert clean.out("ps", "--filter", "health=unhealthy", "--format", "{{.Status}}").endswith(" (unhealthy)")
    clean.docker("exec", "c1", "touch", "/ok")
    wait_for("healthy", lambda: health_of(clean, "c1")["Status"] == "healthy")
    assert health_of(clean, "c1")["FailingStreak"] == 0
    wait_for("more probes", lambda: len(health_of(clean, "c1")["Log"]) == 5)
    assert "(healthy)" in clean.out("ps", "--format", "{{.Status}}")
    clean.docker("stop", "-t", "0", "c1")
    assert health_of(clean, "c1")["Status"] == "unhealthy"
    actions = clean.out("events", "--since", "1m", "--until", str(time.time()), "--filter", "container=c1", "--format",
                        "{{.Action}}").splitlines()
    words = [action for action in actions if action.startswith("health_status")]
    assert words[:2] == ["health_status: unhealthy", "health_status: healthy"]
    assert "exec_create: /bin/sh -c echo probed; test -e /ok" in actions


def test_a_probe_that_takes_too_long_fails(clean):
    clean.docker("run", "-d", "--name", "c1", "--health-cmd", "sleep 60", "--health-interval", "100ms",
                 "--health-timeout", "200ms", "--health-retries", "1", "busybox", "sleep", "100")
    assert "(health: starting)" in clean.out("ps", "--format", "{{.Status}}")
    wait_for("unhealthy", lambda: health_of(clean, "c1")["Status"] == "unhealthy")
    last = health_of(clean, "c1")["Log"][-1]
    assert (last["ExitCode"], last["Output"]) == (-1, "Health check exceeded timeout (200ms)")


def test_health_goes_on_after_a_restart_of_the_engine(clean):
    clean.docker("run", "-d", "--name", "c1", "--health-cmd", "true", "--health-interval", "100ms", "busybox", "sleep",
                 "100")
    wait_for("healthy", lambda: health_of(clean, "c1")["Status"] == "healthy")
    clean.kill()
    clean.start()
    wait_for("healthy again", lambda: health_of(clean, "c1")["Status"] == "healthy")


# --- init ---


def test_init_passes_signals_on_and_reaps(clean):
    script = "trap 'echo caught; exit 7' TERM; (sleep 0.1 & ) ; echo ready; while :; do sleep 0.05; done"
    clean.docker("run", "-d", "--init", "--name", "c1", "busybox", "sh", "-c", script)
    wait_for("the command", lambda: "ready" in clean.out("logs", "c1"))
    assert "/sbin/docker-init -- sh -c" in clean.out("top", "c1")
    # An orphan's parent is the first process; without it nothing would take its status.
    clean.docker("exec", "c1", "sh", "-c", "(sleep 0.01 &)")
    wait_for("no zombie", lambda: "Z" not in clean.out("exec", "c1", "ps", "-o", "stat"))
    clean.docker("stop", "c1")
    assert clean.inspect("c1")["State"]["ExitCode"] == 7
    assert clean.inspect("c1")["Path"] == "sh" and clean.inspect("c1")["HostConfig"]["Init"] is True
    assert clean.docker("run", "--rm", "--init", "busybox", "sh", "-c", "kill -9 $$", check=False).returncode == 137
    assert clean.docker("run", "--rm", "--init", "busybox", "nosuch", check=False).returncode == 127


# --- logs ---


def test_logs_are_rotated_without_a_loss(clean):
    clean.docker("run", "-d", "--name", "c1", "--log-opt", "max-size=20k", "--log-opt", "max-file=100", "busybox", "sh",
                 "-c", "for i in $(seq 1 4000); do echo line $i; [ $((i % 400)) = 0 ] && sleep 0.2; done; sleep 100")
    followed = clean.popen(clean.client, "-H", f"unix://{clean.socket}", "logs", "-f", "c1", stdout=subprocess.PIPE,
                           text=True)
    try:
        lines = [followed.stdout.readline() for _ in range(4000)]
    finally:
        followed.kill()
        followed.wait()
        followed.stdout.close()
    expected = [f"line {i}" for i in range(1, 4001)]
    assert [line.strip() for line in lines] == expected
    assert clean.out("logs", "c1").splitlines() == expected
    assert clean.out("logs", "--tail", "1500", "c1").splitlines() == expected[-1500:]
    log = clean.inspect("c1")["LogPath"]
    files = [name for name in os.listdir(os.path.dirname(log)) if os.path.basename(log) in name]
    assert len(files) > 2
    clean.docker("rm", "-f", "c1")


def test_the_oldest_of_a_log_goes(clean):
    clean.docker("run", "-d", "--name", "c1", "--log-opt", "max-size=2k", "--log-opt", "max-file=2", "busybox", "sh", "-c",
                 "i=0; while :; do i=$((i+1)); echo line $i; sleep 0.002; done")
    wait_for("the first line to go", lambda: clean.out("logs", "c1").splitlines()[0] != "line 1")
    clean.docker("stop", "-t", "0", "c1")
    numbers = [int(line.split()[1]) for line in clean.out("logs", "c1").splitlines()]
    assert numbers == list(range(numbers[0], numbers[-1] + 1))
    log = clean.inspect("c1")["LogPath"]
    assert sorted(name[len(os.path.basename(log)):] for name in os.listdir(os.path.dirname(log))
                  if name.startswith(os.path.basename(log))) in (["", ".1"], [".1"])


def test_log_options_are_checked(clean):
    for option, message in [("max-size=x", "invalid size: 'x'"), ("max-file=0", "max-file cannot be less than 1"),
                            ("nosuch=1", "unknown log opt 'nosuch' for json-file log driver")]:
        assert message in clean.docker("create", "--log-opt", option, "busybox", check=False).stderr


def test_logs_between_two_times_and_following_to_one(clean):
    clean.docker("run", "-d", "--name", "c1", "busybox", "sh", "-c",
                 "for i in 1 2 3 4; do echo line $i; sleep 0.05; done; sleep 100")
    wait_for("all lines", lambda: len(clean.out("logs", "c1").splitlines()) == 4)
    stamps = [line.split()[0] for line in clean.out("logs", "-t", "c1").splitlines()]
    assert clean.out("logs", "--since", stamps[1], "--until", stamps[2], "c1").splitlines() == ["line 2", "line 3"]
    assert clean.out("logs", "-f", "--until", stamps[2], "--tail", "3", "c1").splitlines() == ["line 2", "line 3"]


# --- options of run ---


def test_seccomp_profiles_device_rules_and_limits_of_devices(clean, tmp_path):
    profile = tmp_path / "profile.json"
    profile.write_text(json.dumps({
        "defaultAction": "SCMP_ACT_ALLOW", "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": []}],
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "excludes": {"caps": ["CAP_SYS_ADMIN"]}}]}))
    done = clean.docker("run", "--rm", "--security-opt", f"seccomp={profile}", "busybox", "mkdir", "/x", check=False)
    assert "Operation not permitted" in done.stderr
    clean.docker("run", "--rm", "--security-opt", f"seccomp={profile}", "--cap-add", "SYS_ADMIN", "busybox", "mkdir", "/x")
    script = "mknod /null2 c 1 3 && echo x > /null2 && mknod /other c 10 200 && cat /other"
    done = clean.docker("run", "--rm", "--device-cgroup-rule", "c 10:200 r", "busybox", "sh", "-c", script, check=False)
    assert "Operation not permitted" not in done.stderr
