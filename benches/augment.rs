//! Speed of the offline augmenter, side by side with the Pillow + OpenCV script of the same operations and
//! with what the file system allows: `cargo bench --bench augment -- [--python PYTHON] [--work DIR]
//! [--repeats N] [--scale X] [SOURCE…]`.
//!
//! The data sets are drawn: 48×48 PNG, 48×48 JPEG and 256×256 JPEG, all in colour; SOURCE adds folders of
//! your own. Without --python (an interpreter with Pillow and OpenCV, see scripts/compare_augment.py) mien
//! runs alone. All sides take turns, `--repeats` times; the figures are medians of files per second,
//! originals included, as each side measures itself. Everything is written below DIR, to fresh folders, and
//! removed at the end: ext4 is slow for a while where many files have just been deleted.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use mien::faces::draw::{DrawConfig, Style, write_set};
use mien::image::Bitmap;
use mien::image::decode::decode;
use mien::image::encode::{Encoder, Subsampling};

const COPIES: &str = "2";

struct Options {
    python: Option<String>,
    work: PathBuf,
    repeats: usize,
    scale: f64,
    sources: Vec<PathBuf>,
}

/// What one run of one side said of itself.
#[derive(Clone, Copy, Default)]
struct Figures {
    files_per_second: f64,
    peak_mib: f64,
    bytes: u64,
}

fn main() {
    let options = options();
    let work = tempfile::Builder::new()
        .prefix("mien-bench-")
        .tempdir_in(&options.work)
        .expect("a folder to work in");
    let mut sets = drawn_sets(work.path(), options.scale);
    for source in &options.sources {
        sets.push((source.display().to_string(), source.clone()));
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/compare_augment.py");
    println!(
        "{COPIES} copies of each image; median of {} turns (least to most); files/s count all files written",
        options.repeats
    );
    for (name, source) in &sets {
        let mut sides: BTreeMap<usize, (&str, Vec<Figures>)> = BTreeMap::new();
        for turn in 0..options.repeats {
            let out = |side: usize| {
                work.path()
                    .join(format!("{}-{turn}-{side}", source.file_name().unwrap_or_default().display()))
            };
            let mut record = |side: usize, label: &'static str, figures: Figures| {
                sides.entry(side).or_insert((label, Vec::new())).1.push(figures);
            };
            for (side, label, threads, profile) in [
                (0, "mien, 2 threads", "2", "reference"),
                (1, "mien, 2 threads, profile safe", "2", "safe"),
                (2, "mien, 1 thread", "1", "reference"),
            ] {
                record(side, label, run_mien(source, &out(side), threads, profile));
            }
            if let Some(python) = &options.python {
                for (side, label, processes) in
                    [(3, "script, 1 process", "1"), (4, "script, 2 processes", "2")]
                {
                    record(side, label, run_script(python, &script, source, &out(side), processes));
                }
            }
            record(5, "the files alone, 2 threads", write_alone(&out(0), &out(5)));
        }
        println!("\n{name}");
        let base = sides.get(&3).map(|(_, figures)| median(figures.iter().map(|f| f.files_per_second)));
        for (label, figures) in sides.values() {
            let mut speeds: Vec<f64> = figures.iter().map(|f| f.files_per_second).collect();
            speeds.sort_by(f64::total_cmp);
            let speed = median(speeds.iter().copied());
            let ratio = base.map_or(String::new(), |base| format!("{:>6.1} x", speed / base));
            let peak = median(figures.iter().map(|f| f.peak_mib));
            let peak = if peak > 0.0 { format!("{peak:>5.0} MiB at most") } else { String::new() };
            let bytes = if figures[0].bytes > 0 {
                format!("{:>8.1} MB", figures[0].bytes as f64 / 1e6)
            } else {
                String::new()
            };
            println!(
                "  {label:<30} {speed:>8.0} files/s  ({:.0} to {:.0}) {ratio:<9}{bytes:<12}{peak}",
                speeds[0],
                speeds[speeds.len() - 1]
            );
        }
    }
}

fn options() -> Options {
    let mut options =
        Options { python: None, work: std::env::temp_dir(), repeats: 5, scale: 1.0, sources: Vec::new() };
    let mut words = std::env::args().skip(1).filter(|word| word != "--bench");
    while let Some(word) = words.next() {
        let mut value = || words.next().unwrap_or_else(|| panic!("{word} needs a value"));
        match word.as_str() {
            "--python" => options.python = Some(value()),
            "--work" => options.work = value().into(),
            "--repeats" => options.repeats = value().parse().expect("--repeats: a whole number"),
            "--scale" => options.scale = value().parse().expect("--scale: a number"),
            _ => options.sources.push(word.into()),
        }
    }
    options
}

