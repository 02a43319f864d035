//! Runs a study: makes what its variants need, trains them all, measures the synthetic images, and writes the
//! results.

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use rand::seq::SliceRandom;

use super::evaluate::{Samples, Subject, evaluate_split, evaluation_data, evenly, logits_of};
use super::prepare::{batch_source, prepare, read_run};
use super::train::resume;
use crate::augment::offline::{Originals, Request, augment};
use crate::augment::profile::Profile;
use crate::config::{Origin, Override, RunConfig};
use crate::data::{self, DataConfig, Dataset, DatasetType, Split};
use crate::device::{self, DeviceConfig, OpenDevice};
use crate::error::{Error, Result};
use crate::eval::files::read_predictions;
use crate::eval::session::Resources;
use crate::files::{self, write_csv, write_json};
use crate::model::files::weights::load_model;
use crate::random::{Purpose, rng};
use crate::run_folder::events::{Event, Silent, Sink};
use crate::run_folder::names::{BEST, EVAL, LOCK};
use crate::run_folder::{folder_name, is_run};
use crate::stats::argmax;
use crate::stats::features::{frechet_distance_after_pca, mean_pairwise_distances};
use crate::study::plan::{Job, Kind, Plan};
use crate::study::results::{Quality, QualityClass, Results};
use crate::study::{self, DATA, PLAN, QUALITY, is_finished};
use crate::train::fit::Outcome;

/// The real images' augmented copies, within the study's data folder.
const AUGMENTED: &str = "augmented";
/// Those of the synthetic images.
const SYNTHETIC_AUGMENTED: &str = "synthetic-augmented";
/// The images of the leaky protocol.
const LEAKY: &str = "leaky";
/// Principal components in which distributions of features are compared; their covariance asks for more
/// images than there are.
const COMPONENTS: usize = 16;
/// Features of at most this many images of each kind are compared.
const COMPARED: usize = 2_000;

/// What a study tells while it goes on, from any of its threads.
pub trait Listener: Sync {
    /// Something is done that is no run, in words; done and of, where that is known.
    fn working(&self, what: &str, done: usize, of: usize);
    /// A run begins: its number, of how many, its name, on which device.
    fn begins(&self, number: usize, of: usize, name: &str, device: &str);
    /// An event of a run.
    fn event(&self, name: &str, event: &Event);
    /// A run has ended.
    fn ends(&self, number: usize, of: usize, name: &str);
}

/// How a study ended.
pub enum Ended {
    /// All runs are there.
    Finished(Box<Results>),
    /// It was stopped; what is there is kept.
    Interrupted,
}

/// Runs what is missing of a study in `out`, one run at a time on each of `devices`, and writes its results.
/// Finished runs are not touched; one that was interrupted goes on.
///
/// # Errors
/// The plan is not that of `out`; whatever goes wrong in a run: the first error, when the others have ended.
pub fn run_study(
    plan: &Plan,
    out: &Path,
    devices: &[String],
    listener: &dyn Listener,
    stop: &AtomicBool,
) -> Result<Ended> {
    plan.check_paths()?;
    fs::create_dir_all(out).map_err(|e| Error::io("create", out, e))?;
    let _lock = files::lock(&out.join(LOCK))?.ok_or_else(|| {
        Error::at(out, "another mien process is working on this study").hint("Wait for it, or stop it first")
    })?;
    claim(plan, out)?;
    let jobs = plan.jobs();
    // What would fail fails before anything takes time.
    for job in &jobs {
        config_of(plan, out, job)?.validate()?;
    }
    for name in devices {
        drop(open(name)?);
    }
    if !prepare_data(plan, out, &jobs, listener, stop)? {
        return Ok(Ended::Interrupted);
    }

    let of = jobs.len();
    let queue: Mutex<VecDeque<(usize, &Job)>> = Mutex::new(jobs.iter().enumerate().collect());
    let failure: Mutex<Option<Error>> = Mutex::new(None);
    std::thread::scope(|scope| {
        for device in devices {
            let (queue, failure) = (&queue, &failure);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) && failure.lock().is_ok_and(|failure| failure.is_none()) {
                    let Some((index, job)) = queue.lock().ok().and_then(|mut queue| queue.pop_front()) else {
                        break;
                    };
                    if is_complete(out, job) {
                        continue;
                    }
                    listener.begins(index + 1, of, &job.name(), device);
                    match run_job(plan, out, job, device, listener, stop) {
                        Ok(()) => listener.ends(index + 1, of, &job.name()),
                        Err(error) => {
                            if let Ok(mut failure) = failure.lock() {
                                failure.get_or_insert(error);
                            }
                        }
                    }
                }
            });
        }
    });
    if let Some(error) = failure.into_inner().ok().flatten() {
        return Err(error);
    }
    if stop.load(Ordering::Relaxed) {
        return Ok(Ended::Interrupted);
    }
    if let (Some(synthetic), Some(first)) = (&plan.synthetic, first_real(&jobs)) {
        listener.working("measuring the synthetic images", 0, 0);
        let quality = measure_synthetic(plan, synthetic, &first.folder(out), &open(&devices[0])?)?;
        write_json(&out.join(QUALITY), &quality)?;
    }
    listener.working("writing results", 0, 0);
    let (results, _) = study::write(out, plan)?;
    Ok(Ended::Finished(Box::new(results)))
}

