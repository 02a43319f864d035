//! Every model of the zoo, by what all models promise.

use burn::tensor::{Device, Tensor};

use super::*;
use crate::model::entry::Head;
use crate::model::params::host_values;
use crate::model::zoo::ModelName;

fn narrow(name: ModelName) -> ModelConfig {
    ModelConfig { width: 0.0625, ..ModelConfig::of(name) }
}

fn named(name: &str) -> ModelConfig {
    ModelConfig::of(name.parse().unwrap())
}

#[test]
fn parameter_counts_are_those_of_the_published_models() {
    for name in ModelName::all() {
        let model = Model::new(&ModelConfig::of(name), 1000, 224).unwrap();
        assert_eq!(model.parameter_count(), name.parameters, "{name}");
    }
    let count = |config: &ModelConfig| Model::new(config, 7, 256).unwrap().parameter_count();
    // Counted in PyTorch by the authors of the specification.
    assert_eq!(count(&named("vgg16")), 134_289_223);
    assert_eq!(count(&named("vgg16_cbam")), 165_823_281);
    assert_eq!(count(&named("resnet50")), 23_522_375);
    assert_eq!(count(&ModelConfig { head: Head::Gap, ..named("vgg16") }), 14_714_688 + 7 * 513);
}

#[test]
fn names_are_torchvisions() {
    let names = |name: &str| {
        let model = Model::new(&named(name), 7, 64).unwrap();
        model.specs().iter().map(|spec| spec.name.clone()).collect::<Vec<_>>()
    };
    let has = |model: &str, expected: &[&str]| {
        let names = names(model);
        for name in expected {
            assert!(names.iter().any(|n| n == name), "{model}: {name}");
        }
        names.len()
    };
    let vgg = ["features.0.weight", "features.28.bias", "classifier.0.weight", "classifier.6.bias"];
    assert_eq!(has("vgg16", &vgg), 32);
    has("vgg16_bn", &["features.1.running_mean", "features.40.weight", "features.41.running_var"]);
    let resnet = ["conv1.weight", "bn1.running_var", "layer1.0.downsample.1.weight", "layer4.2.conv3.weight"];
    has("resnet50", &resnet);
    has("resnet34", &["layer3.5.bn2.running_mean", "layer4.0.downsample.0.weight", "fc.bias"]);
    // torchvision's state dict has 244 tensors, 34 of them counts of batches.
    let mobilenet = [
        "features.0.0.weight",
        "features.1.block.1.fc1.bias",
        "features.12.1.running_var",
        "classifier.3.weight",
    ];
    assert_eq!(has("mobilenet_v3_small", &mobilenet), 244 - 34);
}

#[test]
fn a_narrow_model_keeps_one_hidden_channel_in_its_attention() {
    let config = ModelConfig { width: 0.02, head: Head::Gap, ..named("vgg16_cbam") };
    let model = Model::new(&config, 7, 32).unwrap();
    let squeeze =
        model.specs().iter().find(|spec| spec.name == "cbam.0.channel_attention.fc.0.weight").unwrap();
    assert_eq!(squeeze.shape, [1, 1, 1, 1]);
}

#[test]
fn features_head_and_names_are_as_promised_with_every_head() {
    let device = Device::flex();
    for name in ModelName::all() {
        for &head in name.heads {
            let model =
                Model::new(&ModelConfig { head, ..narrow(name) }, 5, 2 * name.smallest_input).unwrap();
            let size = 2 * name.smallest_input;
            let params = model.init(1, false, &device);
            let pass = Pass::eval(&params);
            let features = model.features(Tensor::zeros([2, 3, size, size], &device), &pass);
            let side = size / name.stride;
            assert_eq!(features.dims(), [2, model.feature_channels(), side, side], "{name}");
            assert_eq!(model.head(features, &pass).dims(), [2, 5], "{name}");
            let last = format!("{}.weight", model.last_layer());
            let last = model.specs().iter().find(|spec| spec.name == last).unwrap();
            assert!(last.shape[0] == 5 && model.in_head(&last.name), "{name}");
            assert!(!model.in_head(&model.specs()[0].name), "{name}");
            let has_additions = |prefix: &str| model.specs().iter().any(|spec| spec.name.starts_with(prefix));
            assert!(model.addition_prefix().is_none_or(has_additions), "{name}");
        }
    }
}

#[test]
fn every_model_works_with_its_smallest_input() {
    let device = Device::flex();
    for name in ModelName::all() {
        let size = name.smallest_input;
        let model = Model::new(&narrow(name), 3, size).unwrap();
        let params = model.init(1, false, &device);
        let logits = model.logits(Tensor::ones([1, 3, size, size], &device), &Pass::eval(&params));
        assert!(host_values(logits).unwrap().iter().all(|value| value.is_finite()), "{name}");
        assert!(Model::new(&narrow(name), 3, size - 1).unwrap_err().to_string().contains(name.as_str()));
    }
}

#[test]
fn packed_inference_is_the_engines() {
    use crate::cpu::ComputeType;
    let device = Device::flex();
    for name in ModelName::all() {
        let size = 2 * name.smallest_input;
        let model = Model::new(&narrow(name), 3, size).unwrap();
        let params = model.init(1, true, &device);
        let count = 3 * size * size;
        let pixels: Vec<f32> = (0..count).map(|i| (i * 7919 % 1000) as f32 / 500.0 - 1.0).collect();
        let images = Tensor::from_data(burn::tensor::TensorData::new(pixels, [1, 3, size, size]), &device);
        let [fast, engine] = [ComputeType::F32, ComputeType::EngineF32].map(|compute| {
            host_values(model.logits(images.clone(), &Pass::eval(&params).with_compute(compute))).unwrap()
        });
        let scale = engine.iter().fold(0.0f32, |most, value| most.max(value.abs()));
        let worst = fast.iter().zip(&engine).fold(0.0f32, |most, (a, b)| most.max((a - b).abs()));
        assert!(scale > 0.0 && worst <= 1e-4 * scale, "{name}: {worst} of {scale}");
    }
}

#[test]
fn bad_values_are_named() {
    let error = |config: ModelConfig| Model::new(&config, 7, 64).unwrap_err().to_string();
    assert!(error(ModelConfig { width: 0.0, ..ModelConfig::default() }).starts_with("model.width (--width)"));
    let dropout = error(ModelConfig { dropout: 1.0, ..ModelConfig::default() });
    assert!(dropout.starts_with("model.dropout (--dropout)"), "{dropout}");
    let head = error(ModelConfig { head: Head::Gap, ..named("resnet50") });
    assert!(
        head.contains("gap, which resnet50 does not offer; expected fc") && head.contains("vgg16_bn"),
        "{head}"
    );
    assert!(Model::new(&ModelConfig::default(), 7, 31).is_err());
}
