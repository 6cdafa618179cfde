"""Resource Manager beside Batch AI: login, subscriptions, providers, groups, lists of resources, accounts."""

import base64
import json
import os
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from typing import Any

import pytest

from harness.service import Service

pytestmark = pytest.mark.documented
TENANT = "22222222-3333-4444-5555-666666666666"
VERSION = "?api-version=2024-11-01"
ARM = "https://management.azure.com"


class Cloud:
    """What a client of the local cloud sees: the service over TLS, by its loopback name."""

    def __init__(self, service: Service) -> None:
        self.service = service
        facts = service.request("POST", "/_local/front", {})[2]
        self.url = facts["endpoint"]
        self._context = ssl.create_default_context(cafile=facts["certificate"])
        self.subscription = f"/subscriptions/{service.info['subscription']}"
        self.token = self.log_in()["access_token"]

    def log_in(self, scope: str = f"{ARM}/.default", **more: str) -> dict[str, Any]:
        form = {"grant_type": "client_credentials", "client_id": "me", "client_secret": "any", "scope": scope, **more}
        return self.call("POST", f"/{TENANT}/oauth2/v2.0/token", form=form, token="")[2]

    def call(
        self, method: str, path: str, body: Any = None, form: Any = None, token: str | None = None, host: str = ""
    ) -> tuple[int, Any, Any]:
        data = urllib.parse.urlencode(form).encode() if form else None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, method=method)
        if host:
            request.add_header("Host", host)
        token = self.token if token is None else token
        if token:
            request.add_header("Authorization", f"Bearer {token}")
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=self._context)
        )
        try:
            with opener.open(request, timeout=30) as response:
                status, headers, text = response.status, response.headers, response.read()
        except urllib.error.HTTPError as exc:
            with exc:
                status, headers, text = exc.code, exc.headers, exc.read()
        return status, headers, json.loads(text) if text else None

    def arm(self, method: str, path: str, body: Any = None, query: str = "") -> tuple[int, Any, Any]:
        return self.call(method, f"{self.subscription}{path}{VERSION}{query}", body)


@pytest.fixture(scope="module")
def cloud(service: Service) -> Cloud:
    return Cloud(service)


@pytest.fixture
def group(cloud: Cloud) -> str:
    path = f"/resourcegroups/g{uuid.uuid4().hex[:8]}"
    assert cloud.arm("PUT", path, {"location": "eastus"})[0] == 201
    return path


def account_name() -> str:
    return f"a{uuid.uuid4().hex[:12]}"


# What the cloud consists of, and the login


def test_the_cloud_is_described_as_the_client_names_it(cloud: Cloud) -> None:
    status, _, found = cloud.call("GET", "/metadata/endpoints?api-version=2022-09-01", token="")
    assert status == 200
    assert found["resourceManager"] == found["authentication"]["loginEndpoint"] == cloud.url
    host = "management.batchai.localhost"
    by_name = cloud.call("GET", "/metadata/endpoints?api-version=2022-09-01", token="", host=host)[2]
    assert by_name["resourceManager"] == f"https://{host}"
    assert by_name["authentication"]["loginEndpoint"] == "https://login.batchai.localhost"
    assert by_name["suffixes"]["storage"] == "core.localhost"


def test_before_2022_the_description_is_a_list(cloud: Cloud) -> None:
    [found] = cloud.call("GET", "/metadata/endpoints?api-version=2019-05-01", token="")[2]
    assert found["name"] == "BatchAILocal"


def test_a_foreign_host_name_gets_into_no_url(cloud: Cloud) -> None:
    for host in ("evil.example", "evil.example#localhost", "localhost:1@evil.example"):
        assert "evil" not in json.dumps(cloud.call("GET", "/metadata/endpoints", token="", host=host)[2])


def test_where_to_log_in(cloud: Cloud) -> None:
    status, _, found = cloud.call("GET", f"/{TENANT}/v2.0/.well-known/openid-configuration", token="")
    assert (status, found["token_endpoint"]) == (200, f"{cloud.url}/{TENANT}/oauth2/v2.0/token")


def test_a_service_principal_with_any_secret_gets_a_token(cloud: Cloud) -> None:
    answer = cloud.log_in(client_secret="whatever")
    assert answer["token_type"] == "Bearer"
    status, _, found = cloud.call("GET", f"/subscriptions{VERSION}", token=answer["access_token"])
    assert [item["subscriptionId"] for item in found["value"]] == [cloud.service.info["subscription"]], status


