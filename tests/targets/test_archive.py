"""Archives are unpacked whole, within bounds and within their folder, or refused by name."""

import bz2
import gzip
import io
import multiprocessing
import tarfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atmorep.errors import DataError
from atmorep.targets.archive import Bounds, filled_once, is_packed, stem, unpack

REMEDY = "fetch it again"


def tar(*members, end=True, form=tarfile.PAX_FORMAT):
    """A tar archive of (name or header, bytes)."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as archive:
        for header, data in members:
            info = header if isinstance(header, tarfile.TarInfo) else tarfile.TarInfo(header)
            if info.isreg():
                info.size = info.size or len(data)
            archive.addfile(info, io.BytesIO(data))
    whole = buffer.getvalue()
    return whole if end else whole[: archive.offset]


def member(name, kind, target=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def unpacked(tmp_path, data, name="month.tar.gz", bounds=None):
    path, folder = tmp_path / name, tmp_path / "out/unpacked"
    path.write_bytes(data)
    folder.mkdir(parents=True)
    unpack(path, folder, bounds or Bounds(), REMEDY)
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


FILES = {"a": b"first", "b/c": b"second" * 5000, "empty": b""}


@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress])
def test_a_tar_archive_keeps_its_paths(tmp_path, pack):
    folder = member("b", tarfile.DIRTYPE)
    assert unpacked(tmp_path, pack(tar((folder, b""), *FILES.items()))) == FILES


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress])
@pytest.mark.parametrize("name", ["T_2M.2D.199501.grb.bz2", "T_2M.2D.199501.grb"])
def test_a_file_packed_alone_keeps_its_name(tmp_path, pack, name):
    assert unpacked(tmp_path, pack(b"GRIB..7777"), name) == {"T_2M.2D.199501.grb": b"GRIB..7777"}


def test_archives_within_archives(tmp_path):
    day = gzip.compress(tar(("raa01-bin.gz", gzip.compress(b"one")), ("plain", b"two")))
    month = tar(("YW_20170816.tar.gz", day), ("twice.bz2.gz", gzip.compress(bz2.compress(b"three"))))
    expected = {"YW_20170816/raa01-bin": b"one", "YW_20170816/plain": b"two", "twice": b"three"}
    assert unpacked(tmp_path, month, "month.tar") == expected


@pytest.mark.parametrize(
    ("name", "without"), [("x.tar.gz", "x"), ("x.grb.bz2", "x.grb"), ("x.nc", "x.nc"), ("a.b.tgz", "a.b")]
)
def test_stem(name, without):
    assert stem(name) == without


@settings(deadline=None)
@given(st.binary(max_size=3000), st.sampled_from([gzip.compress, bz2.compress]), st.data())
def test_what_is_cut_anywhere_is_refused_and_nothing_is_made_up(tmp_path_factory, content, pack, data):
    folder = tmp_path_factory.mktemp("cut")
    whole = pack(tar(("a", content), ("b", content)))
    cut = data.draw(st.integers(20, len(whole) - 1))
    with pytest.raises(DataError, match=r"month.tar.gz: is cut short or damaged .*; fetch it again"):
        unpacked(folder, whole[:cut])


@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress])
@pytest.mark.parametrize("end", [0, 100, 512, 700, 1024 + 512])
def test_a_tar_archive_without_its_end_is_refused(tmp_path, pack, end):
    whole = tar(("a", b"x" * 512), ("b", b"y" * 512), end=False)  # two blocks each
    with pytest.raises(DataError, match="cut short or damaged"):
        unpacked(tmp_path, pack(whole[: 512 + end]))


def test_a_damaged_header_between_members_is_no_end(tmp_path):
    whole = bytearray(tar(("a", b"x" * 512), ("b", b"y" * 512)))
    whole[1024 + 150] ^= 1  # the checksum of the second header
    with pytest.raises(DataError, match=r"cut short or damaged .*instead of a member"):
        unpacked(tmp_path, gzip.compress(bytes(whole)))


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress])
def test_a_flipped_bit_is_found_by_the_checksum(tmp_path, pack):
    data = bytearray(pack(tar(("a", bytes(range(256)) * 40))))
    data[len(data) // 2] ^= 1
    with pytest.raises(DataError, match="cut short or damaged"):
        unpacked(tmp_path, bytes(data))


HOSTILE = {
    "up": ("../x", b"x"),
    "a folder up": (member("../x", tarfile.DIRTYPE), b""),
    "up within": ("a/../../x", b"x"),
    "absolute": ("/tmp/atmorep-x", b"x"),
    "symbolic link": (member("a", tarfile.SYMTYPE, "/etc/passwd"), b""),
    "hard link": (member("a", tarfile.LNKTYPE, "../x"), b""),
    "character device": (member("a", tarfile.CHRTYPE), b""),
    "block device": (member("a", tarfile.BLKTYPE), b""),
    "pipe": (member("a", tarfile.FIFOTYPE), b""),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_members_that_leave_the_folder_or_are_no_files(tmp_path, what):
    with pytest.raises(DataError, match=r"month.tar.gz: its member .* (outside|a link or a device)"):
        unpacked(tmp_path, gzip.compress(tar(("fine", b"1"), HOSTILE[what])))
    assert sorted(p.name for p in tmp_path.rglob("*") if p.is_file()) == ["fine", "month.tar.gz"]


def test_a_link_that_members_would_go_through(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    link = member("b", tarfile.SYMTYPE, str(tmp_path / "elsewhere"))
    with pytest.raises(DataError, match="its member b is a link"):
        unpacked(tmp_path, tar((link, b""), ("b/c", b"x")))
    assert not list((tmp_path / "elsewhere").iterdir())


def test_a_path_twice(tmp_path):
    with pytest.raises(DataError, match="holds the same path twice"):
        unpacked(tmp_path, tar(("a", b"1"), ("a", b"2")))


def test_a_file_that_its_own_packed_form_would_replace(tmp_path):
    with pytest.raises(DataError, match="holds a twice"):
        unpacked(tmp_path, tar(("a", b"1"), ("a.gz", gzip.compress(b"2"))))


def deep(layers):
    data = b"x"
    for _ in range(layers):
        data = gzip.compress(data)
    return data


BOMBS = {
    "bytes alone": (gzip.compress(bytes(10**7)), "more than 1000000 bytes"),
    "bytes in a tar": (gzip.compress(tar(("a", bytes(10**7)))), "more than 1000000 bytes"),
    "bytes after a tar": (gzip.compress(tar(("a", b"x")) + bytes(10**7)), "more than 1000000 bytes"),
    "bytes in all": (tar(*((str(i), bytes(200_000)) for i in range(6))), "more than 1000000 bytes"),
    "bytes within": (tar(("a.gz", gzip.compress(bytes(10**7)))), "holds a.gz, which unpacks to more"),
    "members": (tar(*((str(i), b"") for i in range(21))), "more than 20 members"),
    "folders": (tar(*((member(str(i), tarfile.DIRTYPE), b"") for i in range(21))), "more than 20 members"),
    "layers": (deep(5), "more than 4 deep"),
}


@pytest.mark.parametrize("what", BOMBS)
def test_bombs(tmp_path, what):
    data, message = BOMBS[what]
    with pytest.raises(DataError, match=f"month.tar.gz: .*{message}.*; fetch it again"):
        unpacked(tmp_path, data, bounds=Bounds(size=10**6, members=20))


def test_a_size_that_is_only_said_is_refused_before_it_is_read(tmp_path):
    info = tarfile.TarInfo("a")
    info.size = 10**15
    whole = info.tobuf(tarfile.GNU_FORMAT) + bytes(1024)
    with pytest.raises(DataError, match="unpacks to more than"):
        unpacked(tmp_path, whole)


def test_a_header_that_would_fill_the_memory(tmp_path):
    info = member("a", tarfile.XHDTYPE)
    info.size = 10**12
    with pytest.raises(DataError, match="a header of 1000000000000 bytes"):
        unpacked(tmp_path, info.tobuf(tarfile.GNU_FORMAT) + bytes(1024))


def negative(header):
    """A header whose size is minus 512, in base 256."""
    raw = bytearray(header.tobuf(tarfile.GNU_FORMAT))
    raw[124:136] = b"\xff" * 10 + b"\xfe\x00"
    raw[148:156] = b"%06o\0 " % (sum(raw[:148]) + sum(raw[156:512]) + 8 * 32)
    return bytes(raw)


def sized(size):
    info = tarfile.TarInfo("a")
    info.pax_headers = {"size": size}
    return info


ODD = {
    "size below zero": negative(tarfile.TarInfo("a")) + bytes(1024),
    "size below zero of an extended header": negative(member("a", tarfile.XHDTYPE)) + bytes(1024),
    "size below zero within one": tar((sized("-512"), b"")),
    "headers of headers": member("a", tarfile.XHDTYPE).tobuf() * 5000,
    "name too long": tar(("a" * 5000, b"x")),
}


@pytest.mark.parametrize("what", ODD)
def test_headers_of_no_sense(tmp_path, what):
    with pytest.raises(DataError, match=r"month.tar.gz: .*; fetch it again"):
        unpacked(tmp_path, ODD[what])


@pytest.mark.parametrize("data", [b"", b"<html>Not now</html>", b"GRIB"])
def test_what_is_not_packed(tmp_path, data):
    with pytest.raises(DataError, match=r"month.tar.gz: is neither bzip2, gzip nor tar; fetch it again"):
        unpacked(tmp_path, data)
    assert not is_packed(tmp_path / "month.tar.gz")


def test_real_files(tmp_path, shared):
    (tmp_path / "out").mkdir()
    unpack(shared / "radar_precip/radolan_wradlib/RW-20221018.tar.gz", tmp_path / "out", Bounds(), REMEDY)
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert len(names) == 24
    assert names[0].endswith(".asc")


def fill(folder):
    (folder / "file").write_text("whole")
    with (folder.parent / "fills").open("a") as count:
        count.write("x")


def test_a_folder_is_filled_once_by_many(tmp_path):
    (tmp_path / ".month.99999999.part").mkdir()
    with multiprocessing.get_context("fork").Pool(4) as pool:
        pool.starmap(filled_once, [(tmp_path / "month", fill)] * 8)
    assert (tmp_path / "fills").read_text() == "x"
    assert (tmp_path / "month/file").read_text() == "whole"
    assert not (tmp_path / ".month.99999999.part").exists()


def test_a_folder_that_cannot_be_filled_is_not_there(tmp_path):
    def broken(folder):
        (folder / "half").write_text("")
        raise DataError("broken")

    for _ in range(2):
        with pytest.raises(DataError):
            filled_once(tmp_path / "month", broken)
    assert [path.name for path in tmp_path.iterdir()] == [".month.lock"]
