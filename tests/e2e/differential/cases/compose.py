"""Point 9: docker-compose 1.29."""
from case import case

TWO = """
version: '3'
services:
  web:
    image: web
    depends_on: [db]
    ports: ["8100:80"]
  db:
    image: busybox
    command: sleep 60
    stop_grace_period: 0s
    volumes: [data:/data/db]
volumes:
  data:
"""


def project(on, text, **files):
    on.files({"docker-compose.yml": text, **files})
    on.environment["COMPOSE_PROJECT_NAME"] = "p"


def listed(on):
    on.docker("ps -a --format '{{.Names}} {{.Image}} {{.Command}} {{.Status}} {{.Ports}}'")


@case
def up_and_down(on):
    project(on, TWO)
    on.compose("up -d")
    on.compose("ps")
    listed(on)
    on.compose("up -d")
    on.compose("down")
    on.docker("volume ls -q")
    on.docker("network ls --format '{{.Name}}'")
    on.compose("down -v")


@case
def documents(on):
    project(on, TWO)
    on.compose("up --no-start")
    on.docker("inspect p_web_1")
    on.docker("network inspect p_default")
    on.docker("volume inspect p_data")


@case
def scale(on):
    project(on,
            "version: '3'\nservices:\n  app:\n    image: busybox\n    command: sleep 60\n    stop_grace_period: 0s\n")
    on.compose("up -d --scale app=2")
    on.compose("ps -q")
    on.compose("up -d --scale app=1")
    listed(on)
    on.compose("stop")
    on.compose("start")
    on.compose("rm -f")
    on.compose("rm -sf")


@case
def build_and_run(on):
    project(on, "version: '3'\nservices:\n  app:\n    build: .\n    image: mine\n",
            Dockerfile="FROM busybox\nCOPY f /f\nCMD cat /f\n",
            f="built\n")
    on.compose("build")
    on.compose("up -d")
    on.compose("run --rm app sh -c 'exit 3'")
    on.compose("images")


@case
def output_of_short_runs(on):
    project(on, "version: '3'\nservices:\n  app:\n    image: busybox\n    network_mode: none\n")
    for number in range(5):
        on.compose(f"run --rm -T app echo {number}")


@case
def logs_and_exec(on):
    project(on,
            "version: '3'\nservices:\n  app:\n    image: busybox\n    command: sh -c 'echo hello; sleep 60'\n    "
            "stop_grace_period: 0s\n")
    on.compose("up -d")
    on.until_logs("p_app_1", "hello")
    on.compose("logs --no-color")
    on.compose("exec -T app echo inside")
    on.compose("exec -T app sh -c 'exit 4'")
    on.compose("pause")
    on.compose("unpause")
    on.compose("kill")
    on.compose("restart -t 0")
    on.compose("port app 80")


@case
def networks_and_names(on):
    project(on,
            "version: '3.5'\nservices:\n  one:\n    image: web\n    networks:\n      front:\n        aliases: [alias]\n"
                "        ipv4_address: 10.88.0.9\n  two:\n    image: busybox\n    command: wget -qO- http://alias/\n "
                "   networks: [front]\n"
                "networks:\n  front:\n    name: front\n    ipam:\n      config:\n        - subnet: 10.88.0.0/24\n")
    on.compose("up -d one")
    on.docker("inspect -f '{{json .NetworkSettings.Networks}}' p_one_1")
    on.compose("run --rm two")
    on.compose("down")


@case
def errors(on):
    project(on, "version: '3'\nservices:\n  app:\n    image: nosuchimage\n")
    on.compose("up -d")
    project(on, "version: '3'\nservices:\n  app:\n    image: busybox\n    command: nosuch\n")
    on.compose("up -d")
    project(on,
            "version: '3'\nservices:\n  app:\n    image: busybox\n    command: 'true'\n    networks: "
            "[n]\nnetworks:\n  n:\n    external: true\n")
    on.compose("up -d")


@case
def exit_code_from(on):
    project(on, "version: '3'\nservices:\n  app:\n    image: busybox\n    command: sh -c 'exit 5'\n")
    on.compose("up --exit-code-from app")


@case
def health_conditions(on):
    project(on,
            "version: '2.4'\nservices:\n  db:\n    image: busybox\n    command: sleep 60\n    stop_grace_period: "
            "0s\n    healthcheck:\n"
                "      test: ['CMD', 'true']\n      interval: 200ms\n  app:\n    image: busybox\n    command: "
                "'true'\n    depends_on:\n"
                "      db:\n        condition: service_healthy\n")
    on.compose("up -d")
    on.compose("ps")


@case
def recreated_with_volumes(on):
    project(on,
            "version: '3'\nservices:\n  app:\n    image: web\n    command: sh -c 'echo x >>/data/log; cat "
            "/data/log'\n    volumes: [/data]\n")
    on.compose("up")
    project(on,
            "version: '3'\nservices:\n  app:\n    image: web\n    command: sh -c 'echo y >>/data/log; cat "
            "/data/log'\n    volumes: [/data]\n")
    on.compose("up")
    on.docker("volume ls -q")


@case
def limits_and_options(on):
    project(on,
            "version: '2.4'\nservices:\n  app:\n    image: busybox\n    command: 'true'\n    mem_limit: 64m\n    "
            "cpus: 0.5\n    cap_add: [SYS_TIME]\n"
                "    sysctls: {net.ipv4.ip_forward: 0}\n    ulimits: {nofile: 100}\n    tmpfs: [/t]\n    dns: "
                "[1.2.3.4]\n    extra_hosts: ['a:10.0.0.1']\n"
                "    read_only: true\n    init: true\n    restart: 'no'\n    logging: {driver: json-file, options: "
                "{max-size: 1m}}\n"
                "    labels: {a: b}\n    stop_signal: SIGINT\n    shm_size: 1m\n    pids_limit: 10\n    user: web\n  "
                "  working_dir: /tmp\n")
    on.compose("up --no-start")
    on.docker("inspect -f '{{json .Config}}' p_app_1")
    on.docker("inspect -f '{{json .HostConfig}}' p_app_1")
