//! Classifies images with a trained model: `cargo run --release --example predict -- RUN face.jpg more.png`

use mien::Classifier;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let model = arguments.next().ok_or("usage: predict MODEL IMAGE...")?;

    // The file holds the weights and all that belongs to them: classes, input size, normalisation,
    // temperature.
    let classifier = Classifier::open(model)?;
    for image in arguments {
        let answer = classifier.classify_file(&image)?;
        println!("{}", image.display());
        for (class, probability) in answer.ranked() {
            println!("{class:>10} {:5.1} %", 100.0 * probability);
        }
    }
    Ok(())
}