/// Drawn faces as PNG, and the same as JPEG of quality 90 with halved colour, as cameras write it.
fn drawn_sets(work: &Path, scale: f64) -> Vec<(String, PathBuf)> {
    let mut sets = Vec::new();
    for (size, per_class) in [(48, 600.0), (256, 60.0)] {
        let png = work.join(format!("png{size}"));
        let per_class = (per_class * scale) as usize;
        write_set(&png, &DrawConfig { per_class, size, seed: 1, style: Style::Photo }, &|| {})
            .expect("drawn faces");
        // All of them are to be augmented: the splits become one class folder each.
        let jpeg = work.join(format!("jpeg{size}"));
        let flat = work.join(format!("flat{size}"));
        let mut encoder = Encoder::default();
        let mut bytes = Vec::new();
        for (index, file) in files(&png).into_iter().enumerate() {
            let class = file.parent().and_then(Path::file_name).expect("a class folder").to_owned();
            let content = fs::read(&file).expect("a drawn face");
            let (a, b) = (flat.join(&class), jpeg.join(&class));
            fs::create_dir_all(&a).and_then(|()| fs::create_dir_all(&b)).expect("folders");
            let image = Bitmap::from_rgb(decode(&content).expect("a drawn face"));
            encoder.jpeg(&image, 90, Subsampling::S420, &mut bytes);
            fs::write(b.join(format!("face{index:05}.jpg")), &bytes).expect("a JPEG file");
            fs::write(a.join(format!("face{index:05}.png")), &content).expect("a PNG file");
        }
        if size == 48 {
            sets.push((format!("{size}x{size} PNG, {} originals", files(&flat).len()), flat));
        }
        sets.push((format!("{size}x{size} JPEG, {} originals", files(&jpeg).len()), jpeg));
    }
    sets
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

fn run_mien(source: &Path, output: &Path, threads: &str, profile: &str) -> Figures {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mien"));
    command.arg("augment").args([source, output]).args([
        "-n",
        COPIES,
        "--threads",
        threads,
        "--profile",
        profile,
        "--json",
    ]);
    let (said, peak_mib) = run(&mut command);
    let number = |key: &str| said[key].as_f64().unwrap_or_else(|| panic!("{key} in {said}"));
    Figures {
        files_per_second: (number("originals") + number("copies")) / number("seconds"),
        peak_mib,
        bytes: number("bytes") as u64,
    }
}

fn run_script(python: &str, script: &Path, source: &Path, output: &Path, processes: &str) -> Figures {
    let mut command = Command::new(python);
    command.arg(script).args([source, output]).args(["-n", COPIES, "--processes", processes]);
    let (said, _) = run(&mut command);
    let number = |key: &str| said[key].as_f64().unwrap_or_else(|| panic!("{key} in {said}"));
    Figures {
        files_per_second: number("files_per_second"),
        peak_mib: number("peak_rss_self_kib").max(number("peak_rss_largest_child_kib")) / 1024.0,
        bytes: files(output).iter().map(|file| fs::metadata(file).map_or(0, |about| about.len())).sum(),
    }
}

/// Runs a command; returns the JSON of its last line and its peak memory in MiB (0 where the system does not
/// tell).
fn run(command: &mut Command) -> (serde_json::Value, f64) {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let mut pipe = child.stdout.take().expect("a pipe");
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        pipe.read_to_string(&mut text).map(|_| text).expect("text")
    });
    // The high-water mark that the system keeps for a process, read until it ends; that of `wait` would count
    // the bench's own pages.
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0.0f64;
    while child.try_wait().expect("a child to wait for").is_none() {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let mark = text
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse::<f64>().ok());
        peak = peak.max(mark.unwrap_or(0.0) / 1024.0);
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    assert!(child.wait().expect("the program ends").success(), "{command:?} failed");
    let text = reader.join().expect("the reader ends");
    let line = text.lines().last().unwrap_or_else(|| panic!("{command:?} said nothing"));
    (serde_json::from_str(line).unwrap_or_else(|e| panic!("{command:?}: {e}: {line}")), peak)
}

/// Writes the same files again, from memory: created, renamed and nothing else.
fn write_alone(written: &Path, output: &Path) -> Figures {
    let all: Vec<(PathBuf, Vec<u8>)> = files(written)
        .into_iter()
        .filter(|file| file.extension().is_some_and(|ending| ending != "json" && ending != "jsonl"))
        .map(|file| {
            (output.join(file.strip_prefix(written).expect("below")), fs::read(&file).expect("a file"))
        })
        .collect();
    all.iter().for_each(|(path, _)| fs::create_dir_all(path.parent().expect("a folder")).expect("a folder"));
    let start = Instant::now();
    std::thread::scope(|scope| {
        for half in all.chunks(all.len().div_ceil(2)) {
            scope.spawn(move || {
                for (path, bytes) in half {
                    let beside = path.with_extension("part");
                    fs::write(&beside, bytes)
                        .and_then(|()| fs::rename(&beside, path))
                        .expect("a file is written");
                }
            });
        }
    });
    Figures { files_per_second: all.len() as f64 / start.elapsed().as_secs_f64(), ..Figures::default() }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
