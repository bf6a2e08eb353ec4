"""Uses the simulated Okta and Anypoint (`okta-anypoint simulate`) as their administrators do; for sam_local and deploy_local."""

import json
import urllib.error
import urllib.request

APP, ORGANIZATION = "0oaANYPOINT1demo", "0a0e51b0-0000-4000-8000-0000000000aa"
ADA, GRACE, KATHERINE, MALLORY = "00uADA0000000001", "00uGRACE00000002", "00uKATHERINE0003", "00uMALLORY000004"
INTEGRATORS, OPERATIONS = "00gINTEGRATORS1", "00gOPERATIONS02"
OKTA_TOKEN, CLIENT_ID, CLIENT_SECRET = "simulated-okta-token", "simulated-client", "simulated-secret"


class Wrong(Exception):
    """A check failed. The text says which."""


def http(method, url, body=None, headers=None):
    """One JSON request; the answer's JSON, or None. Fails on 4xx and 5xx."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"accept": "application/json", "content-type": "application/json", **(headers or {})}
    request = urllib.request.Request(url, data=data, method=method, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            text = response.read()
    except urllib.error.HTTPError as error:
        raise Wrong(f"{method} {url} was answered with {error.code}: {error.read().decode()[:300]}") from error
    return json.loads(text) if text else None


class Okta:
    """What an administrator does in Okta."""

    def __init__(self, base):
        self.base = base

    def call(self, method, path, body=None):
        return http(method, f"{self.base}/api/v1{path}", body, {"authorization": f"SSWS {OKTA_TOKEN}"})

    def lifecycle(self, user, verb):
        self.call("POST", f"/users/{user}/lifecycle/{verb}?sendEmail=false")

    def profile(self, user, **attributes):
        self.call("POST", f"/users/{user}", {"profile": attributes})

    def assign(self, user, username):
        self.call("POST", f"/apps/{APP}/users", {"id": user, "scope": "USER", "credentials": {"userName": username}})

    def unassign(self, user):
        self.call("DELETE", f"/apps/{APP}/users/{user}")

    def app_username(self, user, username):
        self.call("POST", f"/apps/{APP}/users/{user}", {"credentials": {"userName": username}})

    def assign_group(self, group):
        self.call("PUT", f"/apps/{APP}/groups/{group}", {})

    def unassign_group(self, group):
        self.call("DELETE", f"/apps/{APP}/groups/{group}")

    def join(self, group, user):
        self.call("PUT", f"/groups/{group}/users/{user}")

    def leave(self, group, user):
        self.call("DELETE", f"/groups/{group}/users/{user}")

    def rename_group(self, group, name):
        self.call("PUT", f"/groups/{group}", {"profile": {"name": name}})

    def delete_group(self, group):
        self.call("DELETE", f"/groups/{group}")

    def delete_user(self, user):
        self.call("DELETE", f"/users/{user}")


class Anypoint:
    """What an administrator sees, and does, in Anypoint."""

    def __init__(self, base):
        self.base = base
        self.token = None
        self.others = set()
        self.others = set(self.users())
        self.root_teams = {team["team_name"] for team in self.teams()}

    def call(self, method, path, body=None):
        if self.token is None:
            grant = {"grant_type": "client_credentials", "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
            self.token = http("POST", f"{self.base}/accounts/api/v2/oauth2/token", grant)["access_token"]
        return http(method, f"{self.base}/accounts/api{path}", body, {"authorization": f"bearer {self.token}"})

    def users(self):
        users = self.call("GET", f"/organizations/{ORGANIZATION}/users?limit=500&offset=0")["data"]
        return {user["username"]: user for user in users if user["username"] not in self.others}

    def teams(self):
        return self.call("GET", f"/organizations/{ORGANIZATION}/teams?limit=500&offset=0")["data"]

    def look(self):
        """Accounts and teams in the format of the story."""
        users = self.users()
        names = {user["id"]: name for name, user in users.items()}
        accounts = {name: f"{u['firstName']} {u['lastName']}" + ("" if u["enabled"] else ", disabled") for name, u in users.items()}
        teams = {}
        for team in self.teams():
            if team["team_name"] not in self.root_teams:
                path = f"/organizations/{ORGANIZATION}/teams/{team['team_id']}/members?limit=500&offset=0"
                members = self.call("GET", path)["data"]
                teams[team["team_name"]] = sorted(names.get(m["id"], m["id"]) for m in members)
        return accounts, teams

    def disable(self, username):
        self.call("PUT", f"/organizations/{ORGANIZATION}/users/{self.users()[username]['id']}", {"enabled": False})

    def rename_team(self, old, new):
        team = next(team["team_id"] for team in self.teams() if team["team_name"] == old)
        self.call("PATCH", f"/organizations/{ORGANIZATION}/teams/{team}", {"team_name": new})

    def add_user(self, username, first, last):
        user = {"username": username, "firstName": first, "lastName": last, "email": f"{first}.{last}@acme.example".lower(),
                "password": "Only4TheSample"}
        self.call("POST", f"/organizations/{ORGANIZATION}/users", user)
