"""What the engine says of itself."""
from case import case


def shape(value):
    return {key: shape(value[key]) for key in sorted(value)} if isinstance(value, dict) else type(value).__name__


@case
def version(on):
    on.api("GET", "/version", keep=shape)
    on.docker("version --format '{{.Server.APIVersion}} {{.Server.Os}} {{.Server.Arch}} "
              "{{.Server.Experimental}}'")


@case
def information(on):
    on.api("GET", "/info", keep=lambda body: shape({key: body[key] for key in body if key != "Runtimes"}))
    on.docker("info --format '{{.Driver}} {{.CgroupDriver}} {{.CgroupVersion}} {{.OSType}} {{.Architecture}} "
              "{{.NCPU}} {{.MemTotal}} "
              "{{.Swarm.LocalNodeState}} {{.LoggingDriver}} {{.IndexServerAddress}} "
              "{{.ExperimentalBuild}}'")
    on.docker("info --format '{{.MemoryLimit}} {{.SwapLimit}} {{.CpuCfsQuota}} {{.CPUShares}} {{.CPUSet}} "
              "{{.PidsLimit}} {{.IPv4Forwarding}} "
              "{{.BridgeNfIptables}} {{.OomKillDisable}} {{.LiveRestoreEnabled}} {{json .Warnings}}'")


@case
def counts(on):
    on.prepare("run -d --name r1 busybox sleep 60", "run -d --name p1 busybox sleep 60", "pause p1",
               "create --name c1 busybox")
    on.docker("info --format '{{.Containers}} {{.ContainersRunning}} {{.ContainersPaused}} {{.ContainersStopped}} "
              "{{.Images}}'")


@case
def swarm_and_plugins(on):
    on.docker("node ls")
    on.docker("service ls")
    on.docker("stack ls")
    on.docker("plugin ls")
    on.docker("secret ls")
