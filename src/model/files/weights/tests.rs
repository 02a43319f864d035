//! Model files: written, read, transferred and refused.

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::Device;

use super::tensor_file::Problems;
use super::*;
use crate::model::config::ModelConfig;
use crate::model::network::Model;
use crate::model::vgg::VGG16;
use crate::model::zoo::ModelName;

fn narrow(name: &str) -> ModelConfig {
    ModelConfig { width: 0.0625, ..ModelConfig::of(name.parse().unwrap()) }
}

fn model(name: &str, classes: usize) -> Model {
    Model::new(&narrow(name), classes, 32).unwrap()
}

fn card(name: &str, classes: usize) -> ModelCard {
    let config = narrow(name);
    ModelCard::new(config, (0..classes).map(|k| format!("c{k}")).collect(), 32, [0.5; 3], [0.25; 3])
}

#[test]
fn every_saved_model_comes_back_to_the_bit() {
    let device = Device::flex();
    for name in ModelName::all().map(ModelName::as_str) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        let params = model(name, 3).init(7, false, &device);
        save_model(&path, &params, &card(name, 3)).unwrap();
        let loaded = load_model(&path, &device).unwrap();
        assert_eq!(loaded.card, card(name, 3));
        for (position, _) in params.iter().enumerate() {
            assert_eq!(params.values(position).unwrap(), loaded.params.values(position).unwrap(), "{name}");
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no partial file stays");
    }
}

#[test]
fn every_model_starts_from_its_own_weights_with_a_new_last_layer_for_other_classes() {
    let (folder, device) = (tempfile::tempdir().unwrap(), Device::flex());
    for name in ModelName::all().map(ModelName::as_str) {
        let path = folder.path().join(format!("{name}.safetensors"));
        save_model(&path, &model(name, 7).init(1, false, &device), &card(name, 7)).unwrap();
        let (other, last) = (model(name, 2), format!("{}.", model(name, 2).last_layer()));
        let (_, transfer) = load_pretrained(&other, &[], &path, 1, &device).unwrap();
        assert_eq!(transfer.fresh, [format!("{last}weight"), format!("{last}bias")], "{name}");
    }
}

#[test]
fn the_last_layer_starts_anew_when_the_classes_differ() {
    let (folder, device) = (tempfile::tempdir().unwrap(), Device::flex());
    let path = folder.path().join("seven.safetensors");
    save_model(&path, &model("vgg16", 7).init(1, false, &device), &card("vgg16", 7)).unwrap();
    let (_, transfer) = load_pretrained(&model("vgg16", 2), &[], &path, 1, &device).unwrap();
    assert_eq!(transfer.fresh, ["classifier.6.weight", "classifier.6.bias"]);
    let (_, transfer) = load_pretrained(&model("vgg16", 7), &[], &path, 1, &device).unwrap();
    assert!(transfer.fresh.is_empty());
}

#[test]
fn the_last_layer_starts_anew_for_other_classes_and_numbers_must_be_finite() {
    let (folder, device) = (tempfile::tempdir().unwrap(), Device::flex());
    let path = folder.path().join("model.safetensors");
    let model = model("resnet18", 3);
    let mut params = model.init(1, false, &device);
    let card = card("resnet18", 3);
    save_model(&path, &params, &card).unwrap();
    let fresh = |classes: &[&str]| {
        let classes: Vec<String> = classes.iter().map(|name| (*name).to_owned()).collect();
        load_pretrained(&model, &classes, &path, 1, &device).unwrap().1.fresh
    };
    assert!(fresh(&["c0", "c1", "c2"]).is_empty());
    assert_eq!(
        fresh(&["c0", "c2", "c1"]),
        ["fc.weight", "fc.bias"],
        "the same classes in another order are other classes"
    );

    let first = params.iter_mut().next().unwrap();
    first.value = first.value.clone() * f32::NAN;
    save_model(&path, &params, &card).unwrap();
    let error = load_pretrained(&model, &[], &path, 1, &device).err().unwrap().to_string();
    assert!(error.contains("conv1.weight") && error.contains("NaN"), "{error}");
    save_model(&path, &params, &ModelCard { temperature: 0.0, ..card }).unwrap();
    assert!(load_model(&path, &device).err().unwrap().to_string().contains("the temperature 0"));
}

