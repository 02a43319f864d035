//! Events on the terminal: a header, a bar per epoch, a line per epoch; or as JSON lines.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::error::Result;
use crate::run_folder::LEAKAGE;
use crate::run_folder::events::{EpochRecord, Event, Sink};
use crate::text::duration;

/// A bar on the terminal; where standard error is none, or `visible` is false, it draws nothing.
pub fn bar(visible: bool, what: &str) -> ProgressBar {
    let target = if visible { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(Some(0), target).with_message(what.to_owned());
    bar.set_style(style("{msg} {bar:30.cyan/blue} {pos}/{len} {elapsed}<{eta}"));
    bar
}

/// A count without an end on the terminal, where [`bar`] would be drawn.
pub fn spinner(visible: bool, what: &str) -> ProgressBar {
    let bar = bar(visible, what);
    bar.set_style(style("{msg} {pos} {elapsed}"));
    bar
}

/// A bar of bytes, where [`bar`] would be drawn.
pub fn byte_bar(visible: bool, what: &str) -> ProgressBar {
    let bar = bar(visible, what);
    bar.set_style(style("{msg} {bar:30.cyan/blue} {bytes}/{total_bytes} {bytes_per_sec} {eta}"));
    bar
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("━╸─")
}

/// Events for a person: bars on standard error where it is a terminal, lines on standard output.
pub struct Console {
    bar: ProgressBar,
    first_line: bool,
    /// Images and seconds of the present epoch, for the speed on the bar.
    images: usize,
    seconds: f64,
}

impl Console {
    /// A console that has printed nothing yet.
    pub fn new() -> Self {
        Self { bar: ProgressBar::hidden(), first_line: true, images: 0, seconds: 0.0 }
    }

    fn line(&self, text: &str) {
        // Bars must step aside for a line; a reader that has gone away (`| head`) is no reason to end a
        // training.
        self.bar.suspend(|| _ = writeln!(std::io::stdout(), "{text}"));
    }

    fn new_bar(&mut self, template: &str, length: usize) {
        self.bar.finish_and_clear();
        self.bar = if std::io::stderr().is_terminal() {
            let bar = ProgressBar::with_draw_target(Some(length as u64), ProgressDrawTarget::stderr());
            bar.enable_steady_tick(Duration::from_millis(250));
            bar
        } else {
            ProgressBar::hidden()
        };
        self.bar.set_style(style(template));
    }

    fn epoch(&mut self, record: &EpochRecord) {
        self.bar.finish_and_clear();
        if std::mem::take(&mut self.first_line) {
            self.line(
                "epoch   train loss    acc    val loss    acc     F1   learning rate   images/s         time",
            );
        }
        let EpochRecord { epoch, train_loss, val_loss, learning_rate, images_per_second, .. } = record;
        let (train, val) = (100.0 * record.train_accuracy, 100.0 * record.val_accuracy);
        let mark = if record.best { "  best" } else { "" };
        self.line(&format!(
            "{epoch:>5}   {train_loss:>10.4} {train:>5.1}%  {val_loss:>10.4} {val:>5.1}%  {:>5.3}   \
             {learning_rate:>13.3e}   {images_per_second:>8.1}  {:>11}{mark}",
            record.val_macro_f1,
            duration(record.seconds),
        ));
    }
}

impl Default for Console {
    fn default() -> Self {
        Self::new()
    }
}

impl Sink for Console {
    fn event(&mut self, event: &Event) -> Result<()> {
        match event {
            Event::Start { run, header, from_step } => {
                self.line(&format!("{:>10}  {}", "run", run.display()));
                header.iter().for_each(|(key, value)| self.line(&format!("{key:>10}  {value}")));
                if *from_step > 0 {
                    self.line(&format!("{:>10}  from step {from_step}", "resumed"));
                }
            }
            Event::EpochStart { epoch, epochs, batches, done } => {
                let template = format!(
                    "epoch {epoch}/{epochs} {{bar:25.cyan/blue}} {{pos}}/{{len}} {{msg}} {{eta}} left"
                );
                self.new_bar(&template, *batches);
                self.bar.set_position(*done as u64);
                self.bar.reset_eta();
                (self.images, self.seconds) = (0, 0.0);
            }
            Event::Step(step) => {
                self.images += step.images;
                self.seconds += step.seconds;
                self.bar.set_position(step.batch as u64);
                self.bar.set_message(format!(
                    "loss {:.4} acc {:.1}% {:.1} images/s",
                    step.epoch_loss,
                    100.0 * step.epoch_accuracy,
                    self.images as f64 / self.seconds.max(1e-9)
                ));
            }
            Event::Evaluating { done, of } => {
                if self.bar.length() != Some(*of as u64) || self.bar.is_finished() {
                    self.new_bar("evaluating {bar:25.cyan/blue} {pos}/{len} {eta} left", *of);
                }
                self.bar.set_position(*done as u64);
                if done == of {
                    self.bar.finish_and_clear();
                }
            }
            Event::Epoch(record) => self.epoch(record),
            Event::Saved { what, path } if what == "checkpoint" => {
                self.line(&format!("        {what} {}", path.display()))
            }
            Event::Saved { .. } => {}
            Event::Notice { text } => self.line(&format!("{:>10}  {text}", "note")),
            Event::End { reason, seconds } => {
                self.bar.finish_and_clear();
                self.line(&format!("{reason} after {}", duration(*seconds)));
            }
        }
        Ok(())
    }
}

/// Only what the user must know: warnings, on standard error.
pub struct Quiet;

impl Sink for Quiet {
    fn event(&mut self, event: &Event) -> Result<()> {
        match event {
            Event::Notice { text } => eprintln!("note: {text}"),
            Event::Start { header, .. } => {
                header
                    .iter()
                    .filter(|(key, _)| key == LEAKAGE)
                    .for_each(|(key, value)| eprintln!("{key}: {value}"));
            }
            _ => {}
        }
        Ok(())
    }
}

/// Events as JSON, one object a line, on standard output.
pub struct JsonLines;

impl Sink for JsonLines {
    fn event(&mut self, event: &Event) -> Result<()> {
        if let Ok(json) = serde_json::to_string(event) {
            _ = writeln!(std::io::stdout(), "{json}");
        }
        Ok(())
    }
}
