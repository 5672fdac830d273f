import ctypes
import math
import struct
from pathlib import Path

import pytest

from tests.lab.images.elf import ElfError, hollow

_FAILED = 999


def _mapped(name: str) -> Path:
    """Return a library this process has loaded."""
    paths = {Path(line.split()[-1]) for line in Path("/proc/self/maps").read_text().splitlines() if "/" in line}
    return next(path for path in sorted(paths) if path.name.startswith(f"{name}.so") or path.name.startswith(f"{name}-"))


@pytest.fixture(name="real", scope="module")
def real_fixture() -> Path:
    ctypes.CDLL("libm.so.6")
    return _mapped("libm")


@pytest.fixture(name="imitation", scope="module")
def imitation_fixture(real: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("hollow") / "imitation.so"
    path.write_bytes(hollow(real))
    return path


def test_the_real_loader_takes_it_and_every_function_fails(imitation: Path) -> None:
    library = ctypes.CDLL(str(imitation))
    assert library.cos(0) == library.pow(2, 3) == library.feenableexcept(1) == _FAILED
    assert math.cos(0) == 1.0


def test_variables_are_there_and_zero(imitation: Path) -> None:
    assert ctypes.c_int.in_dll(ctypes.CDLL(str(imitation)), "signgam").value == 0


def test_a_name_the_real_one_does_not_have_is_not_found(imitation: Path) -> None:
    with pytest.raises(AttributeError, match="undefined symbol: no_such_function"):
        ctypes.CDLL(str(imitation)).no_such_function  # noqa: B018  the lookup is what fails


def test_versions_of_symbols_are_kept(imitation: Path) -> None:
    library = ctypes.CDLL(str(imitation))
    find = ctypes.CDLL(None).dlvsym
    find.restype = ctypes.c_void_p
    handle = ctypes.c_void_p(library._handle)
    assert find(handle, b"exp", b"GLIBC_2.29")
    assert not find(handle, b"exp", b"GLIBC_9.99")


def test_it_is_small_and_always_the_same(real: Path, imitation: Path) -> None:
    assert hollow(real) == imitation.read_bytes()
    assert imitation.stat().st_size < real.stat().st_size / 4


def test_it_does_not_make_stacks_executable(imitation: Path) -> None:
    data = imitation.read_bytes()
    count = struct.unpack_from("<H", data, 56)[0]
    segments = [struct.unpack_from("<II", data, 64 + 56 * index) for index in range(count)]
    assert (0x6474E551, 6) in segments


def test_thread_local_variables_are_refused() -> None:
    with pytest.raises(ElfError, match="thread-local"):
        hollow(_mapped("libc"))


@pytest.mark.parametrize("content", [b"#!/bin/sh\n" * 20, b"\x7fELF\x01\x01\x01" + bytes(80)])
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(ElfError, match="not a shared library"):
        hollow(tmp_path / "file")
