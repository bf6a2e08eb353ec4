"""The fixed story with a program that is run once a call: command_lines.py okta-cli|anypoint-cli PROGRAM"""

import asyncio
import json
import os
import subprocess
import sys

from story import call, setting

CLIENT, PROGRAM = sys.argv[1:]


def run(*arguments):
    ran = subprocess.run([PROGRAM, *arguments], capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
    if ran.returncode != 0:
        raise RuntimeError((ran.stderr.strip() or ran.stdout.strip())[-300:])
    return ran.stdout


async def okta():
    app, me = setting("APP"), "ada.lovelace@acme.example"
    login = "line@acme.example"

    async def step(*arguments, check=None):
        return await call(" ".join(a if len(a) < 24 else a[:20] + "…" for a in arguments), lambda: run(*arguments), check)

    has = lambda text: lambda out: text in out
    items = lambda count: lambda out: len(json.loads(out)) == count
    await step("config", "new", "-n", "sim", "-u", setting("OKTA"), "-t", setting("TOKEN"))
    await step("config", "use-context", "sim")
    await step("users", "list", "--json", check=items(4))
    await step("users", "list", "-s", f'profile.login eq "{me}"', "--json", check=items(1))
    await step("users", "list", "-q", "Grace", "--json", check=items(1))
    await step("users", "get", me, "--json", check=has('"Lovelace"'))
    await step("users", "add", "-p", "login=added@acme.example", check=has("00u"))
    profile = {"login": login, "email": login, "firstName": "Line", "lastName": "Person"}
    body = json.dumps({"profile": profile, "credentials": {"password": {"value": "Example-Passw0rd"}}})
    await step("raw", "/users", "-X", "post", "-b", body, "--json", check=has('"ACTIVE"'))
    user = json.loads(run("users", "get", login, "--json"))
    user = (user[0] if isinstance(user, list) else user)["id"]
    await step("users", "update", user, "-s", "profile.lastName=Changed", check=has("Changed"))
    await step("groups", "add", "-n", "Line group", check=has("00g"))
    group = next(g["id"] for g in json.loads(run("groups", "list", "--json")) if g["profile"]["name"] == "Line group")
    await step("groups", "list", "--json", check=has("Line group"))
    await step("groups", "adduser", "-g", group, "-u", login)
    await step("groups", "users", group, "--json", check=items(1))
    await step("users", "groups", login, "--json", check=items(2))
    await step("groups", "apps", "Integrators", "--json", check=items(1))
    await step("groups", "removeuser", "-g", group, "-u", login)
    await step("apps", "list", "--json", check=items(1))
    await step("apps", "adduser", "-a", app, "-u", login, check=has(user))
    await step("apps", "users", app, "--json", check=items(2))
    await step("apps", "groups", app, "--json", check=items(1))
    await step("users", "apps", login, "--json")
    await step("apps", "removeuser", "-a", app, "-u", login)
    await step("users", "suspend", login)
    await step("eventhooks", "list", "--json", check=items(0))
    await step("raw", "/logs", "-q", "limit=100", "--json", check=has("user.lifecycle.create"))
    await step("users", "deactivate", login, "--no-confirmation")
    await step("users", "delete", user, "--no-confirmation")
    await step("groups", "delete", group)


async def anypoint():
    async def step(*arguments, check=None):
        return await call(" ".join(arguments), lambda: run(*arguments), check)

    has = lambda text: lambda out: text in out
    org = setting("ANYPOINT_ORG")
    await step("account:user:describe", check=has("owner@acme.example"))
    await step("account:business-group:list", check=has(org))
    await step("account:business-group:describe", org, check=has("Acme"))
    await step("account:environment:list", check=has("Sandbox"))
    await step("account:environment:describe", "Sandbox", check=has("Sandbox"))

    def refused():
        wrong = dict(os.environ, ANYPOINT_CLIENT_SECRET="wrong")
        ran = subprocess.run([PROGRAM, "account:business-group:list"], capture_output=True, text=True, timeout=60, env=wrong)
        return ran.returncode, ran.stdout + ran.stderr

    await call("a wrong secret", refused, lambda ran: ran[0] != 0)


asyncio.run({"okta-cli": okta, "anypoint-cli": anypoint}[CLIENT]())
