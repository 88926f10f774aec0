"""What a client's module is made of: functions whose names are claims."""

import inspect


class Skipped(Exception):
    """A claim that cannot be tried here, and why."""


def claim(function):
    function.is_claim = True
    return function


def claims(module):
    found = [f for _, f in inspect.getmembers(module, inspect.isfunction)
             if getattr(f, "is_claim", False)]
    return sorted(found, key=lambda function: function.__code__.co_firstlineno)


def same(seen, expected, what=""):
    """Fails with both when they differ."""
    if seen != expected:
        raise AssertionError(f"{what} seen {seen!r}\nexpected {expected!r}")


def holds(condition, what):
    """Fails with `what` when the condition does not hold."""
    if not condition:
        raise AssertionError(what)
