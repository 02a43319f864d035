//! What a file that cannot be read seems to be, for the error message.

/// Images of formats that cannot be read, by their first bytes.
pub(super) fn other_image(bytes: &[u8]) -> Option<&'static str> {
    let starts = |magic: &[u8]| bytes.starts_with(magic);
    let at = |from: usize, text: &[u8]| bytes.get(from..).is_some_and(|rest| rest.starts_with(text));
    let images: [(bool, &str); 8] = [
        (starts(b"GIF8"), "a GIF image"),
        (at(4, b"ftypavif") || at(4, b"ftypavis"), "an AVIF image"),
        (
            at(4, b"ftypheic") || at(4, b"ftypheix") || at(4, b"ftypmif1") || at(4, b"ftypmsf1"),
            "a HEIC image",
        ),
        (starts(b"\0\0\0\x0cJXL ") || starts(b"\xff\x0a"), "a JPEG XL image"),
        (starts(b"\0\0\0\x0cjP  ") || starts(b"\xff\x4f\xff\x51"), "a JPEG 2000 image"),
        (starts(b"8BPS"), "a Photoshop document"),
        (starts(b"\0\0\x01\0"), "an icon"),
        (matches!(bytes, [b'P', b'1'..=b'7', b' ' | b'\n' | b'\r' | b'\t', ..]), "a PNM image"),
    ];
    images.iter().find(|(found, _)| *found).map(|(_, name)| *name)
}

/// What a file that is not an image seems to be.
pub(super) fn looks_like(bytes: &[u8]) -> &'static str {
    let head = &bytes[..bytes.len().min(1024)];
    if bytes.iter().all(|&byte| byte == 0) {
        return "nothing but zero bytes";
    }
    for (magic, name) in [
        (&b"PK\x03\x04"[..], "a ZIP archive"),
        (b"\x1f\x8b", "a gzip archive"),
        (b"%PDF", "a PDF document"),
        (b"\0\x05\x16\x07", "a macOS metadata file (._*)"),
        (b"version https://git-lfs", "a Git LFS pointer; fetch the real file with `git lfs pull`"),
    ] {
        if head.starts_with(magic) {
            return name;
        }
    }
    if head.iter().any(|&byte| byte < 0x20 && !matches!(byte, b'\t' | b'\n' | b'\r' | 0x0c | 0x1b)) {
        return "binary data of an unknown kind";
    }
    let text = String::from_utf8_lossy(head).trim_start_matches('\u{feff}').trim_start().to_ascii_lowercase();
    if text.starts_with('<')
        && (text.starts_with("<!doctype html") || text.contains("<html") || text.contains("<head"))
    {
        "an HTML page; the download may have been answered with an error page"
    } else if text.contains("<svg") {
        "an SVG drawing"
    } else if text.starts_with("<?xml") {
        "an XML file"
    } else if text.starts_with(['{', '[']) {
        "JSON text"
    } else {
        "text"
    }
}
