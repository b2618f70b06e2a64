"""What of an outcome is not compared: the written list. Everything else has to be equal."""
import re

# Text -> what stands for it. Identities are numbered in the order in which they appear, so that the same identity has
# to appear in the same places.
TEXTS = [
    # Times, ages, durations.
    (r"\b(?!0001)\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", "<time>"),
    (r"\b(?!0001)\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?( [+-]\d{4})?( [A-Z]{3,4})?\b", "<time>"),
    (r"(Less than|About) an? (second|minute|hour)( ago)?", r"<duration>\3"),
    (r"\b\d+ (second|minute|hour|day|week|month|year)s?( ago)?\b", r"<duration>\2"),
    # The padding of columns follows the width of what is in them.
    (r" {2,}", "  "),
    # What the resolver says without a network: Go's words there, the C library's here.
    (r"lookup ([\w.-]+)(?: on [\d.:]+)?: (?:dial udp [^\n\"']*|no such host)", r"lookup \1: <no answer>"),
    # Numbers of interfaces, of temporary files; sizes of manifests, whose blanks differ.
    (r"(?m)^\d+: (?=\w+  )", "<n>: "),
    (r"docker-import-\d+", "docker-import-<n>"),
    (r"(digest: \S+) size: \d+", r"\1 size: <size>"),
    (r"(build context to Docker daemon) +\S+", r"\1 <size>"),
    # Subnets that the engine chose, and what follows from them: dockerd goes on through its pools, engined takes the
    # first that is free.
    (r"\b(172\.(1[89]|2\d|3[01])\.\d+|192\.168\.\d+)\.(\d+)(/(16|20))?\b", r"<subnet>.\3"),
    (r"\b02:42:(ac:1[2-9a-f]|c0:a8):\w\w:", "02:42:<subnet>:"),
    # In how many pieces red output came.
    (r"\x1b\[0m\x1b\[91m", ""),
    # Ports that the engine chose.
    (r"((?:\d+\.\d+\.\d+\.\d+|:|\[::\]):)(3[2-9]\d{3}|[456]\d{4})\b", r"\1<port>"),
]

# Members of documents, wherever they are.
MEMBERS = {
    # Times.
    "Created": "<time>", "CreatedAt": "<time>", "StartedAt": "<time>", "FinishedAt": "<time>", "time": "<time>",
    "timeNano": "<time>", "LastTagTime": "<time>", "Start": "<time>", "End": "<time>", "read": "<time>",
    "preread": "<time>",
    # Numbers of processes.
    "Pid": "<pid>",
    # How layers lie on disk: driver and folders.
    "GraphDriver": "<graph driver>",
    "SystemTime": "<time>",
    # The runtime's name, the engine's version.
    "Runtime": "<runtime>", "DockerVersion": "<version>",
}
# Zero values are compared: they say "never".
ZERO = (0, "", "0001-01-01T00:00:00Z")

# Lists whose order dockerd leaves to chance.
UNORDERED = {"Mounts", "RepoTags", "RepoDigests", "Containers", "Volumes", "Networks", "Images", "Aliases"}

IDENTITY = re.compile(r"\b(?:[0-9a-f]{64}|[0-9a-f]{25}|[0-9a-f]{12})\b")


class Normaliser:
    """For one side of one case. `places`: this machine's paths and names -> what stands for them."""

    def __init__(self, places):
        self.places = places
        self.identities = {}

    def text(self, text):
        for place, name in self.places.items():
            text = text.replace(place, name)
        text = IDENTITY.sub(self.identity, text)
        for pattern, replacement in TEXTS:
            text = re.sub(pattern, replacement, text)
        return text

    def identity(self, match):
        short = match.group()[:12]
        number = self.identities.setdefault(short, len(self.identities) + 1)
        return f"<{'id' if len(match.group()) == 12 else 'ID'}:{number}>"

    def value(self, value, name=None):
        if name in MEMBERS and value not in ZERO and value is not None:
            return MEMBERS[name]
        if name == "HostPort" and re.fullmatch(r"3[2-9]\d{3}|[456]\d{4}", str(value)):
            return "<port>"
        if name == "IPPrefixLen" and value in (16, 20):
            return "<prefix>"
        if isinstance(value, dict):
            return {self.text(key): self.value(value[key], key) for key in sorted(value)}
        if isinstance(value, list):
            if name in UNORDERED:
                value = sorted(value, key=order)
            return [self.value(item) for item in value]
        return self.text(value) if isinstance(value, str) else value


def order(item):
    """By what is the same on both sides."""
    if isinstance(item, dict):
        return str(item.get("Destination") or item.get("Name") or item.get("Names") or sorted(item))
    return IDENTITY.sub("<id>", str(item))


def differences(ours, theirs, path=""):
    """Lines `PATH: dockerd X, engined Y` for all places where two normalised values differ."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        lines = []
        for key in sorted(ours.keys() | theirs.keys()):
            at = f"{path}.{key}"
            if key not in ours:
                lines.append(f"{at}: dockerd {theirs[key]!r}, engined lacks it")
            elif key not in theirs:
                lines.append(f"{at}: dockerd lacks it, engined {ours[key]!r}")
            else:
                lines += differences(ours[key], theirs[key], at)
        return lines
    if isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        return [line for number, pair in enumerate(zip(ours, theirs))
                for line in differences(*pair, f"{path}[{number}]")]
    if type(ours) is type(theirs) and ours == theirs:
        return []
    return [f"{path}: dockerd {theirs!r}, engined {ours!r}"]
