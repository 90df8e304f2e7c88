//! How patient the client is.

use std::time::Duration;

use zensaibo_core::{Error, Result};

/// What the environment says of requests. Read anew whenever something is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    /// `ZENSAIBO_REMOTE_CONNECT_TIMEOUT`: seconds until a connection must stand; 10.
    pub(crate) connect: Duration,
    /// `ZENSAIBO_REMOTE_STALL_TIMEOUT`: seconds in which a server may send nothing; 30.
    pub(crate) stall: Duration,
    /// `ZENSAIBO_REMOTE_RETRIES`: how often a request is repeated that failed in a way that may pass; 4.
    pub(crate) retries: u32,
    /// `ZENSAIBO_REMOTE_REQUESTS`: requests of the whole process in flight at a time; 16.
    pub(crate) requests: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { connect: Duration::from_secs(10), stall: Duration::from_secs(30), retries: 4, requests: 16 }
    }
}

impl Settings {
    /// Those of the environment.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a value that is none.
    pub(crate) fn of_environment() -> Result<Self> {
        Self::read(|name| std::env::var(name).ok().filter(|text| !text.trim().is_empty()))
    }

    fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let mut found = Self::default();
        let seconds = |name: &str, place: &mut Duration| -> Result<()> {
            let Some(text) = variable(name) else { return Ok(()) };
            match text.trim().parse::<f64>() {
                Ok(seconds) if (0.001..=86_400.0).contains(&seconds) => *place = Duration::from_secs_f64(seconds),
                _ => return Err(Error::parameter(name, "seconds from 0.001 to 86400", text)),
            }
            Ok(())
        };
        seconds("ZENSAIBO_REMOTE_CONNECT_TIMEOUT", &mut found.connect)?;
        seconds("ZENSAIBO_REMOTE_STALL_TIMEOUT", &mut found.stall)?;
        let whole = |name: &str, least: u32, most: u32| -> Result<Option<u32>> {
            let Some(text) = variable(name) else { return Ok(None) };
            match text.trim().parse::<u32>() {
                Ok(number) if (least..=most).contains(&number) => Ok(Some(number)),
                _ => Err(Error::parameter(name, format!("a whole number from {least} to {most}"), text)),
            }
        };
        found.retries = whole("ZENSAIBO_REMOTE_RETRIES", 0, 100)?.unwrap_or(found.retries);
        found.requests = whole("ZENSAIBO_REMOTE_REQUESTS", 1, 256)?.map_or(found.requests, |n| n as usize);
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_is_read_and_refused() {
        let given = |name: &'static str, value: &'static str| {
            Settings::read(move |asked| (asked == name).then(|| value.to_string()))
        };
        assert_eq!(given("OTHER", "1").unwrap(), Settings::default());
        let quick = given("ZENSAIBO_REMOTE_STALL_TIMEOUT", "0.5").unwrap();
        assert_eq!(quick.stall, Duration::from_millis(500));
        assert_eq!(given("ZENSAIBO_REMOTE_RETRIES", "0").unwrap().retries, 0);
        for (name, value) in [
            ("ZENSAIBO_REMOTE_STALL_TIMEOUT", "soon"),
            ("ZENSAIBO_REMOTE_CONNECT_TIMEOUT", "-1"),
            ("ZENSAIBO_REMOTE_RETRIES", "many"),
            ("ZENSAIBO_REMOTE_REQUESTS", "0"),
        ] {
            let said = given(name, value).unwrap_err().to_string();
            assert!(said.contains(name) && said.contains(value), "{said}");
        }
    }
}
