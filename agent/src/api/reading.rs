//! How the command line reads an answer back into its type.
//!
//! By hand rather than by derived code: the derived reader of the status alone is larger than all commands that show it, and
//! nothing here needs its strictness. A command line of another version than the agent's reads what it understands; what is
//! missing, or of another kind, is the default.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::store::{BackupInfo, Done, Outcome, Recovery};
use crate::volume::Counts;

/// What can be read from an answer.
pub trait FromAnswer: Sized {
    /// Reads it.
    fn from_answer(value: &Value) -> Self;
}

/// Reads one field of an object.
pub(super) fn field<T: FromAnswer>(object: &Value, name: &str) -> T {
    T::from_answer(&object[name])
}

/// Says that a type is read field by field. A field that has another name in the answer gives it after its own.
macro_rules! read_by_field {
    ($type:ident { $($field:ident $(= $name:literal)?),* $(,)? }) => {
        impl $crate::api::reading::FromAnswer for $type {
            fn from_answer(value: &serde_json::Value) -> $type {
                $type { $($field: $crate::api::reading::field(value, $crate::api::reading::name_of!($field $($name)?))),* }
            }
        }
    };
}

macro_rules! name_of {
    ($field:ident) => {
        stringify!($field)
    };
    ($field:ident $name:literal) => {
        $name
    };
}

pub(super) use {name_of, read_by_field};

impl FromAnswer for Value {
    fn from_answer(value: &Value) -> Value {
        value.clone()
    }
}

impl FromAnswer for String {
    fn from_answer(value: &Value) -> String {
        value.as_str().unwrap_or_default().to_owned()
    }
}

impl FromAnswer for bool {
    fn from_answer(value: &Value) -> bool {
        value.as_bool().unwrap_or_default()
    }
}

impl FromAnswer for i64 {
    fn from_answer(value: &Value) -> i64 {
        value.as_i64().unwrap_or_default()
    }
}

impl FromAnswer for u64 {
    fn from_answer(value: &Value) -> u64 {
        value.as_u64().unwrap_or_default()
    }
}

/// Numbers that are narrower than what JSON has: one that does not fit is as good as missing.
macro_rules! read_narrower {
    ($($type:ty),*) => {$(
        impl FromAnswer for $type {
            fn from_answer(value: &Value) -> $type {
                u64::from_answer(value).try_into().unwrap_or_default()
            }
        }
    )*};
}

read_narrower!(u8, u32, usize);

impl<T: FromAnswer> FromAnswer for Option<T> {
    fn from_answer(value: &Value) -> Option<T> {
        (!value.is_null()).then(|| T::from_answer(value))
    }
}

impl<T: FromAnswer> FromAnswer for Vec<T> {
    fn from_answer(value: &Value) -> Vec<T> {
        value.as_array().into_iter().flatten().map(T::from_answer).collect()
    }
}

impl<T: FromAnswer> FromAnswer for BTreeMap<String, T> {
    fn from_answer(value: &Value) -> BTreeMap<String, T> {
        let fields = value.as_object().into_iter().flatten();
        fields.map(|(name, value)| (name.clone(), T::from_answer(value))).collect()
    }
}

read_by_field!(Done { ok, text, findings, backups, set_aside });
read_by_field!(BackupInfo { path, taken_ms, schema, bytes, verified });
read_by_field!(Recovery { outcome, message });
read_by_field!(Counts { files, folders, links, others, file_bytes, stream_bytes });

impl FromAnswer for Outcome {
    fn from_answer(value: &Value) -> Outcome {
        match value.as_str() {
            Some("rebuilt") => Outcome::Rebuilt,
            Some("reverted") => Outcome::Reverted,
            _ => Outcome::Restored,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::{PlanAnswer, Status};

    #[test]
    fn what_is_missing_or_of_another_kind_is_the_default() {
        for odd in [
            json!(null),
            json!([]),
            json!("text"),
            json!({"apps": 7, "device": [], "engine": null, "cloud": {"poll_failures": -1}}),
        ] {
            assert_eq!(Status::from_answer(&odd), Status::default(), "{odd}");
        }
    }

    #[test]
    fn fields_with_another_name_are_found_under_it() {
        let status =
            Status::from_answer(&json!({"device": {"type": "raspberrypi4-64"}, "doing": [{"do": "Pull", "progress": 300}]}));
        assert_eq!(status.device.device_type.as_deref(), Some("raspberrypi4-64"));
        assert_eq!((status.doing[0].action.as_str(), status.doing[0].progress), ("Pull", Some(0)));
        assert_eq!(PlanAnswer::from_answer(&json!({"steps": [{"do": "Stop", "round": 2}]})).steps[0].round, 2);
    }
}
