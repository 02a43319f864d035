//! Where the tensors live: the CPU of the default build, or whatever engine a Cargo feature has switched on.

use std::fmt;
use std::panic::catch_unwind;
use std::str::FromStr;

use burn::tensor::{Device, FloatDType};
use serde::{Deserialize, Serialize};

use crate::cpu;
use crate::cpu::ComputeType;
use crate::error::{Error, Result};
use crate::text::nearest;

/// Where and how to compute.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeviceConfig {
    /// `auto`, `cpu`, or one that was built in: `cuda`, `cuda:1`, `rocm`, `metal`, `vulkan`, `wgpu`,
    /// `libtorch`, `libtorch:cuda`.
    pub name: String,
    /// Number format of convolutions and matrix products.
    pub precision: Precision,
    /// Threads that prepare batches.
    pub workers: usize,
    /// Whether the CPU computes convolutions, pools and linear layers in f32 by mien's own kernels.
    pub fast_conv: bool,
}

impl Default for DeviceConfig {
    fn default() -> Self {
        Self { name: "auto".into(), precision: Precision::Auto, workers: 2, fast_conv: true }
    }
}

impl DeviceConfig {
    /// Checks every value that can be checked without opening the device.
    ///
    /// # Errors
    /// An unknown device, or no workers.
    pub fn validate(&self) -> Result<()> {
        self.name.parse::<Kind>()?;
        if self.workers == 0 || self.workers > 256 {
            return Err(Error::input("device.workers", format!("found {}", self.workers))
                .expected("1 to 256 threads"));
        }
        Ok(())
    }
}

/// The number format of the expensive products; weights, normalisation, softmax and loss always stay
/// in f32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// bf16 on a GPU that computes with it, else f16 on a GPU, else f32.
    #[default]
    Auto,
    /// 32-bit floats: no reduced precision anywhere.
    F32,
    /// bfloat16: f32's range, 8 bits of precision.
    Bf16,
    /// 16-bit floats with dynamic loss scaling.
    F16,
}

/// The names of devices, without numbers.
const DEVICES: [&str; 9] =
    ["auto", "cpu", "cuda", "rocm", "metal", "vulkan", "wgpu", "libtorch", "libtorch:cuda"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Auto,
    Cpu,
    Cuda(usize),
    Rocm(usize),
    Metal,
    Vulkan,
    Wgpu,
    LibTorch,
    LibTorchCuda(usize),
}

impl FromStr for Kind {
    type Err = Error;
    fn from_str(name: &str) -> Result<Self> {
        let (base, index) = match name.rsplit_once(':') {
            Some((base, digits)) if digits.bytes().all(|b| b.is_ascii_digit()) && !digits.is_empty() => {
                (base, digits.parse().unwrap_or(usize::MAX))
            }
            _ => (name, 0),
        };
        Ok(match base {
            "auto" => Self::Auto,
            "cpu" => Self::Cpu,
            "cuda" => Self::Cuda(index),
            "rocm" => Self::Rocm(index),
            "metal" => Self::Metal,
            "vulkan" => Self::Vulkan,
            "wgpu" => Self::Wgpu,
            "libtorch" => Self::LibTorch,
            "libtorch:cuda" => Self::LibTorchCuda(index),
            _ => {
                let hint = nearest(base, DEVICES)
                    .map_or_else(String::new, |name| format!("Did you mean \"{name}\"?"));
                return Err(Error::input("device.name", format!("found \"{name}\""))
                    .expected(format!("one of {} (GPU N: cuda:N)", DEVICES.join(", ")))
                    .hint(hint));
            }
        })
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(index) => write!(f, "cuda:{index}"),
            Self::Rocm(index) => write!(f, "rocm:{index}"),
            Self::Metal => f.write_str("metal"),
            Self::Vulkan => f.write_str("vulkan"),
            Self::Wgpu => f.write_str("wgpu"),
            Self::LibTorch => f.write_str("libtorch"),
            Self::LibTorchCuda(index) => write!(f, "libtorch:cuda:{index}"),
        }
    }
}