/// Makes `out` the folder of this plan, or finds that it is.
fn claim(plan: &Plan, out: &Path) -> Result<()> {
    let path = out.join(PLAN);
    if !path.exists() {
        if fs::read_dir(out)
            .map_err(|e| Error::io("read", out, e))?
            .filter_map(std::result::Result::ok)
            .any(|e| e.file_name() != LOCK)
        {
            return Err(Error::at(out, "the folder is not empty and does not contain a study")
                .expected("a new folder, or that of this study"));
        }
        return plan.save(&path);
    }
    if Plan::load(&path)? != *plan {
        return Err(Error::at(&path, "another study is in this folder")
            .expected("the plan it was started with")
            .hint("Choose another --out, or restore the original plan"));
    }
    Ok(())
}

fn open(name: &str) -> Result<OpenDevice> {
    device::open(&DeviceConfig { name: name.to_owned(), ..DeviceConfig::default() })
}

fn first_real(jobs: &[Job]) -> Option<&Job> {
    jobs.iter().find(|job| job.kind == Kind::Typed(DatasetType::Real))
}

/// The configuration of one run.
fn config_of(plan: &Plan, out: &Path, job: &Job) -> Result<RunConfig> {
    let set = |key: &str, value: toml::Value| Override {
        key: key.into(),
        value,
        from: Origin::Named(format!("study, {}", job.name())),
    };
    let path = |path: &Path| toml::Value::from(path.display().to_string());
    let data = out.join(DATA);
    let mut changes = vec![set("report.page", false.into())];
    changes.extend(job.changes.iter().map(|(key, value)| set(key, value.clone())));
    changes.push(set("train.seed", whole(job.seed)?));
    changes.push(set("data.split_seed", whole(plan.split_seed)?));
    match job.kind {
        Kind::Typed(kind) => {
            changes.push(set("data.root", path(&plan.real)));
            changes.push(set("data.dataset_type", kind.to_string().into()));
            if let (true, Some(synthetic)) = (kind.is_synthetic(), &plan.synthetic) {
                changes.push(set("data.synthetic", path(synthetic)));
            }
            if kind.is_augmented() {
                let copies = if kind.is_synthetic() { SYNTHETIC_AUGMENTED } else { AUGMENTED };
                changes.push(set("data.augmented", path(&data.join(copies))));
            }
        }
        Kind::Dose(count) => changes.push(set("data.root", path(&data.join(dose_list(count))))),
        Kind::Leaky => {
            changes.push(set("data.root", path(&data.join(LEAKY))));
            changes.push(set("data.allow_leakage", true.into()));
            changes.push(set("data.drop_leaking", false.into()));
        }
    }
    RunConfig::compose(plan.recipe.as_deref(), &changes)
}

