"""What every story of a Python client needs: its settings, and a line of JSON for each call."""

import inspect
import json
import os


def setting(name):
    return os.environ[name]


async def call(name, work, check=None):
    """Tries a call; `check` says whether it ended as in the recordings. Gives what the call gave, None if it failed."""
    try:
        given = work()
        if inspect.isawaitable(given):
            given = await given
        trouble = check(given) if check else None
        told = None if trouble in (None, True) else f"unexpected: {given!r:.300}"
    except Exception as error:  # every way to fail is a difference
        given, told = None, f"{type(error).__name__}: {error!s:.300}"
    print(json.dumps({"call": name, "trouble": told}), flush=True)
    return given
