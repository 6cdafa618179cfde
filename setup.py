"""Packaging of the `batchai` extension of the Azure CLI."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent


def read(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")


def version() -> str:
    found = re.search(r'^VERSION = "([^"]+)"$', read("azext_batchai/_version.py"), re.MULTILINE)
    assert found, "azext_batchai/_version.py has no VERSION line"
    return found.group(1)


setup(
    name="batchai",
    version=version(),
    description="Commands for Batch AI workspaces, clusters, experiments, jobs and file servers, "
    "which run on this machine or elsewhere.",
    long_description=read("README.md"),
    long_description_content_type="text/markdown",
    author="The batchai contributors",
    license="MIT",
    project_urls={
        "Extensions of the Azure CLI": "https://learn.microsoft.com/cli/azure/azure-cli-extensions-overview",
        "Client library": "https://pypi.org/project/azure-mgmt-batchai/",
    },
    classifiers=[
        "Development Status :: 4 - Beta",
        "Environment :: Console",
        "Intended Audience :: Developers",
        "Intended Audience :: Science/Research",
        "Intended Audience :: System Administrators",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3 :: Only",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Programming Language :: Python :: 3.14",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Topic :: System :: Distributed Computing",
        "Typing :: Typed",
    ],
    python_requires=">=3.10",
    packages=find_packages(include=["azext_batchai", "azext_batchai.*"]),
    package_data={
        "azext_batchai": ["azext_metadata.json", "py.typed", "schemas/*.json"],
        "azext_batchai.service.ui": ["static/*", "static/vendor/*"],
    },
    install_requires=[line.split(" #")[0] for line in read("requirements.txt").splitlines() if line],
)