fn whole(seed: u64) -> Result<toml::Value> {
    i64::try_from(seed)
        .map(Into::into)
        .map_err(|_| Error::input("seeds", format!("found {seed}")).expected("less than 2^63"))
}

fn dose_list(count: usize) -> String {
    format!("dose-{count}.csv")
}

/// Makes copies and lists, those that are not there yet. False if it was stopped.
fn prepare_data(
    plan: &Plan,
    out: &Path,
    jobs: &[Job],
    listener: &dyn Listener,
    stop: &AtomicBool,
) -> Result<bool> {
    let folder = out.join(DATA);
    fs::create_dir_all(&folder).map_err(|e| Error::io("create", &folder, e))?;
    let wants = |kind: Kind| jobs.iter().any(|job| job.kind == kind);
    let leaky = wants(Kind::Leaky);
    let wants_copies = leaky || wants(Kind::Typed(DatasetType::Augmented));
    if wants_copies && !make_copies(plan, &plan.real, &folder.join(AUGMENTED), listener, stop)? {
        return Ok(false);
    }
    if let (Some(synthetic), true) = (&plan.synthetic, wants(Kind::Typed(DatasetType::SyntheticAugmented)))
        && !make_copies(plan, synthetic, &folder.join(SYNTHETIC_AUGMENTED), listener, stop)?
    {
        return Ok(false);
    }
    if leaky && !folder.join(LEAKY).exists() {
        listener.working("splitting the leaky protocol's images", 0, 0);
        make_leaky(&folder.join(AUGMENTED), plan.split_seed, &folder.join(LEAKY))?;
    }
    let doses: Vec<usize> = plan.dose.iter().copied().filter(|count| wants(Kind::Dose(*count))).collect();
    if doses.iter().any(|count| !folder.join(dose_list(*count)).exists()) {
        let synthetic = plan
            .synthetic
            .as_ref()
            .ok_or_else(|| Error::input("dose", "there are no synthetic images").hint("Set synthetic"))?;
        listener.working("choosing synthetic images", 0, 0);
        let (real, _) = load(&real_data(plan, jobs, out)?, plan.split_seed)?;
        let apart = DataConfig {
            root: synthetic.clone(),
            classes: real.classes.clone(),
            split: [1.0, 0.0, 0.0],
            ..DataConfig::default()
        };
        let (added, _) = data::load_for_evaluation(&apart, plan.split_seed, &|_, _| ())?;
        for count in doses {
            write_dose_list(&real, &added, count, plan.split_seed, &folder.join(dose_list(count)))?;
        }
    }
    Ok(true)
}

/// The real images as the real variant has them.
fn real_data(plan: &Plan, jobs: &[Job], out: &Path) -> Result<DataConfig> {
    let job = jobs.first().ok_or_else(|| Error::input("variants", "there are no variants"))?;
    let changes: Vec<_> = plan.set.clone();
    let real = Job { variant: "real".into(), seed: job.seed, kind: Kind::Typed(DatasetType::Real), changes };
    Ok(DataConfig { debug_subset: None, ..config_of(plan, out, &real)?.data })
}

fn load(config: &DataConfig, seed: u64) -> Result<(Dataset, data::ImageStore)> {
    data::load(config, seed, &|_, _| ())
}

/// Augments `source` into `output`. False if it was stopped.
fn make_copies(
    plan: &Plan,
    source: &Path,
    output: &Path,
    listener: &dyn Listener,
    stop: &AtomicBool,
) -> Result<bool> {
    // Renamed when it is whole, so that what is there is whole.
    if output.exists() {
        return Ok(true);
    }
    let part = output.with_extension("part");
    let group_regex =
        plan.set.iter().find(|(key, _)| key == "data.group_regex").and_then(|(_, value)| value.as_str());
    let copies =
        u32::try_from(plan.augment.copies).map_err(|_| Error::input("augment.copies", "is too large"))?;
    let request = Request {
        source: source.to_owned(),
        output: part.clone(),
        copies,
        profile: Profile::load(&plan.augment.profile)?,
        seed: plan.split_seed,
        threads: rayon::current_num_threads(),
        resume: part.exists(),
        emotions: Vec::new(),
        originals: Originals::Copy,
        group_regex: group_regex.map(ToOwned::to_owned),
    };
    let progress = |progress| {
        if let crate::augment::offline::Progress::Done(done, of) = progress {
            listener.working("augmenting", done, of);
        }
    };
    match augment(&request, &progress, stop) {
        Err(Error::Interrupted(_)) => Ok(false),
        other => {
            other?;
            fs::rename(&part, output).map_err(|e| Error::io("rename", &part, e))?;
            Ok(true)
        }
    }
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(|e| Error::io("read", path, e))
}

