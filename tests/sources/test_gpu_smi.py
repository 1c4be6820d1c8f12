"""``nvidia-smi`` as it behaves: several GPUs, refused figures, warnings, garbage, hanging, not there."""

import sys
import threading
from pathlib import Path

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfytui.sources.gpu import smi as module
from comfytui.sources.gpu.reading import GpuReading
from comfytui.sources.gpu.smi import NvidiaSmi, parse
from tests.sources.fake_nvidia import install_smi, path_with, smi_that_prints

MIB = 1 << 20
TWO = (
    "0, NVIDIA GeForce RTX 4090, 24564, 20471, 3765, 37, 61, 312.45\n"
    "1, NVIDIA RTX A2000 12GB, 12282, 12000, 12, 0, 40, 8.10\n"
)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PATH", path_with(tmp_path))
    monkeypatch.setattr(module, "_ELSEWHERE", ())
    return tmp_path


def test_several_gpus_are_read_in_bytes() -> None:
    assert parse(TWO) == (
        GpuReading(
            index=0,
            name="NVIDIA GeForce RTX 4090",
            vram_total=24564 * MIB,
            vram_free=20471 * MIB,
            vram_used=3765 * MIB,
            utilization=37.0,
            temperature=61.0,
            power=312.45,
        ),
        GpuReading(
            index=1,
            name="NVIDIA RTX A2000 12GB",
            vram_total=12282 * MIB,
            vram_free=12000 * MIB,
            vram_used=12 * MIB,
            utilization=0.0,
            temperature=40.0,
            power=8.1,
        ),
    )


@pytest.mark.parametrize("refused", ["[N/A]", "[Not Supported]", "N/A", "[Unknown Error]", "ERR!", "", "nan", "-1"])
def test_what_a_gpu_does_not_tell_is_none(refused: str) -> None:
    (reading,) = parse(f"0, Tesla V100, 16160, 16000, 160, {refused}, {refused}, {refused}")
    assert (reading.utilization, reading.temperature, reading.power) == (None, None, None)
    assert reading.vram_free == 16000 * MIB


def test_units_a_decimal_comma_and_missing_columns_are_borne() -> None:
    (units,) = parse("0, A100, 40960 MiB, 40000 MiB, 960 MiB, 5 %, 30, 55.20 W\n")
    assert (units.vram_total, units.utilization, units.power) == (40960 * MIB, 5.0, 55.2)
    (comma,) = parse("0, A100, 40960, 40000, 960, 5, 30, 55,20\n")
    assert (comma.vram_free, comma.power) == (40000 * MIB, 55.2)
    (short,) = parse("0, A100, 40960\n")
    assert (short.vram_total, short.vram_free, short.power) == (40960 * MIB, None, None)


def test_lines_that_are_no_gpu_are_passed_over() -> None:
    answer = (
        "WARNING: infoROM is corrupted at gpu 0000:01:00.0\n"
        + TWO
        + "  MIG 1g.10gb     Device  0: (UUID: MIG-1, 2, 3)\n"
        + "0, a second line of GPU 0, 1, 1, 1, 1, 1, 1\n"
        + "Unable to determine the device handle for GPU0000:02:00.0: Unknown Error, see, the, log\n"
        + "\x00\xff garbage, , ,"
    )
    assert parse(answer) == parse(TWO)
    assert parse("") == ()
    assert parse("NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.\n") == ()


@given(st.text(max_size=200))
def test_no_text_breaks_the_reading(text: str) -> None:
    parse(text)
    parse(f"0, {text}, 1, 2, 3")


async def test_the_program_on_the_path_is_asked(path: Path) -> None:
    smi_that_prints(path, TWO)
    assert await NvidiaSmi().read() == parse(TWO)


async def test_it_is_asked_for_what_is_parsed_in_a_fixed_locale(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    install_smi(
        path,
        """
        import os, pathlib, sys
        pathlib.Path(__file__).with_name("asked").write_text("\\n".join([os.environ["LC_ALL"], *sys.argv[1:]]))
        """,
    )
    assert await NvidiaSmi().read() is None
    assert said(path / "asked") == [
        "C",
        "--query-gpu=index,name,memory.total,memory.free,memory.used,utilization.gpu,temperature.gpu,power.draw",
        "--format=csv,noheader,nounits",
    ]


def said(path: Path) -> list[str]:
    return path.read_text().split("\n")


@pytest.mark.parametrize("exit_code", [0, 9, 15])
async def test_what_it_prints_counts_whatever_its_exit_code(path: Path, exit_code: int) -> None:
    smi_that_prints(path, TWO + "Unable to determine the device handle for GPU 2: GPU is lost.\n", exit_code)
    assert await NvidiaSmi().read() == parse(TWO)


async def test_garbage_is_no_answer(path: Path) -> None:
    smi_that_prints(path, "\x1b[31mfailed\x1b[0m\n", 9)
    assert await NvidiaSmi().read() is None


async def test_a_machine_without_it_gives_no_answer(path: Path) -> None:
    smi = NvidiaSmi()
    assert await smi.read() is None
    await smi.aclose()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows knows no executable bit")
async def test_a_program_that_cannot_be_run_gives_no_answer(path: Path) -> None:
    install_smi(path, "")
    make_unrunnable(path / "nvidia-smi")
    assert await NvidiaSmi().read() is None


def make_unrunnable(program: Path) -> None:
    program.write_bytes(b"\x7fELF no program at all")


HANGS = """
    import threading
    print("0, half an answer, 1", flush=True)
    threading.Event().wait(30)
"""


async def test_a_hanging_program_is_ended_in_time(path: Path) -> None:
    install_smi(path, HANGS)
    with anyio.fail_after(10):
        assert await NvidiaSmi(patience=0.3).read() is None
    await none_at_work()


@pytest.mark.skipif(sys.platform == "win32", reason="starts a child the POSIX way")
async def test_a_child_that_holds_the_pipe_does_not_hold_us(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_REAP", 0.1)
    install_smi(
        path,
        """
        import os, select
        if os.fork():
            os._exit(0)
        select.select([], [], [], 3)
        """,
    )
    with anyio.fail_after(2.5):
        assert await NvidiaSmi(patience=0.3).read() is None
    await none_at_work()


async def test_a_cancelled_reading_ends_the_program(path: Path) -> None:
    install_smi(path, 'import pathlib; pathlib.Path(__file__).with_name("began").touch()\n' + dedented(HANGS))
    async with anyio.create_task_group() as group:
        group.start_soon(NvidiaSmi(patience=25).read)
        with anyio.fail_after(10):
            while not exists(path / "began"):
                await anyio.sleep(0.01)
        group.cancel_scope.cancel()
    await none_at_work()


def dedented(code: str) -> str:
    return "\n".join(line.strip() for line in code.splitlines())


def exists(path: Path) -> bool:
    return path.exists()


async def none_at_work() -> None:
    """Return when no thread waits for an ``nvidia-smi`` any more, within a bound."""
    with anyio.fail_after(5):
        while any(thread.name == "nvidia-smi" for thread in threading.enumerate()):
            await anyio.sleep(0.01)
