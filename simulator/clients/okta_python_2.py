"""The fixed story with okta 2 from PyPI, whose models differ and which sends token parameters in the query."""

import asyncio

from okta.client import Client

from story import call, setting

APP = setting("APP")


def given(answer):
    """What an answer holds; raises the error it holds."""
    if answer[-1] is not None:
        raise RuntimeError(answer[-1])
    return answer[0]


def failed_with(answer, code):
    return answer[-1] is not None and code in str(answer[-1])


async def story(how, client):
    async def step(name, work, check=None):
        async def unpacked():
            return given(await work())

        return await call(f"{how}: {name}", unpacked, check)

    async def all_pages(query, ask):
        items, answer, error = await ask(query)
        count = len(items or [])
        while error is None and answer.has_next():
            items, error = await answer.next()
            count += len(items or [])
        if error:
            raise RuntimeError(error)
        return count

    me = "ada.lovelace@acme.example"
    await step("get_user by login", lambda: client.get_user(me), lambda user: user.profile.login == me)
    await call(f"{how}: get_user, nobody", lambda: client.get_user("00uNOBODY"), lambda a: failed_with(a, "E0000007"))
    login = f"old.{how}@acme.example"
    profile = {"firstName": "Old", "lastName": "Person", "email": login, "login": login}
    new = {"profile": profile, "credentials": {"password": {"value": "Example-Passw0rd"}}}
    user = await step("create_user", lambda: client.create_user(new), lambda user: user.id.startswith("00u"))
    change = {"profile": {"lastName": "Changed"}}
    await step("partial_update_user", lambda: client.partial_update_user(user.id, change), lambda user: user.profile.last_name == "Changed")
    await call(f"{how}: list_users, page by page", lambda: all_pages({"limit": "2"}, client.list_users), lambda count: count >= 4)
    group = await step("create_group", lambda: client.create_group({"profile": {"name": f"Old group {how}"}}), lambda group: group.id.startswith("00g"))
    await step("list_groups", lambda: client.list_groups({"q": f"Old group {how}"}), lambda groups: len(groups) == 1)
    await step("add_user_to_group", lambda: client.add_user_to_group(group.id, user.id))
    await step("list_group_users", lambda: client.list_group_users(group.id), lambda users: len(users) == 1)
    await step("list_user_groups", lambda: client.list_user_groups(user.id), lambda groups: len(groups) == 2)
    await step("list_applications", client.list_applications, lambda apps: len(apps) == 1)
    assign = {"id": user.id, "scope": "USER", "credentials": {"userName": "old_person"}}
    await step("assign_user_to_application", lambda: client.assign_user_to_application(APP, assign), lambda u: u.id == user.id)
    await step("get_application_user", lambda: client.get_application_user(APP, user.id), lambda u: u.credentials.user_name == "old_person")
    await step("list_application_users", lambda: client.list_application_users(APP), lambda users: len(users) >= 2)
    await step("delete_application_user", lambda: client.delete_application_user(APP, user.id))
    await step("create_application_group_assignment", lambda: client.create_application_group_assignment(APP, group.id, {}), lambda g: g.id == group.id)
    await step("list_application_group_assignments", lambda: client.list_application_group_assignments(APP), lambda groups: len(groups) == 2)
    await step("list_assigned_applications_for_group", lambda: client.list_assigned_applications_for_group(group.id), lambda apps: len(apps) == 1)
    await step("delete_application_group_assignment", lambda: client.delete_application_group_assignment(APP, group.id))
    await step("remove_user_from_group", lambda: client.remove_user_from_group(group.id, user.id))
    await step("delete_group", lambda: client.delete_group(group.id))
    await step("suspend_user", lambda: client.suspend_user(user.id))
    await step("unsuspend_user", lambda: client.unsuspend_user(user.id))
    await step("deactivate_user", lambda: client.deactivate_user(user.id))
    await step("deactivate_or_delete_user", lambda: client.deactivate_or_delete_user(user.id))
    until = {"limit": "5", "until": "2100-01-01T00:00:00Z"}
    await call(f"{how}: get_logs, page by page", lambda: all_pages(until, client.get_logs), lambda count: count >= 8)
    hook = {
        "name": f"Old hook {how}",
        "events": {"type": "EVENT_TYPE", "items": ["user.lifecycle.create"]},
        "channel": {
            "type": "HTTP",
            "version": "1.0.0",
            "config": {"uri": setting("HOOK"), "authScheme": {"type": "HEADER", "key": "authorization", "value": "x"}},
        },
    }
    made = await step("create_event_hook", lambda: client.create_event_hook(hook), lambda hook: hook.status == "ACTIVE")
    await step("verify_event_hook", lambda: client.verify_event_hook(made.id), lambda hook: hook.verification_status == "VERIFIED")
    await step("deactivate_event_hook", lambda: client.deactivate_event_hook(made.id), lambda hook: hook.status == "INACTIVE")
    await step("delete_event_hook", lambda: client.delete_event_hook(made.id))


async def run():
    common = {"orgUrl": setting("OKTA"), "rateLimit": {"maxRetries": 1}}
    scopes = [f"okta.{what}.{how}" for what in ("users", "groups", "apps", "eventHooks") for how in ("read", "manage")]
    key = {"authorizationMode": "PrivateKey", "privateKey": setting("KEY"), "scopes": [*scopes, "okta.logs.read"]}
    await story("SSWS", Client({**common, "token": setting("TOKEN")}))
    await story("private_key_jwt", Client({**common, **key, "clientId": setting("CLIENT")}))


asyncio.run(run())