def test_the_older_login_names_a_resource(cloud: Cloud) -> None:
    form = {"grant_type": "client_credentials", "client_id": "me", "client_secret": "x", "resource": f"{ARM}/"}
    status, _, answer = cloud.call("POST", f"/{TENANT}/oauth2/token", form=form, token="")
    assert status == 200
    assert cloud.call("GET", f"/subscriptions{VERSION}", token=answer["access_token"])[0] == 200


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"client_secret": ""}, "invalid_client"),
        ({"scope": ""}, "invalid_scope"),
    ],
)
def test_other_logins_are_refused(cloud: Cloud, change: dict[str, str], error: str) -> None:
    answer = cloud.log_in(**change)
    assert answer["error"] == error
    assert answer["error_description"]


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be somebody else")
def test_another_user_gets_no_token(cloud: Cloud) -> None:
    body = "grant_type=client_credentials&client_id=a&client_secret=b&scope=https://management.azure.com/.default"
    port = cloud.service.info["endpoint"].rpartition(":")[2]
    program = (
        f"exec 3<>/dev/tcp/127.0.0.1/{port}; printf 'POST /{TENANT}/oauth2/v2.0/token HTTP/1.1\\r\\nHost: localhost"
        f"\\r\\nContent-Length: {len(body)}\\r\\n\\r\\n{body}' >&3; head -c 12 <&3"
    )
    for user, answer in ((os.getuid(), "HTTP/1.1 200"), (65534, "HTTP/1.1 401")):
        done = subprocess.run(
            ["/bin/bash", "-c", program], user=user, cwd="/", capture_output=True, text=True, timeout=30, check=False
        )
        assert done.stdout == answer, done.stderr


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be somebody else")
def test_another_user_gets_no_token_by_a_header_that_names_a_connection_of_the_services_own(cloud: Cloud) -> None:
    """Everybody can read in /proc/net/tcp which ports those have."""
    port = int(cloud.service.info["endpoint"].rpartition(":")[2])
    body = "grant_type=client_credentials&client_id=a&client_secret=b&scope=https://management.azure.com/.default"
    with socket.create_connection(("127.0.0.1", port)) as own:
        address = f"127.0.0.1:{own.getsockname()[1]}"
        program = (
            f"exec 3<>/dev/tcp/127.0.0.1/{port}; printf 'POST /{TENANT}/oauth2/v2.0/token HTTP/1.1\\r\\nHost: localhost"
            f"\\r\\nX-Forwarded-For: {address}\\r\\nContent-Length: {len(body)}\\r\\n\\r\\n{body}' >&3; head -c 12 <&3"
        )
        done = subprocess.run(
            ["/bin/bash", "-c", program], user=65534, cwd="/", capture_output=True, text=True, timeout=30, check=False
        )
    assert done.stdout == "HTTP/1.1 401", done.stderr


def test_a_page_whose_name_was_made_to_lead_here_gets_no_token(cloud: Cloud) -> None:
    form = {"grant_type": "client_credentials", "client_id": "a", "client_secret": "b", "scope": f"{ARM}/.default"}
    path = f"/{TENANT}/oauth2/v2.0/token"
    for host, status in (("localhost", 200), ("login.batchai.localhost", 200), ("evil.example", 401)):
        assert cloud.call("POST", path, form=form, token="", host=host)[0] == status


def claims(token: str) -> dict[str, Any]:
    text = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))


def test_a_token_lives_a_day(cloud: Cloud) -> None:
    assert 23 * 3600 < claims(cloud.token)["exp"] - time.time() <= 24 * 3600


def forged(token: str, **change: Any) -> str:
    head, _, signature = token.split(".")
    text = base64.urlsafe_b64encode(json.dumps({**claims(token), **change}).encode()).rstrip(b"=").decode()
    return f"{head}.{text}.{signature}"


def test_forged_foreign_and_misdirected_tokens_are_refused(cloud: Cloud) -> None:
    unsigned = base64.urlsafe_b64encode(b'{"alg":"none"}').rstrip(b"=").decode()
    storage = cloud.log_in("https://storage.azure.com/.default")["access_token"]
    for token in (
        forged(cloud.token, exp=time.time() + 1e9),
        cloud.token[:-1],
        f"{unsigned}.{cloud.token.split('.')[1]}.",
        f"{unsigned}.{cloud.token.split('.')[1]}.x",
        "..",
        "x",
        "\u00e9",
        storage,
    ):
        status, _, body = cloud.call("GET", f"/subscriptions{VERSION}", token=token.encode().decode("latin-1"))
        assert (status, body["error"]["code"]) == (401, "AuthenticationFailed"), token


