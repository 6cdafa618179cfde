"""The administrator's account: whose name, which key, which password."""

import pytest
from azure.cli.core.azclierror import InvalidArgumentValueError, RequiredArgumentMissingError
from azure.mgmt.batchai.models import UserAccountSettings

from azext_batchai.ssh import user_account

RSA = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQC7 me@here"
ED25519 = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"


@pytest.fixture(autouse=True)
def user(monkeypatch, tmp_path):
    """A user of the test's own, without any key."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setenv("LOGNAME", "somebody")
    return tmp_path


def test_flags_come_before_the_file():
    file = UserAccountSettings(admin_user_name="f", admin_user_password="f", admin_user_ssh_public_key=ED25519)
    settings = user_account.complete(file, "n", RSA, "p")
    assert settings.admin_user_name == "n"
    assert settings.admin_user_ssh_public_key == RSA
    assert settings.admin_user_password == "p"


def test_file_comes_before_the_defaults():
    file = UserAccountSettings(admin_user_name="f", admin_user_password="f")
    settings = user_account.complete(file, None, None, None)
    assert (settings.admin_user_name, settings.admin_user_password) == ("f", "f")
    assert settings.admin_user_ssh_public_key is None


def test_default_key_and_name(user):
    (user / ".ssh").mkdir()
    (user / ".ssh" / "id_rsa.pub").write_text(RSA + "\n", encoding="utf-8")
    settings = user_account.complete(None, None, None, None)
    assert settings.admin_user_ssh_public_key == RSA
    assert settings.admin_user_name == "somebody"
    assert user_account.complete(None, None, None, "p").admin_user_ssh_public_key is None


def test_neither_key_nor_password():
    with pytest.raises(RequiredArgumentMissingError) as caught:
        user_account.complete(None, "n", None, None)
    assert "--generate-ssh-keys" in caught.value.recommendations[0]


@pytest.mark.parametrize("key", [RSA, ED25519])
def test_key_as_value_and_as_file(tmp_path, key):
    path = tmp_path / "key.pub"
    path.write_text(key + "\n", encoding="utf-8")
    assert user_account.public_key(key) == user_account.public_key(str(path)) == key


@pytest.mark.parametrize(
    "value", ["id_rsa.pub", "ssh-rsa", "ssh-rsa !!!!", "ssh-rsa AAAA", RSA.replace("ssh-rsa", "ssh-dss"), "a\0b", ""]
)
def test_no_key(value):
    with pytest.raises(InvalidArgumentValueError, match="neither an SSH public key nor a file"):
        user_account.public_key(value)


def test_private_key_by_mistake(tmp_path):
    path = tmp_path / "id_rsa"
    path.write_text("-----BEGIN RSA PRIVATE KEY-----\nSECRET\n", encoding="utf-8")
    with pytest.raises(InvalidArgumentValueError) as caught:
        user_account.public_key(str(path))
    assert "SECRET" not in str(caught.value)


def test_keys_are_generated_once(user):
    path = user_account.generate_keys()
    key = user_account.public_key(path)
    assert (user / ".ssh" / "id_rsa").stat().st_mode & 0o777 == 0o600
    assert user_account.public_key(user_account.generate_keys()) == key
