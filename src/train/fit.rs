//! The training loop, whole and explicit: this is what people change.
//!
//! An update reads top to bottom in `train_step`: mix (done with the batch) → forward → loss → finite check →
//! backward → clip → learning rate → update → averages.

use std::sync::atomic::Ordering;
use std::time::Instant;

use burn::tensor::{Tensor, TensorData};
use rayon::prelude::*;

use super::checkpoint::{Best, Running, State};
use super::config::Monitor;
use super::frozen::{self, Frozen};
pub use super::job::Job;
use super::loss::{LossWeights, correct};
use super::precision::LossScaler;
use crate::cpu::ComputeType;
use crate::data::Split;
use crate::error::{Error, Result};
use crate::eval::evaluate::{batch_logits, softmax};
use crate::eval::metrics;
use crate::eval::session::Session;
use crate::files::write_csv_rows;
use crate::input::batches::{Batch, Batches, Mode, bounds, make};
use crate::input::transform::Scratch;
use crate::model::files::weights::save_model;
use crate::model::layers::Pass;
use crate::model::params::host_values;
use crate::run_folder::events::{EpochRecord, Event, Sink, StepRecord};
use crate::run_folder::names::{BEST, CHECKPOINTS, EPOCHS};
use crate::stats::argmax;

/// f16's loss scale below which the gradient itself must be at fault.
const SMALLEST_SCALE: f64 = 1.0 / 16_777_216.0;

/// Why a call of [`fit`] returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All epochs are done.
    Finished,
    /// The validation loss has not fallen for long enough.
    EarlyStopped,
    /// Stopped from outside; the state is saved.
    Interrupted,
}

impl Outcome {
    /// In words, for the log.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::EarlyStopped => "early stopping",
            Self::Interrupted => "interrupted",
        }
    }
}

/// What one update did.
#[derive(Clone, Copy, Debug)]
pub struct StepResult {
    /// Mean loss of its images, before the update.
    pub loss: f64,
    /// How many were right; mixed labels count with their shares.
    pub correct: f64,
    /// Images in the update.
    pub images: usize,
    /// The rate of the update.
    pub learning_rate: f64,
    /// Norm of the gradient before clipping, where it is clipped.
    pub gradient_norm: Option<f64>,
}

/// Trains until all epochs are done, early stopping ends it or `job.stop` is set; `state` goes on from where
/// it is.
///
/// # Errors
/// A loss that is not finite (with its step and images), an image that cannot be read any more, a file that
/// cannot be written, or a failing device. The last checkpoint stays whole.
pub fn fit(job: &Job, state: &mut State, sink: &mut dyn Sink) -> Result<Outcome> {
    match state.progress.finished.as_deref() {
        Some(reason) if reason == Outcome::EarlyStopped.describe() => return Ok(Outcome::EarlyStopped),
        Some(_) => return Ok(Outcome::Finished),
        None => {}
    }
    // A run may go on in another precision.
    let scaler = state.progress.scaler.take().unwrap_or_default();
    state.progress.scaler = (job.resources.device.compute == ComputeType::F16).then_some(scaler);
    let weights = job.class_weights();
    let frozen = match frozen::prepare(job, state, sink) {
        Err(Error::Interrupted(_)) => {
            save_last(job, state, sink)?;
            return Ok(Outcome::Interrupted);
        }
        other => other?,
    };
    while state.progress.epoch < job.config.epochs {
        let started = Instant::now();
        if !train_epoch(job, state, weights.as_deref(), frozen.as_ref(), sink)? {
            save_last(job, state, sink)?;
            return Ok(Outcome::Interrupted);
        }
        let trained = state.progress.running.seconds;
        let Some(validation) = validate(job, state, frozen.as_ref(), sink)? else {
            save_last(job, state, sink)?;
            return Ok(Outcome::Interrupted);
        };
        let seconds = trained.max(started.elapsed().as_secs_f64());
        if end_epoch(job, state, &validation, seconds, sink)? {
            state.progress.finished = Some(Outcome::EarlyStopped.describe().into());
            save_last(job, state, sink)?;
            return Ok(Outcome::EarlyStopped);
        }
        let finished = state.progress.epoch == job.config.epochs;
        if finished {
            state.progress.finished = Some(Outcome::Finished.describe().into());
        }
        save_last(job, state, sink)?;
        if job.stop.load(Ordering::Relaxed) && !finished {
            return Ok(Outcome::Interrupted);
        }
    }
    Ok(Outcome::Finished)
}