def test_a_token_of_another_state_folder_is_refused(cloud: Cloud, home: Any) -> None:
    other = Service(home)
    assert other.start()["status"] == "ready"
    assert other.request("GET", f"/subscriptions{VERSION}", token=cloud.token)[0] == 401


def test_a_token_outlives_the_service(home: Any) -> None:
    service = Service(home)
    service.start()
    token = Cloud(service).token
    service.kill()
    service.start()
    assert service.request("GET", f"/subscriptions{VERSION}", token=token)[0] == 200


# Subscriptions, tenants, locations, providers


def test_the_subscription_says_what_it_is(cloud: Cloud) -> None:
    status, _, found = cloud.arm("GET", "")
    assert status == 200
    assert (found["state"], found["displayName"]) == ("Enabled", "Local Batch AI (this machine)")
    [tenant] = cloud.call("GET", f"/tenants{VERSION}")[2]["value"]
    assert tenant["tenantId"] == found["tenantId"]
    assert cloud.call("GET", f"/subscriptions/{TENANT}{VERSION}")[2]["error"]["code"] == "SubscriptionNotFound"


def test_locations_have_names_for_people(cloud: Cloud) -> None:
    found = {item["name"]: item["displayName"] for item in cloud.arm("GET", "/locations")[2]["value"]}
    assert found["westus2"] == "West US 2"


def test_providers_are_registered(cloud: Cloud) -> None:
    found = cloud.arm("GET", "/providers")[2]["value"]
    assert {item["registrationState"] for item in found} == {"Registered"}
    for method, path in (("GET", ""), ("POST", "/register")):
        status, _, provider = cloud.arm(method, f"/providers/microsoft.batchai{path}")
        assert (status, provider["namespace"]) == (200, "Microsoft.BatchAI")
    assert {"workspaces", "workspaces/clusters"} <= {kind["resourceType"] for kind in provider["resourceTypes"]}
    status, _, body = cloud.arm("POST", "/providers/Microsoft.Nonsense/register")
    assert (status, body["error"]["code"]) == (404, "InvalidResourceNamespace")


# Groups


def test_a_group_keeps_its_name_and_tags(cloud: Cloud) -> None:
    name = f"MyGroup-{uuid.uuid4().hex[:6]}"
    path = f"/resourcegroups/{name}"
    assert cloud.arm("HEAD", path)[0] == 404
    status, _, made = cloud.arm("PUT", path, {"location": "West US 2", "tags": {"Team": "vision"}})
    assert (status, made["name"], made["location"], made["tags"]) == (201, name, "westus2", {"Team": "vision"})
    assert cloud.arm("HEAD", path.lower())[0] == 204
    assert cloud.arm("GET", path.upper())[2] == made
    status, _, changed = cloud.arm("PUT", path, {"location": "westus2", "tags": {"a": "b"}})
    assert (status, changed["tags"]) == (200, {"a": "b"})
    assert cloud.arm("PATCH", path, {"tags": {"c": "d"}})[2]["tags"] == {"c": "d"}
    assert cloud.arm("PATCH", path, {})[2]["tags"] == {"c": "d"}
    assert cloud.arm("PUT", path, {"location": "westus2"})[2]["tags"] == {}


def test_a_group_cannot_move(cloud: Cloud, group: str) -> None:
    status, _, body = cloud.arm("PUT", group, {"location": "westus"})
    assert (status, body["error"]["code"]) == (409, "InvalidResourceGroupLocation")


@pytest.mark.parametrize("tags", ["x", [], {"a": 1}, {str(number): "" for number in range(51)}])
def test_what_cannot_be_tags_is_refused(cloud: Cloud, tags: Any) -> None:
    status, _, body = cloud.arm("PUT", "/resourcegroups/nevermade", {"location": "eastus", "tags": tags})
    assert (status, body["error"]["code"]) == (400, "InvalidTags")
    assert cloud.arm("HEAD", "/resourcegroups/nevermade")[0] == 404


