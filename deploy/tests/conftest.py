"""Helm for the tests of the chart: from PATH, or the one that .ci/run put into target/helm."""

import pathlib
import shutil
import subprocess

import pytest
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHART = ROOT / "deploy/helm/device-management"
HELM = shutil.which("helm") or ROOT / "target/helm/helm"


def helm(*arguments):
    return subprocess.run([HELM, *arguments], check=False, capture_output=True, text=True)


class Release:
    """The objects of one rendering, hooks included."""

    def __init__(self, values, secret="bank-secrets"):
        if secret:
            values = {"secrets": {"existingSecret": secret} | values.pop("secrets", {})} | values
        self.process = subprocess.run(
            [HELM, "template", "test", CHART, "--namespace", "bank", "--values", "-"],
            check=False,
            capture_output=True,
            text=True,
            input=yaml.safe_dump(values),
        )
        self.objects = [found for found in yaml.safe_load_all(self.process.stdout) if found]

    def all(self, kind):
        return [found for found in self.objects if found["kind"] == kind]

    def one(self, kind, suffix=""):
        name = f"test-device-management{suffix}"
        (found,) = [found for found in self.all(kind) if found["metadata"]["name"] == name]
        return found

    def pods(self):
        """Name and pod template of everything that starts a pod."""
        return {
            found["metadata"]["name"]: found["spec"]["template"] for found in self.all("Deployment") + self.all("Job")
        }


@pytest.fixture
def render():
    def rendered(secret="bank-secrets", **values):
        release = Release(values, secret)
        assert release.process.returncode == 0, release.process.stderr
        return release

    return rendered


@pytest.fixture
def refuse():
    def refused(secret="bank-secrets", **values):
        release = Release(values, secret)
        assert release.process.returncode != 0, "helm accepted the values"
        return release.process.stderr

    return refused