/// Takes one batch through the whole of a step and of an evaluation, on a copy of the state: a wrong set-up
/// fails here, in seconds. Returns the loss. Weights, order and random draws are untouched: every draw is
/// keyed, none is used up.
///
/// # Errors
/// Whatever would go wrong in the first step.
pub fn try_one_batch(job: &Job, state: &State) -> Result<f64> {
    let mut copy = state.clone();
    if job.resources.device.compute == ComputeType::F16 {
        copy.progress.scaler.get_or_insert_with(LossScaler::default);
    }
    let order = job.order(0);
    let first = &bounds(order.len(), job.config.batch_size)[0];
    let batch = make(&job.source, &order[first.clone()], 0, &job.train_mode(0), &mut Scratch::default())?;
    let images = batch.images.clone();
    let result = train_step(job, &mut copy, &[batch], job.class_weights().as_deref())?;
    batch_logits(job.model, &copy.evaluated(), images, job.source.size, job.resources.device.compute)?;
    Ok(result.loss)
}

/// The rest of the present epoch. False if it was interrupted.
fn train_epoch(
    job: &Job,
    state: &mut State,
    class_weights: Option<&[f32]>,
    frozen: Option<&Frozen>,
    sink: &mut dyn Sink,
) -> Result<bool> {
    let config = job.config;
    let (epoch, done) = (state.progress.epoch, state.progress.batch);
    let order = job.order(epoch);
    let batches = bounds(order.len(), config.batch_size).len();
    sink.event(&Event::EpochStart { epoch: epoch + 1, epochs: config.epochs, batches, done })?;
    let known = frozen.filter(|frozen| frozen.has_train);
    let mode = if known.is_some() { Mode::Targets } else { job.train_mode(epoch) };
    let mut stream =
        Batches::start(&job.source, order, config.batch_size, done, &mode, job.resources.workers);

    let (mut mark, mut saved) = (Instant::now(), Instant::now());
    while state.progress.batch < batches {
        if job.stop.load(Ordering::Relaxed) {
            return Ok(false);
        }
        // The batches of one update: more than one only with gradient accumulation.
        let mut group = stream.by_ref().take(config.accumulation).collect::<Result<Vec<_>>>()?;
        if let Some(frozen) = known {
            group.iter_mut().for_each(|batch| batch.features = Some(frozen.gather(&batch.samples)));
        }
        let waited = mark.elapsed().as_secs_f64();
        let result = train_step(job, state, &group, class_weights)?;
        let seconds = mark.elapsed().as_secs_f64();
        mark = Instant::now();

        let progress = &mut state.progress;
        progress.batch += group.len();
        progress.step += 1;
        let running = &mut progress.running;
        running.loss += result.loss * result.images as f64;
        running.correct += result.correct;
        running.images += result.images;
        running.seconds += seconds;
        sink.event(&Event::Step(StepRecord {
            step: progress.step,
            epoch: epoch + 1,
            batch: progress.batch,
            loss: result.loss,
            accuracy: result.correct / result.images as f64,
            epoch_loss: running.loss / running.images as f64,
            epoch_accuracy: running.correct / running.images as f64,
            learning_rate: result.learning_rate,
            images: result.images,
            seconds,
            waited,
            gradient_norm: result.gradient_norm,
        }))?;
        if config.save_minutes > 0.0 && saved.elapsed().as_secs_f64() > config.save_minutes * 60.0 {
            save_last(job, state, sink)?;
            saved = Instant::now();
        }
    }
    Ok(true)
}

