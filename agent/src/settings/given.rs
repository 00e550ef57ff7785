//! Flags and environment variables: one question per setting, answered by the first that says something.

use super::fault::{Origin, SettingsError};
use super::kinds::Checked;

/// The environment, asked by name. An empty variable counts as not set: that is how units and compose files unset one.
pub(super) struct Given<'a> {
    environment: &'a dyn Fn(&str) -> Option<String>,
}

impl<'a> Given<'a> {
    pub fn new(environment: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Given { environment }
    }

    /// The checked value of a setting with where it came from, if the flag or the variable is given.
    pub fn get<T>(
        &self,
        flag: Option<(&'static str, &Option<String>)>,
        variable: &'static str,
        check: impl Fn(&str) -> Checked<T>,
    ) -> Result<Option<(T, Origin)>, SettingsError> {
        let flag = flag.and_then(|(name, value)| Some((value.clone()?, Origin::Flag(name))));
        let from_environment = || (self.environment)(variable).filter(|value| !value.is_empty());
        let given = flag.or_else(|| Some((from_environment()?, Origin::Environment(variable))));
        let Some((value, origin)) = given else { return Ok(None) };
        match check(&value) {
            Ok(checked) => Ok(Some((checked, origin))),
            Err(expected) => Err(SettingsError { origin, value, expected }),
        }
    }

    /// The checked value, or the default.
    pub fn or<T>(
        &self,
        flag: (&'static str, &Option<String>),
        variable: &'static str,
        check: impl Fn(&str) -> Checked<T>,
        default: T,
    ) -> Result<T, SettingsError> {
        Ok(self.get(Some(flag), variable, check)?.map_or(default, |(value, _)| value))
    }
}

#[cfg(test)]
mod tests {
    use super::super::kinds::slug;
    use super::*;

    #[test]
    fn a_flag_wins_over_the_environment_and_each_is_named_when_it_is_bad() {
        let environment = |name: &str| (name == "X").then(|| "from-x".to_owned());
        let given = Given::new(&environment);
        let flag = |value: &str| Some(value.to_owned());
        assert_eq!(given.or(("--x", &flag("from-flag")), "X", slug, "default".into()), Ok("from-flag".into()));
        assert_eq!(given.get(Some(("--x", &None)), "X", slug), Ok(Some(("from-x".into(), Origin::Environment("X")))));
        assert_eq!(given.or(("--x", &None), "Y", slug, "default".into()), Ok("default".into()));
        let error = given.get(Some(("--x", &flag("a/b"))), "X", slug).unwrap_err();
        assert_eq!(error.origin, Origin::Flag("--x"));
        assert!(error.to_string().starts_with("flag --x: \"a/b\" is not valid: expected a slug"), "{error}");
    }

    #[test]
    fn an_empty_variable_is_not_set_but_an_empty_flag_is_bad() {
        let environment = |_: &str| Some(String::new());
        let given = Given::new(&environment);
        assert_eq!(given.get(None, "X", slug), Ok(None));
        assert!(given.get(Some(("--x", &Some(String::new()))), "X", slug).is_err());
    }
}
