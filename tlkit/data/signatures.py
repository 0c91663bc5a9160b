"""What a file is by its first bytes, for files that no decoder accepts."""

SIGNATURES = (  # (offset, bytes, what such a file is)
    (0, b"\xff\xd8", "a broken JPEG file"),
    (0, b"\x89PNG", "a broken PNG file"),
    (0, b"GIF8", "a broken GIF file"),
    (0, b"RIFF", "a broken WebP file, or sound or video"),
    (0, b"BM", "a broken BMP file"),
    (0, b"II*\0", "a TIFF or camera RAW file of a kind that cannot be read"),
    (0, b"MM\0*", "a TIFF or camera RAW file of a kind that cannot be read"),
    (4, b"ftypavi", "a broken or too large AVIF file"),
    (4, b"ftyphe", "a broken HEIC photo"),
    (4, b"ftypmif", "a broken HEIC photo"),
    (4, b"ftyp", "a video or an unknown kind of ISO media file"),
    (0, b"\0\0\1\0", "a Windows icon (ICO)"),
    (0, b"8BPS", "a Photoshop file"),
    (0, b"%PDF", "a PDF document"),
    (0, b"\0\0\0\x0cjP", "a JPEG 2000 file"),
    (0, b"PK\3\4", "a ZIP archive"),
)
HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}


def is_heif(data: bytes) -> bool:
    """Whether a file is HEIC; its box of brands tells it from AVIF where the first brand is general."""
    brands = data[8 : int.from_bytes(data[:4], "big")]
    return data[4:8] == b"ftyp" and brands[:4] in HEIF_BRANDS and b"avif" not in brands and b"avis" not in brands


def kind_of(data: bytes) -> str:
    """What a file that no decoder accepts seems to be, as the end of a sentence."""
    if not data:
        return "empty (0 bytes)"
    for offset, signature, kind in SIGNATURES:
        if data[offset : offset + len(signature)] == signature:
            return kind
    start = data[:512].lstrip().lower()
    for mark, kind in ((b"<svg", "an SVG drawing"), (b"<html", "a web page"), (b"<!doctype html", "a web page")):
        if mark in start:
            return f"{kind}, not a photo"
    return "text, not an image" if _is_text(data[:512]) else "not an image of a known format"


def _is_text(start: bytes) -> bool:
    return all(byte >= 32 or byte in b"\t\r\n\f" for byte in start)