/// One row of a list.
struct Row {
    path: PathBuf,
    label: String,
    split: Split,
    group: String,
}

fn write_list(path: &Path, rows: &[Row]) -> Result<()> {
    let mut records = vec![["path", "label", "split", "group"]];
    for row in rows {
        let listed = row.path.to_str().ok_or_else(|| {
            let problem = format!("{} is no Unicode", row.path.display());
            Error::io("write", path, std::io::Error::other(problem))
        })?;
        records.push([listed, &row.label, row.split.name(), &row.group]);
    }
    write_csv(path, records)
}

/// The reference's protocol: originals and copies in one heap, split 80/10/10 at random within each class.
/// Their names would tell the loader what they are, so that they get others.
fn make_leaky(augmented: &Path, seed: u64, out: &Path) -> Result<()> {
    let scan = data::layout::scan(augmented)?;
    let classes = data::classes::resolve(augmented, scan.labels.iter().map(String::as_str), &[], 2)?;
    let mut by_class: Vec<Vec<&Path>> = vec![Vec::new(); classes.names.len()];
    for entry in &scan.entries {
        // Of train, valid and test folders only train has copies: the others stay out of the heap.
        if entry.split.is_none_or(|split| split == Split::Train)
            && let (Some(class), Some(file)) = (classes.index(&entry.label), entry.origin.path())
        {
            by_class[class].push(file);
        }
    }
    let part = out.with_extension("part");
    if part.exists() {
        fs::remove_dir_all(&part).map_err(|e| Error::io("remove", &part, e))?; // of a program that was killed
    }
    for (class, mut files) in by_class.into_iter().enumerate() {
        files.shuffle(&mut rng(seed, Purpose::Split, class as u64, u64::MAX));
        let tenth = (files.len() / 10).max(1);
        for (place, file) in files.into_iter().enumerate() {
            let split = [Split::Test, Split::Valid].get(place / tenth).copied().unwrap_or(Split::Train);
            let folder = part.join(split.name()).join(&classes.names[class]);
            fs::create_dir_all(&folder).map_err(|e| Error::io("create", &folder, e))?;
            let mut target = folder.join(format!("image{place:06}"));
            target.set_extension(file.extension().unwrap_or_default());
            if fs::hard_link(file, &target).is_err() {
                fs::copy(file, &target).map_err(|e| Error::io("write", &target, e))?;
            }
        }
    }
    fs::rename(&part, out).map_err(|e| Error::io("rename", &part, e))
}

/// The real images in their splits, and `count` synthetic ones to train on, evenly over the classes; a larger
/// dose holds the smaller.
fn write_dose_list(real: &Dataset, added: &Dataset, count: usize, seed: u64, path: &Path) -> Result<()> {
    let row = |sample: &data::Sample, group: String, split| -> Result<Row> {
        let file = sample.origin.path().ok_or_else(|| {
            Error::input("dose", format!("{} is a row of a CSV file, not an image file", sample.name))
                .expected("images in files, which a list can name")
        })?;
        Ok(Row { path: absolute(file)?, label: real.classes[sample.class].clone(), split, group })
    };
    let mut rows = Vec::new();
    for sample in real.samples.iter().filter(|sample| !sample.augmented) {
        rows.push(row(sample, sample.group.clone(), sample.split)?);
    }
    let classes = real.classes.len();
    let mut heaps: Vec<Vec<&data::Sample>> = vec![Vec::new(); classes];
    // Of a synthetic set with splits its test images are not trained on.
    for sample in added.samples.iter().filter(|sample| !sample.augmented && sample.split == Split::Train) {
        heaps[sample.class].push(sample);
    }
    for (class, heap) in heaps.iter_mut().enumerate() {
        heap.shuffle(&mut rng(seed, Purpose::Subset, class as u64, u64::MAX));
    }
    let there: usize = heaps.iter().map(Vec::len).sum();
    if there < count {
        return Err(Error::input("dose", format!("found {count}"))
            .expected(format!("at most {there}, the synthetic training images")));
    }
    let mut taken = 0;
    for turn in 0.. {
        for heap in &heaps {
            if taken < count
                && let Some(sample) = heap.get(turn)
            {
                rows.push(row(sample, format!("synthetic/{}", sample.group), Split::Train)?);
                taken += 1;
            }
        }
        if taken == count {
            break;
        }
    }
    write_list(path, &rows)
}

