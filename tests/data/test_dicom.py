"""DICOM files: rescaling, window, inversion, color, frames; broken ones."""

import io

import numpy as np
import pytest

from tlkit.data.decode import open_upright, read_header
from tlkit.data.image import ImageSpec, decode_image
from tlkit.errors import ImageError

pydicom = pytest.importorskip("pydicom")


def dicom(pixels, **tags):
    """The bytes of a DICOM file with these stored pixels."""
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian

    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    meta.MediaStorageSOPInstanceUID = "1.2.3"
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.Rows, dataset.Columns = pixels.shape[:2]
    dataset.SamplesPerPixel = 3 if pixels.ndim == 3 else 1
    dataset.PhotometricInterpretation = "RGB" if pixels.ndim == 3 else "MONOCHROME2"
    if pixels.ndim == 3:
        dataset.PlanarConfiguration = 0
    dataset.BitsAllocated = dataset.BitsStored = 8 * pixels.dtype.itemsize
    dataset.HighBit, dataset.PixelRepresentation = dataset.BitsStored - 1, int(pixels.dtype.kind == "i")
    dataset.PixelData = pixels.tobytes()
    for name, value in tags.items():
        setattr(dataset, name, value)
    content = io.BytesIO()
    dataset.save_as(content, enforce_file_format=True)
    return content.getvalue()


RAMP = np.arange(-1000, 600, 100, dtype=np.int16).reshape(4, 4)


def test_rescaling_and_window_are_applied():
    data = dicom(RAMP // 2, RescaleSlope=2, RescaleIntercept=10, WindowCenter=40, WindowWidth=401)
    shown = np.asarray(open_upright(data, 1))
    values = (RAMP // 2) * 2.0 + 10
    expected = np.rint(255 * ((values - 39.5) / 400 + 0.5).clip(0, 1))
    assert shown.shape == (4, 4, 3)
    assert (shown[:, :, 0] == expected).all()
    assert shown.min() == 0 and shown.max() == 255


def test_the_first_of_several_windows_counts():
    several = dicom(RAMP, WindowCenter=[0, 300], WindowWidth=[800, 100])
    assert (
        np.asarray(open_upright(several, 1))
        == np.asarray(open_upright(dicom(RAMP, WindowCenter=0, WindowWidth=800), 1))
    ).all()


def test_values_without_a_window_stay_as_they_are():
    image = open_upright(dicom(RAMP, RescaleIntercept=5), 1)
    assert image.mode == "F"
    assert (np.asarray(image) == RAMP + 5).all()
    inverted = open_upright(dicom(RAMP, PhotometricInterpretation="MONOCHROME1"), 1)
    assert (np.asarray(inverted) == -RAMP.astype(float)).all()


def test_monochrome1_is_inverted_and_color_is_kept():
    window = {"WindowCenter": 0, "WindowWidth": 1000}
    plain, inverted = (
        np.asarray(open_upright(dicom(RAMP, **window, **more), 1))
        for more in ({}, {"PhotometricInterpretation": "MONOCHROME1"})
    )
    assert np.abs(plain.astype(int) + inverted - 255).max() <= 1
    color = np.random.default_rng(0).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    assert (np.asarray(open_upright(dicom(color), 1)) == color).all()


def test_header_tells_size_depth_and_frames(tmp_path):
    for name, data, expected in (
        ("deep.dcm", dicom(RAMP), ((4, 4), True, False)),
        ("window.dcm", dicom(RAMP, WindowCenter=0, WindowWidth=100), ((4, 4), False, False)),
        ("frames", dicom(RAMP, NumberOfFrames=3), ((4, 4), True, True)),
    ):
        (tmp_path / name).write_bytes(data)
        header = read_header(tmp_path / name)
        assert (header.size, header.is_deep, header.is_series) == expected


def test_decode_image_describes_a_dicom_file():
    found = decode_image(dicom(np.tile(RAMP, (30, 20)), WindowCenter=0, WindowWidth=1000), ImageSpec(32))
    assert found.pixels.shape == (32, 32, 3)
    assert (found.appearance["format"], found.appearance["width"], found.appearance["height"]) == (b"DICOM", 80, 120)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (dicom(RAMP, NumberOfFrames=3), "is a DICOM file with 3 frames; expected one"),
        (b"\0" * 128 + b"DICM\2\0\0\0UL", "without an image"),
        (dicom(RAMP)[:-20], "cannot be decoded|is damaged"),
    ],
)
def test_what_cannot_be_shown_is_an_error_with_a_reason(data, words):
    with pytest.raises(ImageError, match=words):
        open_upright(data, 32)