def test_groups_are_found_by_tag(cloud: Cloud) -> None:
    mark = uuid.uuid4().hex
    for name, value in (("one", mark), ("two", "it's"), ("three", "x")):
        body = {"location": "eastus", "tags": {f"k{mark[:4]}": value}}
        cloud.arm("PUT", f"/resourcegroups/{name}{mark[:6]}", body)

    def found(text: str) -> list[str]:
        status, _, body = cloud.arm("GET", "/resourcegroups", query=f"&$filter={urllib.parse.quote(text)}")
        assert status == 200, body
        return [item["name"].removesuffix(mark[:6]) for item in body["value"]]

    assert found(f"tagName eq 'K{mark[:4]}'") == ["one", "two", "three"]
    assert found(f"tagName eq 'k{mark[:4]}' and tagValue eq '{mark}'") == ["one"]
    assert found(f"tagName eq 'k{mark[:4]}' and tagValue eq 'it''s'") == ["two"]
    assert found(f"tagName eq 'k{mark[:4]}' and tagValue eq 'y'") == []


@pytest.mark.parametrize("text", ["tagName ne 'x'", "name eq 'x'", "tagName eq 'x' or tagName eq 'y'", "tagName eq x"])
def test_other_filters_are_refused(cloud: Cloud, text: str) -> None:
    status, _, body = cloud.arm("GET", "/resourcegroups", query=f"&$filter={urllib.parse.quote(text)}")
    assert (status, body["error"]["code"]) == (501, "NotSupported")


def test_a_deletion_is_followed_at_the_name_that_the_client_used(cloud: Cloud, group: str) -> None:
    status, headers, _ = cloud.arm("DELETE", group)
    assert status == 202
    assert headers["Location"].startswith(f"{cloud.url}/subscriptions/")
    while status == 202:
        status, headers, _ = cloud.call("GET", headers["Location"].removeprefix(cloud.url))
    assert status == 200
    assert cloud.arm("HEAD", group)[0] == 404


# Accounts


def test_an_account_has_what_clients_compare(cloud: Cloud, group: str) -> None:
    path = f"{group}/providers/Microsoft.Storage/storageAccounts/{account_name()}"
    body = {"location": "East US", "sku": {"name": "Premium_LRS"}, "kind": "Storage", "tags": {"a": "b"}}
    status, _, made = cloud.arm("PUT", path, body)
    assert status == 200
    assert (made["sku"], made["kind"], made["tags"]) == (
        {"name": "Premium_LRS", "tier": "Premium"},
        "Storage",
        {"a": "b"},
    )
    assert (made["properties"]["primaryLocation"], made["properties"]["statusOfPrimary"]) == ("eastus", "available")
    changed = cloud.arm("PATCH", path, {"tags": {"c": "d"}, "sku": {"name": "Standard_GRS"}})[2]
    assert (changed["sku"]["tier"], changed["kind"], changed["tags"]) == ("Standard", "Storage", {"c": "d"})
    assert cloud.arm("GET", path)[2] == changed


@pytest.mark.parametrize("change", [{"kind": "Fast"}, {"sku": {"name": "x"}}, {"sku": "Standard_LRS"}, {"tags": 1}])
def test_an_account_that_cannot_be_is_refused(cloud: Cloud, group: str, change: Any) -> None:
    path = f"{group}/providers/Microsoft.Storage/storageAccounts/{account_name()}"
    assert cloud.arm("PUT", path, {"location": "eastus", **change})[0] == 400
    assert cloud.arm("GET", path)[0] == 404


def test_endpoints_are_those_that_the_client_can_reach(cloud: Cloud, group: str) -> None:
    name = account_name()
    path = f"{group}/providers/Microsoft.Storage/storageAccounts/{name}"
    plain = cloud.arm("PUT", path, {"location": "eastus"})[2]["properties"]["primaryEndpoints"]
    assert plain["file"] == f"{cloud.url}/{name}.file/"
    host = "management.batchai.localhost"
    named = cloud.call("GET", f"{cloud.subscription}{path}{VERSION}", host=host)[2]["properties"]["primaryEndpoints"]
    assert named == {kind: f"https://{name}.{kind}.core.localhost/" for kind in ("blob", "file")}


def test_names_are_checked(cloud: Cloud, group: str) -> None:
    taken = account_name()
    cloud.arm("PUT", f"{group}/providers/Microsoft.Storage/storageAccounts/{taken}", {"location": "eastus"})

    def check(name: str) -> Any:
        body = {"name": name, "type": "Microsoft.Storage/storageAccounts"}
        found = cloud.arm("POST", "/providers/Microsoft.Storage/checkNameAvailability", body)[2]
        return found["nameAvailable"] or found["reason"]

    assert [check(name) for name in (account_name(), taken, "Not-A-Name")] == [
        True,
        "AlreadyExists",
        "AccountNameInvalid",
    ]