/// One update of the weights from one or more batches, whose gradients are averaged over all their images.
/// Moves weights, running statistics, optimizer and averages of `state`; its epochs, batches and steps are
/// counted by the caller.
///
/// # Errors
/// A loss or gradient that is not finite, or a failing device.
pub fn train_step(
    job: &Job,
    state: &mut State,
    group: &[Batch],
    class_weights: Option<&[f32]>,
) -> Result<StepResult> {
    let config = job.config;
    let device = job.resources.device.device.clone().autodiff();
    let size = job.source.size;
    let scale = state.progress.scaler.as_ref().map_or(1.0, |scaler| scaler.scale);
    let images: usize = group.iter().map(|batch| batch.targets.len()).sum();
    let mut sums: Vec<Option<Tensor<1>>> = vec![None; state.params.iter().len()];
    let (mut loss_sum, mut hits) = (0.0, 0.0);

    for (turn, batch) in group.iter().enumerate() {
        let count = batch.targets.len();
        let share = count as f64 / images as f64;

        // Forward.
        // Each pass of an update draws its own dropout.
        let key = state.progress.step << 8 | turn as u64;
        let pass = Pass::train(&state.params, config.seed, key).with_compute(job.resources.device.compute);
        let tensor = |values: &Vec<f32>, shape| {
            Tensor::<4>::from_data(TensorData::new(values.clone(), shape), &device)
        };
        let logits = match &batch.features {
            // [B, C, h, w] -> [B, K]
            Some((features, shape)) => job.model.head(tensor(features, *shape), &pass),
            // [B, 3, S, S] -> [B, K]
            None => job.model.logits(tensor(&batch.images, [count, 3, size, size]), &pass),
        };
        let statistics = pass.into_updates();

        // Loss.
        let classes = job.source.dataset.classes.len();
        let smoothing = config.label_smoothing as f32;
        let weights =
            LossWeights::new(&batch.targets, classes, smoothing, class_weights, batch.mixed.as_ref());
        let loss = weights.loss(logits.clone(), &device);
        let value = f64::from(loss.clone().into_scalar::<f32>());
        if !value.is_finite() {
            return Err(not_finite(job, state, batch, value, "loss"));
        }
        let rows = host_values(logits)?;
        let predicted: Vec<usize> = rows.chunks_exact(classes).map(argmax).collect();
        loss_sum += value * share;
        hits += correct(&predicted, &batch.targets, batch.mixed.as_ref());

        // Backward.
        let mut gradients = (loss * (share * scale)).backward();
        for (param, sum) in state.params.iter().zip(&mut sums).filter(|(param, _)| param.is_trained()) {
            let gradient = param.value.grad_remove(&mut gradients).ok_or_else(|| {
                Error::Compute(format!("{} got no gradient: the model does not use it", param.name))
            })?;
            *sum = Some(match sum.take() {
                Some(sum) => sum + gradient,
                None => gradient,
            });
        }
        for (id, value) in statistics {
            state.params.set(id, value.autodiff());
        }
    }

    // Clip.
    let mut gradient_norm = None;
    let mut factor = 1.0 / scale;
    if config.gradient_clip > 0.0 || state.progress.scaler.is_some() {
        let norm = norm(&sums)? / scale;
        if state.progress.scaler.is_none() && !norm.is_finite() {
            return Err(not_finite(job, state, &group[0], norm, "norm of the gradient"));
        }
        if state.progress.scaler.as_mut().is_some_and(|scaler| !scaler.update(norm.is_finite())) {
            // f16 overflowed: this update is left out and counted.
            if scale < SMALLEST_SCALE {
                return Err(not_finite(
                    job,
                    state,
                    &group[0],
                    norm,
                    "norm of the gradient, however little the loss is scaled,",
                ));
            }
            let learning_rate = 0.0;
            return Ok(StepResult {
                loss: loss_sum,
                correct: hits,
                images,
                learning_rate,
                gradient_norm: None,
            });
        }
        if config.gradient_clip > 0.0 {
            // torch.nn.utils.clip_grad_norm_
            factor *= (config.gradient_clip / (norm + 1e-6)).min(1.0);
            gradient_norm = Some(norm);
        }
    }
    if factor != 1.0 {
        sums.iter_mut().for_each(|sum| *sum = sum.take().map(|gradient| gradient * factor));
    }

    // Learning rate, update, averages.
    let learning_rate = job.learning_rate(state) * job.warmup(state.progress.step);
    state.optimizer.step(&mut state.params, sums, learning_rate);
    if let Some(ema) = &mut state.ema {
        ema.update(&state.params);
    }
    Ok(StepResult { loss: loss_sum, correct: hits, images, learning_rate, gradient_norm })
}

/// The Euclidean norm over all gradients, summed in a fixed order on the host so that it is the same in every
/// run.
fn norm(gradients: &[Option<Tensor<1>>]) -> Result<f64> {
    let mut sum = 0.0;
    for gradient in gradients.iter().flatten() {
        let values = host_values(gradient.clone())?;
        let parts: Vec<f64> = values
            .par_chunks(1 << 16)
            .map(|part| part.iter().map(|v| f64::from(*v) * f64::from(*v)).sum())
            .collect();
        sum += parts.iter().sum::<f64>();
    }
    Ok(sum.sqrt())
}

fn not_finite(job: &Job, state: &State, batch: &Batch, value: f64, what: &str) -> Error {
    let progress = &state.progress;
    let names: Vec<&str> = batch
        .samples
        .iter()
        .take(3)
        .map(|&sample| job.source.dataset.samples[sample].name.as_str())
        .collect();
    let rate = job.learning_rate(state) * job.warmup(progress.step);
    Error::Compute(format!(
        "the {what} is {value} at step {} (epoch {}, batch {}; images {}, …; learning rate {rate:e}); \
         expected a finite number. Lower --learning-rate, or limit the gradient with --gradient-clip 1",
        progress.step + 1,
        progress.epoch + 1,
        progress.batch + 1,
        names.join(", "),
    ))
}

