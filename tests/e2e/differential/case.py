"""How a case is written: a function of a topic's module that drives one engine.

    @case(differs={"Driver": "why this stays different"})
    def volume_is_shown(on):
        on.docker("volume create v")

The function runs against dockerd and against engined at the same time, each with an `on` of its own (side.Side); what
it records on both is compared. `differs` gives, for differences that stay, a regular expression that is searched for in
the difference's line, and the reason. A reason without a difference fails the case too.
"""
import dataclasses
import importlib
import pathlib
import typing


@dataclasses.dataclass
class Case:
    name: str
    function: typing.Callable
    differs: dict


_cases = []


def case(function=None, *, differs=None):
    def add(function):
        topic = function.__module__.rsplit(".", 1)[-1]
        _cases.append(Case(f"{topic}-{function.__name__}", function, differs or {}))
        return function

    return add(function) if function else add


def all_cases():
    """Of every module in cases/, in their order there."""
    for path in sorted((pathlib.Path(__file__).parent / "cases").glob("*.py")):
        importlib.import_module(f"cases.{path.stem}")
    return list(_cases)
