"""docker-compose 1.29 against engined: the tutorial's three compose files, with small programs in the place of Node.js,
MongoDB and nginx: an application that reads from its database, and a balancer before three of it."""
import json
import os
import re
import shutil
import subprocess

import pytest
from engine_host import wait_for

COMPOSE = "/usr/bin/docker-compose"
pytestmark = pytest.mark.skipif(not os.path.exists(COMPOSE), reason="docker-compose is not installed")

DOCKERFILE = """
FROM busybox
COPY serve.sh /
EXPOSE 3000
CMD ["sh", "/serve.sh"]
"""

# Shows what the database says and which container this is.
SERVE = """
mkdir -p /www/cgi-bin
cat >/www/cgi-bin/page <<'PAGE'
#!/bin/sh
printf 'Content-Type: text/plain\\r\\n\\r\\n'
wget -qO- "$DATABASE_URL/todos"
echo "Running on host $(hostname)"
PAGE
chmod +x /www/cgi-bin/page
echo "listening on 3000"
exec httpd -f -p 3000 -h /www
"""

# nginx's `upstream` in a line: each connection goes to the next of three names.
BALANCER = """
n=$(cat /tmp/n 2>/dev/null || echo 0)
echo $(((n + 1) % 3)) >/tmp/n
exec nc todo_app_$((n + 1)) 3000
"""

APP = """
  app:
    image: todo
    build:
      context: .
      dockerfile: Dockerfile
    depends_on:
      - db
    environment:
      DATABASE_URL: "http://db:27017"
"""

DATABASE = """
  db:
    image: busybox
    command: sh -c "echo 'buy milk' >>/data/db/todos; exec httpd -f -p 27017 -h /data/db"
    volumes:
      - data:/data/db
"""

FIRST = f"""
version: '3'
services:
{APP}
    ports:
      - "3000:3000"
{DATABASE}
volumes:
  data:
"""

RESTARTING = FIRST.replace("    ports:", "    restart: always\n    ports:").replace(
    "    image: busybox", "    image: busybox\n    restart: always")

SCALED = f"""
version: '3'
services:
{APP}
    restart: always
{DATABASE}
    restart: always
  lb:
    image: busybox
    command: nc -ll -p 80 -e sh /balancer.sh
    depends_on:
      - app
    ports:
      - "3000:80"
    restart: always
    volumes:
      - ./balancer.sh:/balancer.sh:ro
volumes:
  data:
"""


class Project:
    def __init__(self, engine, folder):
        self.engine = engine
        self.folder = folder / "todo"
        self.folder.mkdir()
        for name, text in (("Dockerfile", DOCKERFILE), ("serve.sh", SERVE), ("balancer.sh", BALANCER)):
            (self.folder / name).write_text(text)

    def compose(self, *arguments, check=True, timeout=120):
        """What both streams said, without colours and carriage control."""
        environment = dict(os.environ, DOCKER_HOST=f"unix://{self.engine.socket}", COMPOSE_INTERACTIVE_NO_CLI="1",
                           DOCKER_BUILDKIT="0", DOCKER_CONFIG=str(self.engine.folder / "client"))
        done = subprocess.run([COMPOSE, *arguments], cwd=self.folder, env=environment, capture_output=True, text=True,
                              timeout=timeout)
        said = re.sub(r"\x1b\[[0-9;]*[A-Za-z]|\r", "", done.stdout + done.stderr)
        assert not check or done.returncode == 0, f"docker-compose {arguments} -> {done.returncode}\n{said}"
        return said

    def write(self, text):
        (self.folder / "docker-compose.yml").write_text(text)

    def page(self):
        return self.engine.run("curl", "-s", "-m", "5", "http://127.0.0.1:3000/cgi-bin/page", check=False).stdout


@pytest.fixture
def project(clean, tmp_path):
    project = Project(clean, tmp_path)
    yield project
    project.compose("down", "-v", "--remove-orphans", "-t", "0", check=False)
    shutil.rmtree(project.folder)