/// A device that was opened and works, with what it computes in.
#[derive(Clone, Debug)]
pub struct OpenDevice {
    /// The engine's handle, without gradients.
    pub device: Device,
    /// Its name for messages: `cpu (2 threads)`.
    pub name: String,
    /// The number format of convolutions and matrix products.
    pub compute: ComputeType,
}

impl fmt::Display for OpenDevice {
    /// The device and its number format: `cpu (2 threads), f32`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", self.name, self.compute)?;
        let is_half = matches!(self.compute, ComputeType::Bf16 | ComputeType::F16);
        if is_half && cpu::serves(&self.device) {
            f.write_str(" (emulated on the CPU, where f32 is faster)")
        } else {
            Ok(())
        }
    }
}

/// Opens the device that `config` names; `auto` takes the first that works of CUDA, Metal, ROCm, Vulkan,
/// WebGPU and the CPU.
///
/// # Errors
/// The device is unknown, not built in or missing, or does not support the precision.
pub fn open(config: &DeviceConfig) -> Result<OpenDevice> {
    config.validate()?;
    let kind: Kind = config.name.parse()?;
    let (kind, device) = match kind {
        Kind::Auto => [Kind::Cuda(0), Kind::Metal, Kind::Rocm(0), Kind::Vulkan, Kind::Wgpu]
            .into_iter()
            .find_map(|kind| Some((kind, open_kind(kind).ok()?)))
            .map_or_else(|| open_kind(Kind::Cpu).map(|device| (Kind::Cpu, device)), Ok)?,
        kind => (kind, open_kind(kind)?),
    };
    let compute = match compute_type(config.precision, &device, kind)? {
        ComputeType::F32 if !config.fast_conv => ComputeType::EngineF32,
        other => other,
    };
    let name = match kind {
        Kind::Cpu => format!("cpu ({} threads)", rayon::current_num_threads()),
        kind => kind.to_string(),
    };
    Ok(OpenDevice { device, name, compute })
}

fn compute_type(precision: Precision, device: &Device, kind: Kind) -> Result<ComputeType> {
    let is_cpu = matches!(kind, Kind::Cpu | Kind::LibTorch);
    let supports = |dtype| device.supports_dtype(dtype);
    let wanted = match precision {
        Precision::Auto if is_cpu => ComputeType::F32,
        Precision::Auto if supports(FloatDType::BF16) => ComputeType::Bf16,
        Precision::Auto if supports(FloatDType::F16) => ComputeType::F16,
        Precision::Auto | Precision::F32 => ComputeType::F32,
        Precision::Bf16 if supports(FloatDType::BF16) => ComputeType::Bf16,
        Precision::F16 if supports(FloatDType::F16) => ComputeType::F16,
        Precision::Bf16 | Precision::F16 => {
            return Err(Error::input(
                "device.precision",
                format!(
                    "found \"{}\", which {kind} does not support",
                    format!("{precision:?}").to_lowercase()
                ),
            )
            .expected("f32, or auto for the fastest format that it supports"));
        }
    };
    Ok(wanted)
}

/// The devices that are built in, for messages.
fn built_in() -> String {
    let all = [
        ("cpu", true),
        ("cuda", cfg!(feature = "cuda")),
        ("rocm", cfg!(feature = "rocm")),
        ("metal", cfg!(feature = "metal")),
        ("vulkan", cfg!(feature = "vulkan")),
        ("wgpu", cfg!(feature = "wgpu")),
        ("libtorch", cfg!(feature = "libtorch")),
    ];
    all.into_iter().filter_map(|(name, there)| there.then_some(name)).collect::<Vec<_>>().join(", ")
}

