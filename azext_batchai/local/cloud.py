"""The local cloud as az sees it: a configuration folder of its own, registered, logged in and trusted.

The files are written as az writes them, in milliseconds; `az cloud register`, `cloud set` and `login` take seconds.
"""

from __future__ import annotations

# pylint: disable=too-few-public-methods
import configparser
import json
import os
import ssl
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from azext_batchai.local import embedded, environment

# Endpoints of the cloud that nothing is behind: az asks for some of them all the same.
_UNSERVED = (
    "active_directory_data_lake_resource_id",
    "batch_resource_id",
    "gallery",
    "media_resource_id",
    "sql_management",
    "vm_image_alias_doc",
    "portal",
)
_SECRET = "local"  # any will do
_COPIED = {"core": ("output", "only_show_errors", "no_color"), "extension": ("dev_sources",)}


class CloudFolder:
    """The configuration folder; `facts` are the answer of the service when its front was opened."""

    def __init__(self, home: Path, facts: Mapping[str, Any]) -> None:
        self.path = home / "azure"
        self._facts = facts

    def prepare(self, outer: Mapping[str, str], with_defaults: bool) -> dict[str, str | Path]:
        """Write what is missing or outdated, keep what scripts have configured; returns the environment's values."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        theirs = Path(outer.get("AZURE_CONFIG_DIR") or Path.home() / ".azure")
        self._register()
        self._configure(theirs, with_defaults)
        self._log_in()
        authority = Path(self._facts["certificate"])
        system = self._bundle("system-ca.pem", outer.get("SSL_CERT_FILE") or _system_authorities(), authority)
        requests = self._bundle("requests-ca.pem", outer.get("REQUESTS_CA_BUNDLE") or _certifi(), authority)
        return {
            "AZURE_CONFIG_DIR": self.path,
            "AZURE_BATCHAI_HOME": self.path.parent,
            "AZURE_EXTENSION_DIR": outer.get("AZURE_EXTENSION_DIR") or theirs / "cliextensions",
            "AZURE_BATCHAI_ENDPOINT": "local",
            "REQUESTS_CA_BUNDLE": requests,
            "CURL_CA_BUNDLE": system,
            "SSL_CERT_FILE": system,
            "NODE_EXTRA_CA_CERTS": authority,
        }

    def _register(self) -> None:
        facts = self._facts
        clouds = _read(self.path / "clouds.config")
        clouds[facts["cloud"]] = {
            "profile": "latest",
            "subscription": facts["subscription"],
            "endpoint_management": facts["resourceManager"],
            "endpoint_resource_manager": facts["resourceManager"],
            "endpoint_active_directory": facts["login"],
            "endpoint_active_directory_resource_id": facts["resourceManager"],
            "endpoint_active_directory_graph_resource_id": f"{facts['graph']}/",
            "endpoint_microsoft_graph_resource_id": f"{facts['graph']}/",
            **{f"endpoint_{name}": facts["resourceManager"] for name in _UNSERVED},
            "suffix_storage_endpoint": facts["storageSuffix"],
            "suffix_keyvault_dns": ".vault.localhost",
            "suffix_sql_server_hostname": ".sql.localhost",
            "suffix_acr_login_server_endpoint": ".acr.localhost",
        }
        _write_config(self.path / "clouds.config", clouds)

    def _configure(self, theirs: Path, with_defaults: bool) -> None:
        config, user = _read(self.path / "config"), _read(theirs / "config")
        for section in ("cloud", "core", "extension", "batchai", "defaults"):
            if not config.has_section(section):
                config.add_section(section)
        for section, names in _COPIED.items():
            for name in names:
                if user.has_option(section, name) and not config.has_option(section, name):
                    config[section][name] = user[section][name]
        for name, value in user["batchai"].items() if user.has_section("batchai") else ():
            if name not in ("endpoint", "token", "subscription"):
                config["batchai"][name] = value
        if with_defaults and user.has_section("defaults"):
            config["defaults"].update(user["defaults"])
        config["cloud"]["name"] = self._facts["cloud"]
        config["core"].update(
            {
                "instance_discovery": "false",  # az would ask Azure whether it knows this cloud
                "collect_telemetry": "no",
                "survey_message": "no",
                "encrypt_token_cache": "false",
                "login_experience_v2": "off",
            }
        )
        _write_config(self.path / "config", config)

    def _log_in(self) -> None:
        facts = self._facts
        login = {"client_id": facts["principal"], "tenant": facts["tenant"], "client_secret": _SECRET}
        entries = _read_json(self.path / "service_principal_entries.json", [])
        if login not in entries:
            others = [entry for entry in entries if entry.get("client_id") != login["client_id"]]
            _write(self.path / "service_principal_entries.json", json.dumps([*others, login]))
        profile = _read_json(self.path / "azureProfile.json", {})
        if not any(item.get("id") == facts["subscription"] for item in profile.get("subscriptions", ())):
            profile = {"installationId": str(uuid.uuid1()), "subscriptions": [self._subscription()]}
            _write(self.path / "azureProfile.json", json.dumps(profile))

    def _subscription(self) -> dict[str, Any]:
        facts = self._facts
        return {
            "id": facts["subscription"],
            "name": facts["subscriptionName"],
            "state": "Enabled",
            "user": {"name": facts["principal"], "type": "servicePrincipal"},
            "isDefault": True,
            "tenantId": facts["tenant"],
            "environmentName": facts["cloud"],
            "homeTenantId": facts["tenant"],
            "managedByTenants": [],
        }

    def _bundle(self, name: str, base: str, authority: Path) -> Path:
        """A file that trusts what `base` trusts, and the service."""
        path = self.path / name
        trusted = Path(base).read_bytes().rstrip() + b"\n" if base else b""
        content = trusted + authority.read_bytes()
        if not path.is_file() or path.read_bytes() != content:
            _write(path, content.decode("latin-1"), "latin-1")
        return path


def open_front(cli_ctx: Any, outer: Mapping[str, str]) -> dict[str, Any]:
    """Let the service, started where need be, open its front; returns where it is, and what its cloud consists of."""
    service = embedded.ensure(cli_ctx)
    proxy, exceptions = environment.users_proxy(outer)
    try:
        return embedded.request(service, "POST", "/_local/front", {"proxy": proxy, "noProxy": exceptions})
    except embedded.Refusal as refusal:
        if refusal.status != 404:
            raise
        from azure.cli.core.azclierror import ValidationError

        raise ValidationError(
            f"The local Batch AI service that runs is of version {service.version} and has no local cloud.",
            recommendation="Stop it with `az batchai local down`; running jobs go on. The next command starts anew.",
        ) from refusal


def _certifi() -> str:
    import certifi

    return certifi.where()


def _system_authorities() -> str:
    found = ssl.get_default_verify_paths().cafile
    return found if found and os.path.isfile(found) else _certifi()


def _read(path: Path) -> configparser.ConfigParser:
    config = configparser.ConfigParser(interpolation=None)
    try:
        config.read(path, encoding="utf-8")
    except (configparser.Error, UnicodeDecodeError):
        pass  # az does without a broken file too
    return config


def _read_json(path: Path, default: Any) -> Any:
    try:
        found = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError):
        return default
    return found if isinstance(found, type(default)) else default


def _write_config(path: Path, config: configparser.ConfigParser) -> None:
    import io

    text = io.StringIO()
    config.write(text)
    _write(path, text.getvalue())


def _write(path: Path, text: str, encoding: str = "utf-8") -> None:
    """For the owner's eyes only, whole or not at all."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding=encoding, newline="") as file:
        file.write(text)
    os.replace(temporary, path)
