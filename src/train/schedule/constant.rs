//! The same learning rate in every epoch.

use serde::{Deserialize, Serialize};

use super::rule::Rule;

/// No schedule; it has no settings.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Constant {}

impl Rule for Constant {}
