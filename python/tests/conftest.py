"""The bundled clip, annotated once. The program is the installed one, or what ANNOTATE_PROGRAM names."""

import os
from pathlib import Path

import pytest

import annotate_sign

#: The checkout, where the tests run in one.
CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session", autouse=True)
def nobodys_settings(tmp_path_factory):
    for name in [name for name in os.environ if name.startswith("ANNOTATE_") and name != "ANNOTATE_PROGRAM"]:
        del os.environ[name]
    os.environ["XDG_CONFIG_HOME"] = str(tmp_path_factory.mktemp("config"))


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="session")
def timeline(folder):
    return annotate_sign.demo(folder)


@pytest.fixture(scope="session")
def clip(folder, timeline):
    return folder / "demo.mp4"
