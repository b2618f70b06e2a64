"""The real dockerd beside ours, in a private host of its own: what is compared is run on both."""
import json
import pathlib
import shutil
import subprocess

from engine_host import REGISTRY_PORT, EngineHost, wait_for


class DockerdHost(EngineHost):
    def start(self):
        config = self.folder / "daemon.json"
        config.write_text(json.dumps({"registry-mirrors": [f"http://127.0.0.1:{REGISTRY_PORT}"]}))
        with open(self.log, "ab") as log:
            self.engine = self.popen(
                "dockerd", "-H", f"unix://{self.socket}", "--data-root", self.folder / "data", "--exec-root",
                self.folder / "exec", "--pidfile", self.folder / "pid", "--config-file", config, *self.flags,
                stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        wait_for("dockerd's answer", self.answers, seconds=60)


def is_installed():
    return pathlib.Path("/usr/sbin/dockerd").exists() or shutil.which("dockerd") is not None
