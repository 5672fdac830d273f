"""Hollow shared libraries: all names of a real one, and behind them a function that says it failed.

The CUDA build of torch does not load without CUDA's libraries: gigabytes of GPU code that a machine without a GPU never runs. A
hollow copy keeps the tables by which others find and check a library (name, symbols, versions) byte for byte, and points every
function to the same few instructions and every variable to zeros. For 64-bit little-endian x86.
"""

import struct
from dataclasses import dataclass
from pathlib import Path

_IDENT = b"\x7fELF\x02\x01\x01"
_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SEGMENT = struct.Struct("<IIQQQQQQ")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_ENTRY = struct.Struct("<QQ")
_SHARED, _X86_64 = 3, 62
_PAGE, _ALIGN = 0x1000, 64
_SEGMENTS, _LOAD, _DYNAMIC, _STACK = 4, 1, 2, 0x6474E551
_READ_EXECUTE, _READ_WRITE = 5, 6

# What the tables are called as sections (in a file) and as dynamic entries (in memory).
_SECTION_DYNAMIC, _SECTION_SYMBOLS, _SECTION_VERSIONS_DEFINED, _SECTION_VERSIONS = 6, 11, 0x6FFFFFFD, 0x6FFFFFFF
_HASH, _STRTAB, _SYMTAB, _STRSZ, _SYMENT, _SONAME = 4, 5, 6, 10, 11, 14
_VERSYM, _VERDEF, _VERDEFNUM = 0x6FFFFFF0, 0x6FFFFFFC, 0x6FFFFFFD

_UNDEFINED, _ABSOLUTE = 0, 0xFFF1
_OBJECT, _FUNCTION, _THREAD_LOCAL, _INDIRECT_FUNCTION = 1, 2, 6, 10
# mov eax, 999; ret: "unknown error" in CUDA's numbers, and not success in any other.
_FAIL = b"\xb8\xe7\x03\x00\x00\xc3"


class ElfError(ValueError):
    """A library that cannot be imitated."""


@dataclass(frozen=True)
class _Tables:
    symbols: bytes
    strings: bytes
    soname: int  # where in the strings
    versions: bytes
    versions_defined: bytes
    version_count: int


def hollow(library: Path) -> bytes:
    """Return a library that is loaded in place of this one and does nothing."""
    return _write(_read(library))


def _read(library: Path) -> _Tables:
    with library.open("rb") as file:

        def at(offset: int, size: int) -> bytes:
            file.seek(offset)
            return file.read(size)

        header = _HEADER.unpack(at(0, _HEADER.size))
        if not header[0].startswith(_IDENT) or header[1:3] != (_SHARED, _X86_64):
            raise ElfError(f"{library} is not a shared library for x86-64")
        first, size, count = header[6], header[11], header[12]
        sections = [_SECTION.unpack(at(first + index * size, _SECTION.size)) for index in range(count)]
        by_kind = {section[1]: section for section in sections}
        if _SECTION_SYMBOLS not in by_kind or _SECTION_DYNAMIC not in by_kind:
            raise ElfError(f"{library} has no table of symbols")

        def table(section: tuple[int, ...] | None) -> bytes:
            return at(section[4], section[5]) if section else b""

        symbols, defined = by_kind[_SECTION_SYMBOLS], by_kind.get(_SECTION_VERSIONS_DEFINED)
        sonames = [value for tag, value in _ENTRY.iter_unpack(table(by_kind[_SECTION_DYNAMIC])) if tag == _SONAME]
        return _Tables(
            table(symbols),
            table(sections[symbols[6]]),
            sonames[0],
            table(by_kind.get(_SECTION_VERSIONS)),
            table(defined),
            defined[7] if defined else 0,
        )


def _write(tables: _Tables) -> bytes:
    out = bytearray(_HEADER.size + _SEGMENTS * _SEGMENT.size)

    def put(data: bytes, align: int = _ALIGN) -> int:
        out.extend(bytes(-len(out) % align) + data)
        return len(out) - len(data)

    code = put(_FAIL)
    symbols = put(bytes(len(tables.symbols)))
    entries = {
        _SYMTAB: symbols,
        _SYMENT: _SYMBOL.size,
        _STRTAB: put(tables.strings),
        _STRSZ: len(tables.strings),
        _SONAME: tables.soname,
        _HASH: put(_hash_table(tables)),
    }
    if tables.versions:
        entries[_VERSYM] = put(tables.versions)
    if tables.versions_defined:
        entries |= {_VERDEF: put(tables.versions_defined), _VERDEFNUM: tables.version_count}
    read_only = len(out)
    dynamic_table = b"".join(_ENTRY.pack(tag, value) for tag, value in [*sorted(entries.items()), (0, 0)])
    dynamic = put(dynamic_table, _PAGE)
    data = dynamic + len(dynamic_table)
    pointed, data_end = _point(tables.symbols, code, data)
    out[symbols : symbols + len(pointed)] = pointed
    segments = [
        (_LOAD, _READ_EXECUTE, 0, 0, 0, read_only, read_only, _PAGE),
        (_LOAD, _READ_WRITE, dynamic, dynamic, dynamic, len(dynamic_table), data_end - dynamic, _PAGE),
        (_DYNAMIC, _READ_WRITE, dynamic, dynamic, dynamic, len(dynamic_table), len(dynamic_table), 8),
        # Without it the loader would make every stack executable.
        (_STACK, _READ_WRITE, 0, 0, 0, 0, 0, 16),
    ]
    header = (_IDENT, _SHARED, _X86_64, 1, 0, _HEADER.size, 0, 0, _HEADER.size, _SEGMENT.size, _SEGMENTS, 0, 0, 0)
    out[: _HEADER.size] = _HEADER.pack(*header)
    out[_HEADER.size : _HEADER.size + _SEGMENTS * _SEGMENT.size] = b"".join(_SEGMENT.pack(*segment) for segment in segments)
    return bytes(out)


def _point(symbols: bytes, code: int, data: int) -> tuple[bytes, int]:
    """Return the symbols with functions at ``code`` and variables one after the other from ``data``, and where those end."""
    pointed = bytearray()
    for name, info, other, section, value, size in _SYMBOL.iter_unpack(symbols):
        kind = info & 0xF
        if section in {_UNDEFINED, _ABSOLUTE}:
            pointed += _SYMBOL.pack(name, info, other, section, value, size)
        elif kind == _THREAD_LOCAL:
            raise ElfError("thread-local variables are not imitated")
        elif kind == _OBJECT:
            data += -data % _ALIGN
            pointed += _SYMBOL.pack(name, info, other, section, data, size)
            data += size
        else:
            plain = info & 0xF0 | (_FUNCTION if kind == _INDIRECT_FUNCTION else kind)
            pointed += _SYMBOL.pack(name, plain, other, section, code, len(_FAIL))
    return bytes(pointed), data


def _hash_table(tables: _Tables) -> bytes:
    names = [name for name, *_ in _SYMBOL.iter_unpack(tables.symbols)]
    buckets, chains = [0] * max(1, len(names) // 2), [0] * len(names)
    for index, name in enumerate(names[1:], start=1):
        bucket = _hash(tables.strings[name : tables.strings.index(b"\0", name)]) % len(buckets)
        chains[index], buckets[bucket] = buckets[bucket], index
    return struct.pack(f"<{2 + len(buckets) + len(chains)}I", len(buckets), len(chains), *buckets, *chains)


def _hash(name: bytes) -> int:
    value = 0
    for byte in name:
        value = (value << 4) + byte
        high = value & 0xF0000000
        value = (value ^ high >> 24) & ~high & 0xFFFFFFFF
    return value
