"""The fixed story with okta 3 from PyPI."""

import asyncio

from okta.client import Client
from okta.models import (
    AddGroupRequest,
    AppUserAssignRequest,
    AppUserCredentialsRequestPayload,
    AppUserUpdateRequest,
    CreateUserRequest,
    EventHook,
    UpdateUserRequest,
)
from okta.pagination import PaginationHelper

from story import call, setting

APP = setting("APP")


def given(answer):
    """What an answer holds; raises the error it holds."""
    found, _, error = answer
    if error is not None:
        raise RuntimeError(error)
    return found


def failed_with(answer, code):
    return answer[2] is not None and code in str(answer[2])


async def story(how, client):
    async def step(name, work, check=None):
        async def unpacked():
            return given(await work())

        return await call(f"{how}: {name}", unpacked, check)

    me = "ada.lovelace@acme.example"
    await step("get_org_settings", client.get_org_settings, lambda org: org.id.startswith("00o"))
    await step("get_user by login", lambda: client.get_user(me), lambda user: user.profile.login == me)
    await call(f"{how}: get_user, nobody", lambda: client.get_user("00uNOBODY"), lambda a: failed_with(a, "E0000007"))
    login = f"new.{how}@acme.example".replace(" ", "_")
    profile = {"firstName": "New", "lastName": "Person", "email": login, "login": login}
    new = CreateUserRequest.from_dict({"profile": profile, "credentials": {"password": {"value": "Example-Passw0rd"}}})
    user = await step("create_user", lambda: client.create_user(new), lambda user: user.id.startswith("00u"))
    again = lambda: client.create_user(new)
    await call(f"{how}: create_user again", again, lambda a: failed_with(a, "E0000001"))
    change = UpdateUserRequest.from_dict({"profile": {"lastName": "Changed"}})
    await step("update_user", lambda: client.update_user(user.id, change), lambda user: user.profile.last_name == "Changed")

    async def all_pages(ask):
        count, after = 0, None
        while True:
            items, answer, error = await ask(after)
            if error:
                raise RuntimeError(error)
            count += len(items)
            # The SDK's own helper looks at one Link header; Okta sends two, and the client hands out both.
            links = [link for name, link in answer.headers.items() if name.lower() == "link"]
            after = PaginationHelper.extract_next_cursor({"link": ", ".join(links)})
            if after is None:
                return count

    pages = lambda: all_pages(lambda after: client.list_users(limit=2, after=after))
    await call(f"{how}: list_users, page by page", pages, lambda count: count >= 4)
    await step("list_users, search", lambda: client.list_users(search=f'profile.login eq "{login}"'), lambda users: len(users) == 1)
    name = f"Group {how}"
    group = await step("add_group", lambda: client.add_group(AddGroupRequest.from_dict({"profile": {"name": name}})), lambda group: group.id.startswith("00g"))
    await step("list_groups, q", lambda: client.list_groups(q=name), lambda groups: len(groups) == 1)
    await step("assign_user_to_group", lambda: client.assign_user_to_group(group.id, user.id))
    await step("list_group_users", lambda: client.list_group_users(group.id), lambda users: len(users) == 1)
    await step("list_user_groups", lambda: client.list_user_groups(user.id), lambda groups: len(groups) == 2)
    await step("get_application", lambda: client.get_application(APP), lambda app: app.id == APP)
    await step("list_applications", client.list_applications, lambda apps: len(apps) == 1)
    assign = AppUserAssignRequest.from_dict({"id": user.id, "scope": "USER", "credentials": {"userName": "new_person"}})
    await step("assign_user_to_application", lambda: client.assign_user_to_application(APP, assign), lambda u: u.id == user.id)
    await step("get_application_user", lambda: client.get_application_user(APP, user.id), lambda u: u.credentials.user_name == "new_person")
    other = AppUserUpdateRequest(AppUserCredentialsRequestPayload.from_dict({"credentials": {"userName": "new_person_2"}}))
    await step("update_application_user", lambda: client.update_application_user(APP, user.id, other), lambda u: u.credentials.user_name == "new_person_2")
    await step("list_application_users", lambda: client.list_application_users(APP, limit=500), lambda users: len(users) >= 2)
    await step("unassign_user_from_application", lambda: client.unassign_user_from_application(APP, user.id))
    await step("assign_group_to_application", lambda: client.assign_group_to_application(APP, group.id))
    await step("list_application_group_assignments", lambda: client.list_application_group_assignments(APP), lambda groups: len(groups) == 2)
    await step("get_application_group_assignment", lambda: client.get_application_group_assignment(APP, group.id), lambda g: g.id == group.id)
    await step("list_assigned_applications_for_group", lambda: client.list_assigned_applications_for_group(group.id), lambda apps: len(apps) == 1)
    await step("unassign_application_from_group", lambda: client.unassign_application_from_group(APP, group.id))
    await step("unassign_user_from_group", lambda: client.unassign_user_from_group(group.id, user.id))
    await step("delete_group", lambda: client.delete_group(group.id))
    await step("suspend_user", lambda: client.suspend_user(user.id))
    await step("unsuspend_user", lambda: client.unsuspend_user(user.id))
    await step("deactivate_user", lambda: client.deactivate_user(user.id))
    await step("delete_user", lambda: client.delete_user(user.id))
    await step("list_log_events", lambda: client.list_log_events(filter=f'target.id eq "{user.id}"', limit=1000), lambda log: len(log) >= 8)

    log_pages = lambda: all_pages(lambda after: client.list_log_events(limit=5, until="2100-01-01T00:00:00Z", after=after))
    await call(f"{how}: list_log_events, page by page", log_pages, lambda count: count >= 8)
    hook = EventHook.from_dict(
        {
            "name": f"Hook {how}",
            "events": {"type": "EVENT_TYPE", "items": ["user.lifecycle.create", "device.lifecycle.activate"]},
            "channel": {
                "type": "HTTP",
                "version": "1.0.0",
                "config": {"uri": setting("HOOK"), "authScheme": {"type": "HEADER", "key": "authorization", "value": "x"}},
            },
        }
    )
    made = await step("create_event_hook", lambda: client.create_event_hook(hook), lambda hook: hook.status == "ACTIVE")
    await step("verify_event_hook", lambda: client.verify_event_hook(made.id), lambda hook: hook.verification_status == "VERIFIED")
    await step("list_event_hooks", client.list_event_hooks, lambda hooks: len(hooks) >= 1)
    await step("deactivate_event_hook", lambda: client.deactivate_event_hook(made.id), lambda hook: hook.status == "INACTIVE")
    await step("delete_event_hook", lambda: client.delete_event_hook(made.id))
    await call(f"{how}: get_event_hook, gone", lambda: client.get_event_hook(made.id), lambda a: failed_with(a, "(Webhook)"))


SCOPES = [f"okta.{what}.{how}" for what in ("users", "groups", "apps", "eventHooks") for how in ("read", "manage")] + ["okta.logs.read", "okta.orgs.read"]


async def run():
    common = {"orgUrl": setting("OKTA"), "rateLimit": {"maxRetries": 1}}
    key = {"authorizationMode": "PrivateKey", "privateKey": setting("KEY"), "scopes": SCOPES}
    await story("SSWS", Client({**common, "token": setting("TOKEN")}))
    await story("private_key_jwt", Client({**common, **key, "clientId": setting("CLIENT")}))
    await story("DPoP", Client({**common, **key, "clientId": setting("DPOP_CLIENT"), "dpopEnabled": True}))
    bad = Client({**common, "token": "not-a-token"})
    await call("a wrong token", lambda: bad.list_users(), lambda answer: failed_with(answer, "E0000011"))


asyncio.run(run())
