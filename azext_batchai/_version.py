"""The one place where the version is written: setup.py, the extension and the service read it here."""

VERSION = "1.0.0b1"