/// Whether a run needs nothing more. A dose's list names its images by whole paths; its evaluation is
/// complete once it has the names of the other runs'.
fn is_complete(out: &Path, job: &Job) -> bool {
    let named = || {
        let predictions = read_predictions(&job.folder(out).join(EVAL).join("test_predictions.csv"));
        predictions.is_ok_and(|(_, rows)| rows.first().is_some_and(|row| !Path::new(&row.path).is_absolute()))
    };
    is_finished(out, job) && (!matches!(job.kind, Kind::Dose(_)) || named())
}

fn run_job(
    plan: &Plan,
    out: &Path,
    job: &Job,
    device: &str,
    listener: &dyn Listener,
    stop: &AtomicBool,
) -> Result<()> {
    let folder = job.folder(out);
    let name = job.name();
    let mut sink = Forward { name: &name, listener };
    if !is_finished(out, job) {
        let outcome = if is_run(&folder) {
            let change = |config: &mut DeviceConfig| device.clone_into(&mut config.name);
            resume(&folder, change, &|_, _| (), &mut sink, stop)?
        } else {
            if folder.exists() {
                // Begun, but not yet a run.
                fs::remove_dir_all(&folder).map_err(|e| Error::io("remove", &folder, e))?;
            }
            let mut config = config_of(plan, out, job)?;
            device.clone_into(&mut config.device.name);
            prepare(config, &|_, _| ())?.train(&folder, &mut sink, stop)?
        };
        if outcome == Outcome::Interrupted {
            return Ok(());
        }
    }
    if matches!(job.kind, Kind::Dose(_)) {
        evaluate_on_real(plan, out, job, &open(device)?, &mut sink)?;
    }
    Ok(())
}

/// Evaluates a run on the test images under the names that the other runs have for them.
fn evaluate_on_real(
    plan: &Plan,
    out: &Path,
    job: &Job,
    device: &OpenDevice,
    sink: &mut dyn Sink,
) -> Result<()> {
    let folder = job.folder(out);
    let best = load_model(&folder.join(BEST), &device.device)?;
    let (dataset, store) = load(&real_data(plan, std::slice::from_ref(job), out)?, plan.split_seed)?;
    let source = batch_source(dataset, store, &best.card);
    let subject = Subject { name: folder_name(&folder), loaded: &best, run: Some(&folder) };
    let resources = Resources { device: device.clone(), batch_size: 32, workers: 2 };
    evaluate_split(&[subject], &source, Samples::Of(Split::Test), &resources, sink)?
        .write(&folder.join(EVAL), Split::Test.name())?;
    Ok(())
}