#[test]
fn names_of_a_file_stay_on_one_line_and_are_not_all_told() {
    let unexpected = (0..1000).map(|i| format!("evil\n{i}\u{1b}[31m")).collect();
    let problems = Problems { unexpected, ..Problems::default() };
    let error = problems.check(Path::new("x")).unwrap_err().to_string();
    assert!(
        !error.contains(['\n', '\u{1b}']) && error.contains("and 800 more") && error.len() < 10_000,
        "{error}"
    );
}

#[test]
fn plain_weights_are_a_start_for_attention() {
    let (folder, device) = (tempfile::tempdir().unwrap(), Device::flex());
    let path = folder.path().join("plain.safetensors");
    save_model(&path, &model("vgg16", 7).init(1, false, &device), &card("vgg16", 7)).unwrap();
    let (_, transfer) = load_pretrained(&model("vgg16_cbam", 7), &[], &path, 1, &device).unwrap();
    assert_eq!(transfer.loaded.len(), 26, "weights and biases of the 13 convolutions");
    assert!(transfer.fresh.iter().all(|name| name.starts_with("cbam.") || name.starts_with("classifier.")));
}

#[test]
fn timms_names_of_vgg_are_understood() {
    let (folder, device) = (tempfile::tempdir().unwrap(), Device::flex());
    let path = folder.path().join("timm.safetensors");
    let params = model("vgg16", 7).init(1, false, &device);
    let timm = named(&params).map(|mut tensor| {
        for (timm, ours) in VGG16.renamed {
            if let Some(rest) = tensor.name.strip_prefix(*ours) {
                let side = if *ours == "classifier.0." { 7 } else { 1 };
                if tensor.shape.len() == 2 {
                    tensor.shape = vec![tensor.shape[0], tensor.shape[1] / (side * side), side, side];
                }
                if *timm == "head.fc." && tensor.shape.len() == 4 {
                    tensor.shape.truncate(2); // timm's last layer is linear
                }
                tensor.name = format!("{timm}{rest}");
                break;
            }
        }
        tensor
    });
    save_tensors(&path, timm.collect(), BTreeMap::new()).unwrap();
    let (loaded, transfer) = load_pretrained(&model("vgg16", 7), &[], &path, 2, &device).unwrap();
    assert!(transfer.fresh.is_empty(), "{:?}", transfer.fresh);
    for position in 0..params.iter().len() {
        assert_eq!(params.values(position).unwrap(), loaded.values(position).unwrap());
    }
}

#[test]
fn wrong_weights_are_named() {
    let (folder, device) = (tempfile::tempdir().unwrap(), Device::flex());
    let path = folder.path().join("resnet.safetensors");
    save_model(&path, &model("resnet18", 7).init(1, false, &device), &card("resnet18", 7)).unwrap();
    let error = load_pretrained(&model("vgg16", 7), &[], &path, 1, &device).err().unwrap().to_string();
    assert!(error.contains("features.0.weight") && error.contains("layer1.0.conv1.weight"), "{error}");

    std::fs::write(&path, b"PK\x03\x04 not safetensors").unwrap();
    let error = load_model(&path, &device).err().unwrap().to_string();
    assert!(error.contains("not a whole PyTorch file"), "{error}");
}

#[test]
fn a_cut_file_is_refused() {
    let (folder, device) = (tempfile::tempdir().unwrap(), Device::flex());
    let path = folder.path().join("model.safetensors");
    save_model(&path, &model("vgg16", 7).init(1, false, &device), &card("vgg16", 7)).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    assert!(load_model(&path, &device).is_err());
}
