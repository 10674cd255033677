"""`titans doctor` finds the problems of a machine and says what to do. It never fails itself."""

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import transformers
from bitsandbytes.nn.modules import Linear4bit
from typer.testing import CliRunner

import titans_core
from titans_core import readers
from titans_core.cli import app as cli
from titans_core.cli import doctor
from titans_core.cli.doctor import Check, Status
from titans_core.readers import EncoderReader, find


def problem(check: Check, detail: str, advice: str) -> bool:
    return check.status is Status.PROBLEM and detail in check.detail and advice in check.advice


@pytest.fixture
def no_wheel(monkeypatch):
    monkeypatch.setattr(find, "find_spec", lambda package: None)


@pytest.fixture
def connect_with(monkeypatch):
    """A function that changes what `sqlite3.connect` returns."""
    connect = sqlite3.connect

    def install(*, denied: int | None = None, factory: type[sqlite3.Connection] = sqlite3.Connection):
        def connect_changed(path):
            connection = connect(path, factory=factory)
            if denied is not None:
                connection.set_authorizer(
                    lambda action, *rest: sqlite3.SQLITE_DENY if action == denied else sqlite3.SQLITE_OK
                )
            return connection

        monkeypatch.setattr(sqlite3, "connect", connect_changed)

    return install


# ── a machine that can run the memory ──


def test_every_check_passes_here(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    findings = {check.name: check for check in doctor.examine()}
    assert len(findings) == len(doctor.CHECKS)
    assert {name for name, check in findings.items() if check.status is not Status.OK} == {"CUDA"}
    assert findings["CUDA"].status is Status.INFO
    assert not any(check.advice for check in findings.values())
    assert findings["torch"].detail.startswith(torch.__version__)
    assert "wheel" in findings["model"].detail
    assert f"transformers {transformers.__version__}" in findings["packages"].detail
    assert torch.backends.cpu.get_cpu_capability() in findings["CPU"].detail
    assert "384 numbers" in findings["reading"].detail
    assert findings["SQLite"].detail == sqlite3.sqlite_version


def test_a_cuda_device_is_named(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "NVIDIA H100")
    assert doctor.cuda() == Check("CUDA", Status.OK, "NVIDIA H100")


def test_a_cuda_build_of_torch_is_named(monkeypatch):
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    assert doctor.torch_build().detail.endswith("CUDA 13.0 build")


def test_a_model_in_a_folder_is_found_there(monkeypatch, tmp_path):
    (tmp_path / find.DEFAULT_MODEL).mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert "from a path" in doctor.model().detail


def test_a_model_on_the_hub_is_no_problem_by_itself(no_wheel):
    found = doctor.model()
    assert found.status is Status.INFO
    assert "Hub" in found.detail


# ── each failure ──


def test_an_old_python(monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 10, 4, "final", 0))
    assert problem(doctor.python(), "too old", "Python 3.11")


