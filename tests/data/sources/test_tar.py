import os
import tarfile
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.data.sources.making import add, write_tars
from tlkit.data.sources.tar import read_tar_member, scan_tar
from tlkit.errors import ImageError
from tlkit.utils.storage import RemotePath


def test_positions_are_those_of_the_bytes(colors, tmp_path, s3):
    file = write_tars(colors, tmp_path / "t", count=1)[0]
    remote = RemotePath(s3.upload(tmp_path / "t", "s3://tars")) / file.name
    raw, here, there = file.read_bytes(), scan_tar(file), scan_tar(remote)
    assert here == there
    with tarfile.open(file) as tar:
        for member in tar:
            start, size = here.positions[member.name]
            assert raw[start : start + size] == tar.extractfile(member).read()
    assert here.labels["blue_0.cls"] == b"blue"
    assert not any(name.endswith(".png") for name in here.labels)


def test_many_threads_read_members(colors, tmp_path, s3):
    file = write_tars(colors, tmp_path / "t", count=1)[0]
    remote = RemotePath(s3.upload(tmp_path / "t", "s3://tars/threads")) / file.name
    names = [f"{path.parent.name}_{path.name}" for path in sorted(colors.rglob("*.png"))] * 3
    expected = [(colors / name.replace("_", "/")).read_bytes() for name in names]
    for shard in (file, remote):
        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(lambda name, shard=shard: read_tar_member(shard, name, 1 << 20), names)) == expected


def test_links_and_devices_are_no_members(tmp_path):
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        add(tar, "1.jpg", b"image")
        for kind, name in (
            (tarfile.SYMTYPE, "link.jpg"),
            (tarfile.FIFOTYPE, "pipe.jpg"),
            (tarfile.DIRTYPE, "folder.jpg"),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            tar.addfile(info)
        add(tar, "../out.jpg", b"outside")
    assert set(scan_tar(tmp_path / "x.tar").positions) == {"1.jpg", "../out.jpg"}
    assert read_tar_member(tmp_path / "x.tar", "../out.jpg", 100) == b"outside"  # a name, which leads nowhere
    with pytest.raises(ImageError, match="at most"):
        read_tar_member(tmp_path / "x.tar", "1.jpg", 3)


def test_a_shard_that_changed_is_scanned_again(tmp_path):
    for number, content in enumerate((b"first", b"the second")):
        with tarfile.open(tmp_path / "x.tar", "w") as tar:
            add(tar, f"{number}.txt", b"before" * number)
            add(tar, "1.jpg", content)
        os.utime(tmp_path / "x.tar", ns=(number, number))
        assert read_tar_member(tmp_path / "x.tar", "1.jpg", 100) == content


def test_a_member_that_is_cut_off_is_an_error(tmp_path):
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        add(tar, "1.jpg", b"x" * 5000)
    scan_tar(tmp_path / "x.tar")
    raw = (tmp_path / "x.tar").read_bytes()
    (tmp_path / "x.tar").write_bytes(raw[:2000])
    with pytest.raises(ImageError, match="cut off|damaged"):
        read_tar_member(tmp_path / "x.tar", "1.jpg", 10000)
