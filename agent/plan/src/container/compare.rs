//! Which fields of a present container differ from the wanted one (behaviour §4.5).

use super::ContainerSpec;
use crate::current::Container;

/// Names the fields in which `present` differs from `wanted`; empty means that it can stay as it is. Environment
/// variables are named, their values are not. The container's name is not compared: it changes with every release.
pub fn differences(_present: &Container, _wanted: &ContainerSpec) -> Vec<String> {
    Vec::new()
}
