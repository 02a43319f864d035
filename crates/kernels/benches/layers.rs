//! Milliseconds of the convolutions of VGG-16 or ResNet-50: forward, gradient by the input, gradients by
//! weights and bias; then of ResNet-50's batch norms with ReLU, forward and backward.
//!
//! `cargo bench --bench layers -- [vgg16|resnet50] [BATCH] [SIZE] [LEVEL,…] [LAYER,…]` (vgg16 8 256, all
//! levels and layers; `-` for all; a layer is its place in the list). The threads are rayon's:
//! `RAYON_NUM_THREADS=2`. The least of several runs is printed, as other work on the machine only adds to it;
//! the levels take turns, layer by layer.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use mien_kernels::{
    ConvShape, Epilogue, Level, Norm, NormGradients, NormShape, conv_forward, conv_input_gradient,
    conv_weight_gradient, norm_backward, norm_forward, with_level,
};

/// Input and output channels, side of the input, kernel, stride, how many times.
type Layer = (usize, usize, usize, usize, usize, usize);

fn layers(model: &str, size: usize) -> Vec<Layer> {
    let s = |divisor: usize| size / divisor;
    match model {
        "resnet50" => {
            let mut list = vec![(3, 64, size, 7, 2, 1)];
            let mut input = 64;
            for (stage, blocks) in [3, 4, 6, 3].into_iter().enumerate() {
                let (inner, output, side) = (64 << stage, 256 << stage, s(4 << stage));
                let (stride, first) = if stage == 0 { (1, side) } else { (2, side * 2) };
                list.push((input, inner, first, 1, 1, 1));
                list.push((inner, inner, first, 3, stride, 1));
                list.push((input, output, first, 1, stride, 1));
                list.push((output, inner, side, 1, 1, blocks - 1));
                list.push((inner, inner, side, 3, 1, blocks - 1));
                list.push((inner, output, side, 1, 1, blocks));
                input = output;
            }
            list
        }
        _ => vec![
            (3, 64, size, 3, 1, 1),
            (64, 64, size, 3, 1, 1),
            (64, 128, s(2), 3, 1, 1),
            (128, 128, s(2), 3, 1, 1),
            (128, 256, s(4), 3, 1, 1),
            (256, 256, s(4), 3, 1, 2),
            (256, 512, s(8), 3, 1, 1),
            (512, 512, s(8), 3, 1, 2),
            (512, 512, s(16), 3, 1, 3),
        ],
    }
}

fn random(len: usize, seed: u32) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..len).map(|_| next()).collect()
}

/// The least of several runs, after one to warm up.
fn least(mut run: impl FnMut()) -> f64 {
    run();
    let (start, mut least, mut runs) = (Instant::now(), f64::INFINITY, 0);
    while runs < 5 || start.elapsed() < Duration::from_millis(300) {
        let start = Instant::now();
        run();
        least = least.min(start.elapsed().as_secs_f64());
        runs += 1;
    }
    least * 1e3
}