def test_a_renewed_key_replaces_the_old_one(cloud: Cloud, group: str) -> None:
    path = f"{group}/providers/Microsoft.Storage/storageAccounts/{account_name()}"
    cloud.arm("PUT", path, {"location": "eastus"})
    before = cloud.arm("POST", f"{path}/listKeys")[2]["keys"]
    after = cloud.arm("POST", f"{path}/regenerateKey", {"keyName": "key1"})[2]["keys"]
    assert after[0]["value"] != before[0]["value"]
    assert after[1] == before[1]
    assert cloud.arm("POST", f"{path}/listKeys")[2]["keys"] == after
    again = cloud.arm("POST", f"{path}/regenerateKey", {"keyName": "key1"})[2]["keys"]
    assert again[0]["value"] not in (before[0]["value"], after[0]["value"])
    assert cloud.arm("POST", f"{path}/regenerateKey", {"keyName": "kerb1"})[0] == 400


def test_usage_counts_the_accounts_of_a_region(cloud: Cloud, group: str) -> None:
    path = f"{group}/providers/Microsoft.Storage/storageAccounts/{account_name()}"
    cloud.arm("PUT", path, {"location": "koreacentral"})
    [usage] = cloud.arm("GET", "/providers/Microsoft.Storage/locations/koreacentral/usages")[2]["value"]
    assert (usage["name"]["value"], usage["currentValue"], usage["limit"]) == ("StorageAccounts", 1, 250)


# Lists of resources, roles, and what there is not


def test_resources_are_listed_by_group_type_and_name(cloud: Cloud, group: str) -> None:
    name = account_name()
    workspace = f"{group}/providers/Microsoft.BatchAI/workspaces/lab"
    account = f"{group}/providers/Microsoft.Storage/storageAccounts/{name}"
    cloud.call("PUT", f"{cloud.subscription}{workspace}?api-version=2018-05-01", {"location": "eastus"})
    cloud.arm("PUT", account, {"location": "eastus"})

    def names(path: str, text: str = "") -> list[str]:
        found = cloud.arm("GET", path, query=f"&$filter={urllib.parse.quote(text)}" if text else "")[2]
        return [item["name"] for item in found["value"]]

    group_name = group.rpartition("/")[2]
    assert names(f"{group}/resources") == ["lab", name]
    assert names("/resources", f"resourceGroup eq '{group_name}'") == ["lab", name]
    in_group = f"resourceGroup eq '{group_name}' and resourceType eq 'Microsoft.BatchAI/workspaces'"
    assert names("/resources", in_group) == ["lab"]
    assert names("/resources", f"name eq '{name}'") == [name]
    assert cloud.arm("GET", "/resourcegroups/nowhere/resources")[0] == 404


def test_a_role_assignment_is_answered_and_changes_nothing(cloud: Cloud, group: str) -> None:
    roles = "/providers/Microsoft.Authorization/roleDefinitions"
    [role] = cloud.arm("GET", roles, query="&$filter=roleName%20eq%20'Contributor'")[2]["value"]
    assert cloud.arm("GET", f"{roles}/{role['name']}")[2] == role
    assignments = f"{group}/providers/Microsoft.Authorization/roleAssignments"
    properties = {"roleDefinitionId": role["id"], "principalId": TENANT}
    status, _, made = cloud.arm("PUT", f"{assignments}/{TENANT}", {"properties": properties})
    assert status == 201
    assert made["properties"]["scope"] == f"{cloud.subscription}{group}"
    assert cloud.arm("GET", assignments)[2]["value"] == []
    assert cloud.arm("DELETE", f"{assignments}/{TENANT}")[0] == 204


@pytest.mark.not_supported
@pytest.mark.parametrize(("method", "status"), [("GET", 404), ("PUT", 501), ("POST", 501), ("DELETE", 501)])
def test_what_there_is_not_is_named(cloud: Cloud, group: str, method: str, status: int) -> None:
    body = {"location": "eastus"} if method != "GET" else None
    answer = cloud.arm(method, f"{group}/providers/Microsoft.Network/virtualNetworks/net", body)
    assert answer[0] == status
    assert "microsoft.network/virtualnetworks is not served" in answer[2]["error"]["message"]