/// Asks a model of real faces about the synthetic ones: what it sees in them, how varied they are, how far
/// they are from the real ones.
fn measure_synthetic(plan: &Plan, synthetic: &Path, run: &Path, device: &OpenDevice) -> Result<Quality> {
    let best = load_model(&run.join(BEST), &device.device)?;
    let resources = Resources { device: device.clone(), batch_size: 32, workers: 2 };
    let source = evaluation_data(None, Some(synthetic), &best.card, &|_, _| ())?;
    let dataset = &source.dataset;
    let all: Vec<usize> =
        (0..dataset.samples.len()).filter(|index| !dataset.samples[*index].augmented).collect();
    let (logits, features) = logits_of(&best, &source, &all, &resources, &mut Silent)?;
    let class = |index: usize| dataset.samples[all[index]].class;
    let classes = dataset.classes.len();
    let (mut images, mut intended) = (vec![0usize; classes], vec![0usize; classes]);
    for (index, row) in logits.iter().enumerate() {
        images[class(index)] += 1;
        intended[class(index)] += usize::from(argmax(row) == class(index));
    }
    // Real images that the model has not seen in training.
    let (config, _) = read_run(run)?;
    let (real, store) = load(&config.data, plan.split_seed)?;
    let real = batch_source(real, store, &best.card);
    let unseen: Vec<usize> =
        [Split::Valid, Split::Test].into_iter().flat_map(|split| real.dataset.indices(split)).collect();
    let (_, of_real) = logits_of(&best, &real, &unseen, &resources, &mut Silent)?;
    let width = features.values.first().map_or(0, Vec::len);
    let flat = |rows: &[&Vec<f32>]| rows.iter().flat_map(|row| row.iter().copied()).collect::<Vec<f32>>();
    let kept: Vec<usize> = features.rows.iter().map(|row| class(*row)).collect();
    let kept_real: Vec<usize> =
        of_real.rows.iter().map(|row| real.dataset.samples[unseen[*row]].class).collect();
    let made: Vec<&Vec<f32>> = features.values.iter().collect();
    let taken: Vec<&Vec<f32>> = of_real.values.iter().collect();
    let spread = mean_pairwise_distances(&flat(&made), width, &kept, classes)?;
    let spread_real = mean_pairwise_distances(&flat(&taken), width, &kept_real, classes)?;
    // The yardstick: two halves of the real images, no group in both. All distances are of equally many
    // images.
    let mut groups: Vec<&str> =
        of_real.rows.iter().map(|row| real.dataset.samples[unseen[*row]].group.as_str()).collect();
    groups.sort_unstable();
    groups.dedup();
    let half = |wanted: usize| -> Vec<&Vec<f32>> {
        let is_in = |row: &&usize| {
            let group = real.dataset.samples[unseen[**row]].group.as_str();
            groups.binary_search(&group).is_ok_and(|place| place % 2 == wanted)
        };
        of_real
            .rows
            .iter()
            .zip(&of_real.values)
            .filter(|(row, _)| is_in(row))
            .map(|(_, values)| values)
            .collect()
    };
    let (first, second) = (half(0), half(1));
    let count = first.len().min(second.len()).min(made.len()).min(COMPARED);
    let some = |rows: &[&Vec<f32>]| {
        flat(&evenly(rows.len(), count).into_iter().map(|place| rows[place]).collect::<Vec<_>>())
    };
    let components = COMPONENTS.min(width).min(count / 4).max(1);
    let frechet = frechet_distance_after_pca(&some(&made), &some(&first), width, components)?;
    let frechet_real = frechet_distance_after_pca(&some(&second), &some(&first), width, components)?;
    let per_class = (0..classes)
        .map(|class| QualityClass {
            class: dataset.classes[class].clone(),
            images: images[class],
            intended: if images[class] == 0 { 0.0 } else { intended[class] as f64 / images[class] as f64 },
            diversity: spread[class].mean_distance,
            real_diversity: spread_real[class].mean_distance,
        })
        .collect();
    let model = format!("{}/{}", study::RUNS, folder_name(run));
    let right: usize = intended.iter().sum();
    Ok(Quality {
        images: all.len(),
        intended: right as f64 / all.len().max(1) as f64,
        per_class,
        frechet,
        frechet_real,
        model,
    })
}

/// Passes a run's events on under its name.
struct Forward<'a> {
    name: &'a str,
    listener: &'a dyn Listener,
}

impl Sink for Forward<'_> {
    fn event(&mut self, event: &Event) -> Result<()> {
        self.listener.event(self.name, event);
        Ok(())
    }
}