fn main() {
    let arguments: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let number = |place: usize, default: usize| {
        arguments.get(place).and_then(|text| text.parse().ok()).unwrap_or(default)
    };
    let model = arguments.first().map_or("vgg16", |name| name.as_str());
    let (batch, size) = (number(1, 8), number(2, 256));
    let among = |place: usize, item: &str| {
        arguments.get(place).is_none_or(|list| list == "-" || list.split(',').any(|one| one == item))
    };
    let levels: Vec<Level> = Level::available().filter(|level| among(3, level.name())).collect();

    println!(
        "{model} {size}x{size}, batch {batch}, {} threads; ms and GFLOP/s of the direct sums",
        rayon::current_num_threads()
    );
    println!(
        "{:<28} {:<9} {:>8} {:>5} {:>8} {:>5} {:>8} {:>5}",
        "layer", "level", "forward", "", "dX", "", "dW, db", ""
    );
    let mut totals = vec![[0.0; 3]; levels.len()];
    for (index, (in_channels, out_channels, side, kernel, stride, times)) in
        layers(model, size).into_iter().enumerate()
    {
        if !among(4, &index.to_string()) {
            continue;
        }
        let (height, width, padding) = (side, side, kernel / 2);
        let shape = ConvShape { batch, in_channels, out_channels, height, width, kernel, stride, padding };
        let (input, weight, bias) =
            (random(shape.input_len(), 1), random(shape.weight_len(), 2), random(out_channels, 3));
        let gradient = random(shape.output_len(), 4);
        let mut output = vec![0.0; shape.output_len()];
        let (mut by_input, mut by_weight, mut by_bias) =
            (vec![0.0; shape.input_len()], vec![0.0; shape.weight_len()], vec![0.0; out_channels]);
        let epilogue = Epilogue { bias: Some(&bias), residual: None, relu: true };
        let flops = 2.0 * shape.output_len() as f64 * (in_channels * kernel * kernel) as f64;
        for (level, total) in levels.iter().zip(&mut totals) {
            let mut ms = [0.0; 3];
            with_level(*level, || {
                ms[0] = least(|| conv_forward(&shape, &input, &weight, epilogue, &mut output));
                if index > 0 {
                    ms[1] =
                        least(|| conv_input_gradient(&shape, &gradient, None, &weight, None, &mut by_input));
                }
                ms[2] = least(|| {
                    conv_weight_gradient(&shape, &input, &gradient, None, &mut by_weight, Some(&mut by_bias))
                });
            });
            let name = format!("{in_channels}→{out_channels} {side}² {kernel}×{kernel} s{stride} ×{times}");
            print!("{name:<28} {:<9}", level.name());
            for (ms, total) in ms.iter().zip(total) {
                print!(" {ms:>8.2} {:>5.0}", if *ms > 0.0 { flops / ms / 1e6 } else { 0.0 });
                *total += ms * times as f64;
            }
            println!();
        }
    }
    for (level, [forward, dx, dw]) in levels.iter().zip(&totals) {
        println!(
            "total {:<9} forward {forward:.0} ms, dX {dx:.0} ms, dW {dw:.0} ms, step {:.0} ms",
            level.name(),
            forward + dx + dw
        );
    }
    if model == "resnet50" && among(4, "norm") {
        norms(batch, size, &levels);
    }
}

/// The batch norms, one after each convolution.
fn norms(batch: usize, size: usize, levels: &[Level]) {
    let mut times = BTreeMap::new();
    for (_, channels, side, _, stride, count) in layers("resnet50", size) {
        *times.entry((side / stride, channels)).or_insert(0) += count;
    }
    let mut totals = vec![[0.0; 2]; levels.len()];
    for ((side, channels), times) in times.into_iter().rev() {
        let shape = NormShape { batch, channels, pixels: side * side };
        let (input, mut output, mut images) =
            (random(shape.len(), 1), vec![0.0; shape.len()], random(shape.len(), 2));
        let (scale, shift) = (vec![1.0; channels], vec![0.0; channels]);
        let (mut weight, mut bias) = (vec![0.0; channels], vec![0.0; channels]);
        let norm = Norm { shape, weight: &scale, bias: &shift, epsilon: 1e-5, adds: false, relu: true };
        for (level, total) in levels.iter().zip(&mut totals) {
            let mut ms = [0.0; 2];
            with_level(*level, || {
                ms[0] = least(|| drop(norm_forward(&norm, &input, None, &mut output)));
                let statistics = norm_forward(&norm, &input, None, &mut output);
                ms[1] = least(|| {
                    let to = NormGradients {
                        images: &mut images,
                        residual: None,
                        weight: &mut weight,
                        bias: &mut bias,
                    };
                    norm_backward(&norm, &statistics, false, &input, None, to);
                });
            });
            println!(
                "norm {channels:>4} {side}² ×{times:<15} {:<9} {:>8.2}       {:>8.2}",
                level.name(),
                ms[0],
                ms[1]
            );
            ms.iter().zip(total).for_each(|(ms, total)| *total += ms * times as f64);
        }
    }
    for (level, [forward, backward]) in levels.iter().zip(&totals) {
        println!("total {:<9} norms forward {forward:.0} ms, backward {backward:.0} ms", level.name());
    }
}
