//! Uses a trained model from Rust: `cargo run --release --example predict -- RUN/best.safetensors face.jpg`

use std::path::PathBuf;

use mien::device::{self, DeviceConfig};
use mien::eval::evaluate::{batch_logits, softmax};
use mien::image::decode::decode;
use mien::input::transform::{Normalization, Scratch, eval_pixels};
use mien::model::files::weights::load_model;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(model), Some(image)) = (arguments.next(), arguments.next()) else {
        return Err("usage: predict MODEL IMAGE".into());
    };

    // The file holds the weights and all that belongs to them: classes, input size, normalisation,
    // temperature.
    let device = device::open(&DeviceConfig::default())?;
    let loaded = load_model(&model, &device.device)?;
    let card = &loaded.card;

    let image = decode(&std::fs::read(image)?)?;
    let mut pixels = vec![0.0; 3 * card.input_size * card.input_size]; // [1, 3, S, S]
    let normalization = Normalization { mean: card.mean, std: card.std };
    eval_pixels(&image, card.input_size, &normalization, &mut Scratch::default(), &mut pixels);

    let logits = batch_logits(&loaded.model, &loaded.params, pixels, card.input_size, device.compute)?;
    let probabilities = softmax(&logits[0], card.temperature);
    for (class, probability) in card.classes.iter().zip(probabilities) {
        println!("{class:>10} {:5.1} %", 100.0 * probability);
    }
    Ok(())
}