def test_no_torch(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    assert problem(doctor.torch_build(), "torch", "pip install torch")
    assert doctor.cpu().status is Status.PROBLEM
    assert doctor.cuda().status is Status.PROBLEM
    assert doctor.four_bit().status is Status.PROBLEM


def test_a_driver_that_fails(monkeypatch):
    def fail():
        raise RuntimeError("CUDA driver initialization failed")

    monkeypatch.setattr(torch.cuda, "is_available", fail)
    assert problem(doctor.cuda(), "initialization failed", "nvidia-smi")


def test_a_device_without_4_bit_kernels(monkeypatch):
    move = Linear4bit.to

    def refuse_cuda(layer, device):
        if device == "cuda":
            raise RuntimeError("no kernel image is available")
        return move(layer, device)

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(Linear4bit, "to", refuse_cuda)
    assert problem(doctor.four_bit(), "no kernel image", "quantization=None")


def test_no_bitsandbytes(monkeypatch):
    monkeypatch.setitem(sys.modules, "bitsandbytes.nn.modules", None)
    assert problem(doctor.four_bit(), "bitsandbytes", "pip install --upgrade bitsandbytes")


@pytest.mark.parametrize(("value", "wrong"), [(0.0, "100%"), (float("nan"), "nan%")])
def test_a_wrong_4_bit_kernel(monkeypatch, value, wrong):
    monkeypatch.setattr(Linear4bit, "forward", lambda layer, inputs: torch.full_like(inputs, value))
    assert problem(doctor.four_bit(), f"on cpu is wrong by {wrong}", "bitsandbytes")


def test_a_folder_without_a_model_says_what_to_do_by_itself(monkeypatch, tmp_path):
    monkeypatch.setattr(readers, "load_reader", EncoderReader)  # the shared reader is already loaded
    (tmp_path / find.DEFAULT_MODEL).mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    found = doctor.reading()
    assert problem(found, "holds no model", "")
    assert not found.advice


def test_a_reader_that_breaks(monkeypatch):
    def fail():
        raise RuntimeError("first line\n  second line")

    monkeypatch.setattr(readers, "load_reader", fail)
    assert problem(doctor.reading(), "first line second line", "pip install --upgrade transformers")


def test_an_error_without_a_message_is_named(monkeypatch):
    def fail():
        raise MemoryError

    monkeypatch.setattr(readers, "load_reader", fail)
    assert doctor.reading().detail == "MemoryError"


def test_an_old_sqlite(connect_with):
    class Old(sqlite3.Connection):
        def execute(self, sql, *values):
            return super().execute(sql.replace("STRICT", "STRICT-NOT-KNOWN"), *values)

    connect_with(factory=Old)
    assert problem(doctor.sqlite(), "syntax error", "3.37")


def test_a_folder_that_is_gone(monkeypatch, tmp_path):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert problem(doctor.folder(), "No such file", "full path")


def test_a_folder_that_may_not_be_written(monkeypatch):
    def refuse(**_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(doctor, "TemporaryFile", refuse)
    assert problem(doctor.folder(), "Permission denied", "Change to a folder")


# ── the command ──


def run(*arguments):
    return CliRunner().invoke(cli.build_app(), arguments)


def run_process(*arguments):
    return subprocess.run(arguments, check=False, capture_output=True, text=True, timeout=60)


def test_the_command_prints_a_line_for_each_check_and_succeeds():
    result = run("doctor")
    assert result.exit_code == 0
    *lines, last = result.output.splitlines()
    assert len(lines) == len(doctor.CHECKS)
    assert all(line.startswith(("ok ", "info ")) for line in lines)
    assert "works" in last


def test_the_command_fails_over_a_problem_and_says_what_to_do(monkeypatch):
    long = "a detail that is longer than the line of a terminal " * 5
    findings = [
        Check("model", Status.PROBLEM, long, "Run `pip install 'titans-core[offline]'`."),
        Check("CUDA", Status.INFO, "no device"),
    ]
    monkeypatch.setattr(cli, "examine", lambda: iter(findings))
    result = run("doctor")
    assert result.exit_code == 1
    first, second, last = result.output.splitlines()
    assert first.startswith("problem")
    assert first.endswith("Run `pip install 'titans-core[offline]'`.")
    assert second.startswith("info")
    assert last.startswith("1 to solve")


def test_the_installed_command_tells_its_version():
    titans = Path(sys.executable).with_name("titans")
    assert run_process(titans, "--version").stdout == f"titans-core {titans_core.__version__}\n"


@pytest.mark.parametrize("missing", ["typer", "rich"])
def test_without_the_extra_the_command_says_how_to_install_it(missing):
    script = f"import sys; sys.modules[{missing!r}] = None; from titans_core.cli.app import main; main()"
    result = run_process(sys.executable, "-c", script)
    assert result.returncode == 1
    assert result.stderr == f"The titans command needs {missing}; run: pip install 'titans-core[cli]'\n"


def test_another_missing_module_is_not_blamed_on_the_extra(monkeypatch):
    def fail():
        raise ModuleNotFoundError("No module named 'json'", name="json")

    monkeypatch.setattr(cli, "build_app", fail)
    with pytest.raises(ModuleNotFoundError, match="json"):
        cli.main()


def test_the_version_needs_no_torch():
    script = "import sys, titans_core.cli.app; titans_core.cli.app.build_app(); sys.exit('torch' in sys.modules)"
    assert run_process(sys.executable, "-c", script).returncode == 0
