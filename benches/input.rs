//! Speed of the input transforms on one core: `cargo bench --bench input [-- SECONDS_PER_CASE]
//! [PART_OF_A_NAME]`.
//!
//! Prints the median over repeats of the images per second of one thread, with the slowest and the fastest
//! repeat. On Unix the time is what the thread spent on a core, so that other work on the machine disturbs
//! little; elsewhere it is the clock's.

use std::hint::black_box;
use std::path::Path;
use std::time::Duration;

use mien::image::RgbImage;
use mien::image::decode::decode;
use mien::image::encode::encode_png;
use mien::input::transform::{Drawn, Normalization, Scratch, TransformConfig, eval_pixels, train_pixels};
use mien::random::{Purpose, rng};
use rand::Rng;

const SIZE: usize = 256;
const REPEATS: usize = 9;

fn main() {
    let seconds = std::env::args().skip(1).find_map(|word| word.parse::<f64>().ok()).unwrap_or(1.0);
    println!("one thread, target {SIZE}x{SIZE}, median of {REPEATS} repeats (slowest to fastest)");

    let all = TransformConfig::default();
    let without_contrast = TransformConfig { contrast: 0.0, ..all.clone() };
    let geometry_only =
        TransformConfig { brightness: 0.0, contrast: 0.0, saturation: 0.0, hue: 0.0, ..all.clone() };
    for (name, image) in images() {
        let normalization = Normalization::default();
        let mut scratch = Scratch::default();
        let mut out = vec![0.0; 3 * SIZE * SIZE];
        report(&format!("{name}: resize and normalise"), seconds, |_| {
            eval_pixels(black_box(&image), SIZE, &normalization, &mut scratch, &mut out);
        });
        let configs = [
            ("all transforms", &all),
            ("without contrast", &without_contrast),
            ("flip, rotation, shift", &geometry_only),
        ];
        for (what, config) in configs {
            report(&format!("{name}: {what}"), seconds, |index| {
                let drawn = Drawn::draw(config, SIZE, &mut rng(1, Purpose::Sample, 0, index));
                train_pixels(black_box(&image), SIZE, &drawn, &normalization, &mut scratch, &mut out);
            });
        }
        black_box(&out);
    }
    for (name, file) in files() {
        report(&format!("{name}: decode"), seconds, |_| {
            black_box(decode(black_box(&file))).expect("the bench's own images decode");
        });
    }
}

/// Noise over a slope, grey and in colour, in the sizes that matter.
fn images() -> Vec<(String, RgbImage)> {
    let mut images = Vec::new();
    for side in [48, 256] {
        let mut random = rng(7, Purpose::Draw, side as u64, 0);
        let mut noisy = |index: usize| ((index * 160 / (side * side)) as u64 + random.next_u64() % 96) as u8;
        let grey: Vec<u8> = (0..side * side).map(&mut noisy).collect();
        images.push((format!("{side}x{side} grey"), RgbImage::from_grey(side, side, &grey)));
        let colour = (0..side * side * 3).map(|index| noisy(index / 3)).collect();
        images.push((format!("{side}x{side} colour"), RgbImage::new(side, side, colour)));
    }
    images
}

/// Small images as files.
fn files() -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/transform");
    let mut files: Vec<(String, Vec<u8>)> = ["grey", "color"]
        .map(|name| (format!("48x48 {name}.jpg"), std::fs::read(folder.join(name).with_extension("jpg"))))
        .into_iter()
        .filter_map(|(name, file)| file.ok().map(|file| (name, file))) // a published package has no fixtures
        .collect();
    files.extend(images().iter().take(2).map(|(name, image)| (format!("{name} PNG"), encode_png(image))));
    files
}

/// Runs `work` with a running number, for `seconds` in all, and prints its speed.
fn report(name: &str, seconds: f64, mut work: impl FnMut(u64)) {
    if std::env::args()
        .skip(1)
        .any(|word| word.parse::<f64>().is_err() && !word.starts_with('-') && !name.contains(&word))
    {
        return;
    }
    let limit = Duration::from_secs_f64(seconds / REPEATS as f64);
    (0..20).for_each(&mut work);
    let mut index = 0;
    let mut speeds: Vec<f64> = (0..REPEATS)
        .map(|_| {
            let (start, first) = (thread_time(), index);
            let mut spent = Duration::ZERO;
            while spent < limit {
                (index..index + 10).for_each(&mut work);
                index += 10;
                spent = thread_time() - start;
            }
            (index - first) as f64 / spent.as_secs_f64()
        })
        .collect();
    speeds.sort_by(f64::total_cmp);
    let (slowest, median, fastest) = (speeds[0], speeds[REPEATS / 2], speeds[REPEATS - 1]);
    println!("{name:<44} {median:>7.0} images/s  ({slowest:.0} to {fastest:.0})");
}

/// The time that this thread has spent on a core.
#[cfg(unix)]
fn thread_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid place for one timespec.
    let status = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    assert_eq!(status, 0, "the thread's clock cannot be read");
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// The time since the first call.
#[cfg(not(unix))]
fn thread_time() -> Duration {
    use std::sync::OnceLock;
    use std::time::Instant;
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed()
}
