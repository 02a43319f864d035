//! Any bytes become an image within the limits or an error of one line.
//!
//! A dependency's panic that `decode` catches is no finding; memory beyond the limits, a hang and a panic
//! elsewhere are.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[allow(dead_code)]
#[path = "../../src/image"]
mod image {
    pub mod decode;
    pub(crate) mod jpeg_segments;
    mod rgb;

    pub use self::rgb::RgbImage;
}
#[allow(dead_code)]
#[path = "../../src/text.rs"]
mod text;

use self::image::decode::{MAX_SIDE, decode};

fuzz_target!(|bytes: &[u8]| {
    match decode(bytes) {
        Ok(image) => {
            assert!((1..=MAX_SIDE).contains(&image.width) && (1..=MAX_SIDE).contains(&image.height));
            assert_eq!(image.pixels.len(), image.width * image.height * 3);
        }
        Err(error) => assert!(!error.to_string().contains(['\n', '\r'])),
    }
});
