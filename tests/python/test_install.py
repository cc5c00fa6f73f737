"""deploy/install.sh, with a web server on this machine in place of the releases."""

import functools
import os
import platform
import shutil
import subprocess
import tempfile
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from client import DEADLINE_S
from conftest import ROOT

DEPLOY = ROOT / "deploy"
TARGET = {
    "Linux-x86_64": "x86_64-unknown-linux-musl",
    "Linux-aarch64": "aarch64-unknown-linux-musl",
    "Darwin-x86_64": "x86_64-apple-darwin",
    "Darwin-arm64": "aarch64-apple-darwin",
}[f"{platform.system()}-{platform.machine()}"]
ARCHIVE = f"peerd-{TARGET}.tar.gz"
NOBODY = 65534


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


class Releases:
    """The releases 1.0.0 and 2.0.0, which is the latest, and a directory to install to."""

    def __init__(self, folder):
        self.folder = folder
        self.directory = folder / "bin"
        self.directory.mkdir()
        # The sources may be where only root can read.
        self.installer = shutil.copy(DEPLOY / "install.sh", folder)
        for version in ("1.0.0", "2.0.0"):
            self.release(version)
        latest = folder / "www" / "latest" / "download"
        latest.parent.mkdir()
        latest.symlink_to(self.of("2.0.0"))

    def of(self, version):
        return self.folder / "www" / "download" / f"v{version}"

    def release(self, version, script=None):
        """Makes a release as the workflow does; its peerd only shows its version."""
        binary = self.folder / "peerd"
        binary.write_text(script or f"#!/bin/sh\necho peerd {version}\n")
        files = self.of(version)
        subprocess.run([DEPLOY / "release" / "archive", binary, TARGET, files], check=True)
        subprocess.run([DEPLOY / "release" / "checksums", files], check=True)

    def install(self, *arguments, **options):
        environment = os.environ | {"PEERD_RELEASES": self.url}
        to = options.pop("to", self.directory)
        command = ["sh", self.installer, "--to", to, *arguments]
        return subprocess.run(
            command,
            env=environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            **options,
        )

    def installed(self):
        """The version that is installed, and that nothing else is in the directory."""
        files = list(self.directory.iterdir())
        if not files:
            return None
        assert [file.name for file in files] == ["peerd"]
        return subprocess.check_output(files[0], text=True).split()[1]


@pytest.fixture
def releases():
    # Readable for a user who is not root, as pytest's own folders are not.
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        releases = Releases(folder)
        handler = functools.partial(Quiet, directory=folder / "www")
        with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
            releases.url = f"http://127.0.0.1:{server.server_port}"
            thread = threading.Thread(target=server.serve_forever, args=(0.01,))
            thread.start()
            yield releases
            server.shutdown()
            thread.join()


def refuses(run, reason):
    assert run.returncode == 1, run.stdout + run.stderr
    assert reason in run.stderr


def test_installs_the_latest_release(releases):
    run = releases.install()
    assert run.returncode == 0, run.stderr
    assert "peerd 2.0.0" in run.stdout
    assert releases.installed() == "2.0.0"


@pytest.mark.parametrize("version", ["1.0.0", "v1.0.0"])
def test_installs_a_release_over_another(releases, version):
    assert releases.install().returncode == 0
    assert releases.install("--version", version).returncode == 0
    assert releases.installed() == "1.0.0"


@pytest.mark.parametrize("installed", [False, True], ids=["first", "update"])
def test_a_wrong_checksum_installs_nothing(releases, installed):
    if installed:
        assert releases.install("--version", "1.0.0").returncode == 0
    with (releases.of("2.0.0") / ARCHIVE).open("ab") as archive:
        archive.write(b"x")
    refuses(releases.install(), "the checksum of")
    assert releases.installed() == ("1.0.0" if installed else None)


def test_an_archive_without_a_checksum_installs_nothing(releases):
    sums = releases.of("2.0.0") / "SHA256SUMS"
    sums.write_text(sums.read_text().replace(ARCHIVE, f"x{ARCHIVE}"))
    refuses(releases.install(), f"no line for {ARCHIVE}")
    assert releases.installed() is None


@pytest.mark.parametrize("file", [ARCHIVE, "SHA256SUMS"])
def test_a_missing_file_installs_nothing(releases, file):
    (releases.of("2.0.0") / file).unlink()
    refuses(releases.install(), f"{file} cannot be downloaded")
    assert releases.installed() is None


def test_an_unknown_release_installs_nothing(releases):
    refuses(releases.install("--version", "9.9.9"), "cannot be downloaded")


def test_a_binary_that_does_not_run_is_not_installed(releases):
    assert releases.install("--version", "1.0.0").returncode == 0
    releases.release("2.0.0", script="#!/bin/sh\nexit 1\n")
    refuses(releases.install(), "does not run on this machine")
    assert releases.installed() == "1.0.0"


def test_a_directory_must_be_writable(releases):
    releases.directory.chmod(0o555)
    # Root may write everywhere.
    user = {"user": NOBODY, "group": NOBODY} if os.geteuid() == 0 else {}
    refuses(releases.install(**user), "cannot be written")
    releases.directory.chmod(0o755)
    assert releases.installed() is None


def test_a_directory_must_exist(releases):
    refuses(releases.install(to=releases.folder / "none"), "is not a directory")


def test_an_unknown_machine_is_refused(releases):
    tools = releases.folder / "tools"
    tools.mkdir()
    (tools / "uname").write_text("#!/bin/sh\necho Plan9\n")
    (tools / "uname").chmod(0o755)
    path = {"PATH": f"{tools}:{os.environ['PATH']}", "PEERD_RELEASES": releases.url}
    run = subprocess.run(
        ["sh", DEPLOY / "install.sh"], env=path, capture_output=True, text=True, timeout=DEADLINE_S
    )
    refuses(run, "no archive for Plan9")


@pytest.mark.parametrize("arguments", [["--version"], ["--force"]])
def test_wrong_arguments_are_refused(releases, arguments):
    assert releases.install(*arguments).returncode == 1


def test_the_file_of_the_repository_needs_an_address():
    environment = {k: v for k, v in os.environ.items() if k != "PEERD_RELEASES"}
    run = subprocess.run(
        ["sh", DEPLOY / "install.sh"], env=environment, capture_output=True, text=True
    )
    refuses(run, "set PEERD_RELEASES")