/// The metrics of the validation split, of the averaged weights where EMA is on. None if it was interrupted.
fn validate(
    job: &Job,
    state: &State,
    frozen: Option<&Frozen>,
    sink: &mut dyn Sink,
) -> Result<Option<metrics::Metrics>> {
    let dataset = &job.source.dataset;
    let samples = dataset.indices(Split::Valid);
    let of = samples.len();
    let mut stopped = false;
    let mut progress = |done| {
        stopped = job.stop.load(Ordering::Relaxed) && done < of;
        if stopped {
            Err(Error::Interrupted(String::new()))
        } else {
            sink.event(&Event::Evaluating { done, of })
        }
    };
    let params = state.evaluated();
    let session = Session { model: job.model, params: &params, resources: job.resources };
    let rows = match frozen {
        None => session.logits(&job.source, &samples, &mut progress),
        Some(frozen) => {
            samples.chunks(job.config.batch_size).try_fold(Vec::with_capacity(of), |mut rows, samples| {
                let (features, shape) = frozen.gather(samples);
                rows.extend(session.head_logits(features, shape)?);
                progress(rows.len()).map(|()| rows)
            })
        }
    };
    if stopped {
        return Ok(None);
    }
    let probabilities: Vec<Vec<f32>> = rows?.iter().map(|row| softmax(row, 1.0)).collect();
    if probabilities.iter().flatten().any(|p| !p.is_finite()) {
        let (epoch, step) = (state.progress.epoch + 1, state.progress.step);
        return Err(Error::Compute(format!(
            "the model's output on the validation split is not finite after epoch {epoch} (step {step}). \
             Lower --learning-rate, or limit the gradient with --gradient-clip 1"
        )));
    }
    let targets: Vec<usize> = samples.iter().map(|&sample| dataset.samples[sample].class).collect();
    metrics::compute(&probabilities, &targets, &dataset.classes).map(Some)
}

/// Books an epoch: history, learning rate, best model, table. True if training shall stop early.
fn end_epoch(
    job: &Job,
    state: &mut State,
    val: &metrics::Metrics,
    seconds: f64,
    sink: &mut dyn Sink,
) -> Result<bool> {
    let config = job.config;
    let evaluated = state.evaluated();
    let learning_rate = job.learning_rate(state);
    let progress = &mut state.progress;
    let epoch = progress.epoch + 1;
    let value = match config.monitor {
        Monitor::ValLoss => val.loss,
        Monitor::ValAccuracy => val.accuracy,
        Monitor::ValMacroF1 => val.macro_f1,
    };
    let is_best = progress.best.is_none_or(|best| config.monitor.is_better(value, best.value));
    let running = std::mem::take(&mut progress.running);
    let Running { loss, correct, images, seconds: trained } = running;
    let images_or_one = images.max(1) as f64;
    let record = EpochRecord {
        epoch,
        step: progress.step,
        train_loss: loss / images_or_one,
        train_accuracy: correct / images_or_one,
        val_loss: val.loss,
        val_accuracy: val.accuracy,
        val_macro_f1: val.macro_f1,
        learning_rate,
        images_per_second: images as f64 / trained.max(f64::MIN_POSITIVE),
        seconds,
        best: is_best,
    };
    progress.learning_rate.observe(val.loss, config.learning_rate, &config.schedule, config.auto_lr);
    let stop = progress.early_stopping.observe(val.loss, config.patience) && config.early_stopping;
    progress.history.push(record.clone());
    progress.epoch += 1;
    progress.batch = 0;

    if is_best {
        progress.best = Some(Best { epoch, value });
        let mut card = job.card.clone();
        card.provenance.insert("epoch".into(), epoch.to_string());
        card.provenance.insert("val_loss".into(), val.loss.to_string());
        card.provenance.insert("val_accuracy".into(), val.accuracy.to_string());
        let path = job.folder.join(BEST);
        save_model(&path, &evaluated, &card)?;
        sink.event(&Event::Saved { what: "best model".into(), path })?;
    }
    if config.save_every > 0 && epoch.is_multiple_of(config.save_every) {
        let path = job.folder.join(CHECKPOINTS).join(format!("epoch-{epoch:03}.safetensors"));
        state.save(&path, &job.card)?;
        sink.event(&Event::Saved { what: "checkpoint".into(), path })?;
    }
    write_csv_rows(&job.folder.join(EPOCHS), &state.progress.history)?;
    sink.event(&Event::Epoch(record))?;
    Ok(stop)
}

fn save_last(job: &Job, state: &State, sink: &mut dyn Sink) -> Result<()> {
    let path = job.last_checkpoint();
    state.save(&path, &job.card)?;
    sink.event(&Event::Saved { what: "last checkpoint".into(), path })
}
