//! The environment, and its values as what they mean.

use super::Variable;
use crate::discovery::location::{Location, LocationError};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::str::FromStr;
use std::time::Duration;

/// A value that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{variable} is {value:?}: allowed is {allowed}")]
pub struct ConfigError {
    variable: String,
    value: String,
    allowed: String,
}

/// The environment of the process, read once; tests make their own.
#[derive(Debug, Clone, Default)]
pub struct Variables(BTreeMap<String, String>);

impl Variables {
    /// The variables of this process.
    pub fn from_env() -> Self {
        // The one place where the environment is read.
        #[expect(clippy::disallowed_methods)]
        let all = std::env::vars_os();
        // A value that is no UTF-8 is kept in a readable form, to be refused or shown: dropped, it would count as unset.
        let text = |value: OsString| value.to_string_lossy().into_owned();
        Self(all.map(|(name, value)| (text(name), text(value))).collect())
    }

    /// The port in variable `name`, where 0 is any free one.
    pub fn port(&self, name: &str, default: u16) -> Result<u16, ConfigError> {
        self.parse(name, &default.to_string(), "a port from 0 to 65535")
    }

    /// The text in variable `name`; an empty one counts as unset.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The value of variable `name`, or of `default`, in the form of a `T`; `allowed` says which those are.
    pub fn parse<T: FromStr>(&self, name: &str, default: &str, allowed: &str) -> Result<T, ConfigError> {
        let value = self.text(name).unwrap_or(default).trim();
        value.parse().map_err(|_| refused(name, value, allowed))
    }

    /// Likewise for a variable that was declared.
    pub fn read<T: FromStr>(&self, variable: Variable, allowed: &str) -> Result<T, ConfigError> {
        self.parse(variable.name, variable.default, allowed)
    }

    /// A whole number from `least` to `most`.
    pub fn number(&self, variable: Variable, least: u32, most: u32) -> Result<u32, ConfigError> {
        let allowed = format!("a whole number from {least} to {most}");
        let number: u32 = self.read(variable, &allowed)?;
        if (least..=most).contains(&number) {
            return Ok(number);
        }
        Err(refused(variable.name, &number.to_string(), &allowed))
    }

    /// A number of milliseconds, at least `least` and at most a day.
    pub fn millis(&self, variable: Variable, least: u32) -> Result<Duration, ConfigError> {
        Ok(Duration::from_millis(self.number(variable, least, 86_400_000)?.into()))
    }

    pub(super) fn location(&self, variable: Variable) -> Result<Location, ConfigError> {
        let text = self.text(variable.name).unwrap_or(variable.default).trim();
        text.parse().map_err(|LocationError { value, allowed }| refused(variable.name, &value, &allowed))
    }

    pub(super) fn url(&self, variable: Variable) -> Result<String, ConfigError> {
        let value = self.text(variable.name).unwrap_or(variable.default).trim_end_matches('/');
        let plain = value.parse::<http::Uri>().ok().filter(|uri| uri.scheme_str() == Some("http") && uri.path() == "/");
        plain.map(|_| value.to_owned()).ok_or_else(|| refused(variable.name, value, "a URL such as http://host:port"))
    }
}

impl<const N: usize> From<[(&str, &str); N]> for Variables {
    fn from(pairs: [(&str, &str); N]) -> Self {
        pairs.into_iter().collect()
    }
}

impl<'a> FromIterator<(&'a str, &'a str)> for Variables {
    fn from_iter<I: IntoIterator<Item = (&'a str, &'a str)>>(pairs: I) -> Self {
        Self(pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }
}

/// The refusal of a value.
pub fn refused(variable: &str, value: &str, allowed: &str) -> ConfigError {
    ConfigError { variable: variable.to_owned(), value: value.to_owned(), allowed: allowed.to_owned() }
}