fn open_kind(kind: Kind) -> Result<Device> {
    match kind {
        Kind::Auto | Kind::Cpu => Ok(Device::flex()),
        #[cfg(feature = "cuda")]
        Kind::Cuda(index) => probe(kind, move || Device::cuda(index)),
        #[cfg(feature = "rocm")]
        Kind::Rocm(index) => probe(kind, move || Device::rocm(index)),
        #[cfg(feature = "metal")]
        Kind::Metal => probe(kind, || Device::metal(burn::tensor::DeviceKind::DefaultDevice)),
        #[cfg(feature = "vulkan")]
        Kind::Vulkan => probe(kind, || Device::vulkan(burn::tensor::DeviceKind::DefaultDevice)),
        #[cfg(feature = "wgpu")]
        Kind::Wgpu => probe(kind, || Device::wgpu(burn::tensor::DeviceKind::DefaultDevice)),
        #[cfg(feature = "libtorch")]
        #[allow(deprecated)]
        // Burn means to drop LibTorch; until then it is a fast CPU and CUDA engine
        Kind::LibTorch => probe(kind, Device::libtorch),
        #[cfg(feature = "libtorch")]
        #[allow(deprecated)]
        Kind::LibTorchCuda(index) => probe(kind, move || Device::libtorch_cuda(index)),
        #[allow(unreachable_patterns)] // reachable unless every feature is on
        kind => {
            let feature = kind.to_string();
            let feature = feature.split(':').next().unwrap_or_default();
            Err(Error::input("device.name", format!("found \"{kind}\", which is not built in"))
                .expected(format!("one of auto, {}", built_in()))
                .hint(format!("To build it in: cargo build --release --features {feature}")))
        }
    }
}

/// Opens a device and computes one sum on it. Engines panic where a driver or a card is missing; that becomes
/// an error here.
#[allow(dead_code)] // the default build has no device that may be missing
fn probe(kind: Kind, open: impl FnOnce() -> Device + std::panic::UnwindSafe) -> Result<Device> {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let opened = catch_unwind(|| {
        let device = open();
        let two = burn::tensor::Tensor::<1>::ones([2], &device).sum().into_scalar::<f32>();
        (two == 2.0).then_some(device)
    });
    std::panic::set_hook(hook);
    let missing = |reason: String| {
        Err(Error::input("device.name", format!("found \"{kind}\", which cannot be used ({reason})"))
            .hint("Check the driver, or use --device cpu"))
    };
    match opened {
        Ok(Some(device)) => Ok(device),
        Ok(None) => missing("it computes 1 + 1 incorrectly".into()),
        Err(panic) => {
            let text = panic
                .downcast_ref::<String>()
                .cloned()
                .or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
            missing(
                text.unwrap_or_else(|| "no such device".into()).lines().next().unwrap_or_default().to_owned(),
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(name: &str) -> DeviceConfig {
        DeviceConfig { name: name.into(), ..DeviceConfig::default() }
    }

    #[test]
    fn the_cpu_is_always_there() {
        let open = open(&config("cpu")).unwrap();
        assert!(open.name.starts_with("cpu ("));
        assert_eq!(open.compute, ComputeType::F32);
    }

    #[test]
    fn half_formats_on_the_cpu_are_said_to_be_emulated() {
        let said = |precision| open(&DeviceConfig { precision, ..config("cpu") }).unwrap().to_string();
        assert!(said(Precision::F32).ends_with(", f32"), "{}", said(Precision::F32));
        assert!(said(Precision::Bf16).ends_with(", bf16 (emulated on the CPU, where f32 is faster)"));
    }

    #[test]
    fn names_of_devices_are_parsed_and_unknown_ones_refused() {
        assert_eq!("cuda:1".parse::<Kind>().unwrap(), Kind::Cuda(1));
        assert_eq!("libtorch:cuda:2".parse::<Kind>().unwrap(), Kind::LibTorchCuda(2));
        assert_eq!("libtorch:cuda".parse::<Kind>().unwrap(), Kind::LibTorchCuda(0));
        assert!(
            open(&config("gpu"))
                .unwrap_err()
                .to_string()
                .contains("found \"gpu\"; expected one of auto, cpu")
        );
        assert!(DeviceConfig { workers: 0, ..config("cpu") }.validate().is_err());
    }

    #[cfg(not(feature = "rocm"))]
    #[test]
    fn a_device_that_was_not_built_in_says_how_to_build_it() {
        let error = open(&config("rocm")).unwrap_err().to_string();
        assert!(error.contains("--features rocm"), "{error}");
    }
}