def test_the_tutorials_first_file_from_up_to_down(project, clean):
    project.write(FIRST)
    said = project.compose("up", "--build", "-d")
    for line in ('Creating network "todo_default" with the default driver', 'Creating volume "todo_data" with default driver',
                 "Building app", "Successfully tagged todo:latest", "Creating todo_db_1", "Creating todo_app_1"):
        assert line in said, said
    wait_for("the page", lambda: project.page().startswith("buy milk\nRunning on host "))
    assert clean.out("volume", "ls", "-q") == "todo_data"
    assert "todo_default" in clean.out("network", "ls", "--format", "{{.Name}}").split()
    shown = project.compose("ps")
    assert re.search(r"todo_app_1\s+sh /serve.sh\s+Up\s+0\.0\.0\.0:3000->3000/tcp", shown), shown
    assert re.search(r"todo_db_1\s.*\sUp\b", shown), shown
    assert re.search(r"app_1\s+\| listening on 3000", project.compose("logs", "app"))
    stopped = project.compose("stop", "-t", "0")
    assert "Stopping todo_app_1 ... done" in stopped
    removed = project.compose("rm", "-f")
    assert "Going to remove todo_app_1, todo_db_1" in removed and "Removing todo_db_1  ... done" in removed
    assert clean.out("volume", "ls", "-q") == "todo_data"
    # The data outlives the containers.
    project.compose("up", "-d")
    wait_for("the page", lambda: project.page().startswith("buy milk\nbuy milk\nRunning on host "))
    down = project.compose("down", "-t", "0")
    assert "Removing network todo_default" in down
    assert clean.out("ps", "-aq") == ""
    assert "todo_default" not in clean.out("network", "ls", "--format", "{{.Name}}").split()


def test_a_change_recreates_only_what_it_touches(project, clean):
    project.write(RESTARTING)
    project.compose("up", "--build", "-d")
    before = {name: clean.inspect(f"todo_{name}_1")["Id"] for name in ("app", "db")}
    assert clean.inspect("todo_app_1")["HostConfig"]["RestartPolicy"]["Name"] == "always"
    assert "todo_app_1 is up-to-date" in project.compose("up", "--build", "-d")
    (project.folder / "serve.sh").write_text(SERVE.replace("Running on", "Now on"))
    assert "Recreating todo_app_1" in project.compose("up", "--build", "-d", "-t", "0")
    after = {name: clean.inspect(f"todo_{name}_1")["Id"] for name in ("app", "db")}
    assert before["db"] == after["db"] and before["app"] != after["app"]
    wait_for("the page", lambda: "Now on host " in project.page())
    # `restart: always`: a process that dies comes back.
    process = clean.inspect("todo_db_1")["State"]["Pid"]
    os.kill(process, 9)
    wait_for("the database", lambda: clean.inspect("todo_db_1")["State"]["Pid"] not in (0, process))
    wait_for("the page", lambda: "Now on host " in project.page())


def test_a_balancer_before_three_applications(project, clean):
    project.write(SCALED)
    said = project.compose("up", "--build", "-d", "--scale", "app=3")
    for name in ("db_1", "app_1", "app_2", "app_3", "lb_1"):
        assert f"Creating todo_{name}" in said, said
    wait_for("three hosts", lambda: len({project.page() for _ in range(6)} - {""}) == 3)
    shown = project.compose("ps")
    assert len(re.findall(r"^todo_app_\d\s+sh /serve.sh\s+Up\s+3000/tcp", shown, re.M)) == 3, shown
    assert re.search(r"todo_lb_1\s.*0\.0\.0\.0:3000->80/tcp", shown), shown
    project.compose("up", "-d", "--scale", "app=1", "-t", "0")
    assert len(clean.out("ps", "-q", "--filter", "label=com.docker.compose.service=app").split()) == 1
    clean.kill()
    clean.start()
    assert "todo_lb_1" in project.compose("ps")
    labels = json.loads(clean.out("network", "inspect", "todo_default"))[0]["Labels"]
    assert labels["com.docker.compose.project"] == "todo"
