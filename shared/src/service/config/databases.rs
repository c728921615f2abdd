//! Which database belongs to which service.

use super::variables::refused;
use super::{ConfigError, DATABASE_URL, Variables};
use std::collections::BTreeMap;

/// A database, and the variable that named it.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl {
    /// Such as `DATABASE_URL`.
    pub variable: String,
    /// `sqlite:PATH` or `postgres://…`; it may hold a password.
    pub url: String,
}

impl std::fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("DatabaseUrl").field(&self.variable).finish()
    }
}

/// The databases of the services of a process.
#[derive(Debug, Clone, Default)]
pub struct Databases {
    common: Option<DatabaseUrl>,
    by_service: BTreeMap<String, DatabaseUrl>,
}

impl Databases {
    /// `DATABASE_URL`: the database of a service that runs alone.
    pub(super) fn read(variables: &Variables) -> Result<Self, ConfigError> {
        Ok(Self { common: read(variables, DATABASE_URL.name)?, by_service: BTreeMap::new() })
    }

    /// Gives each of `services` a database of its own: `NAME_DATABASE_URL`, else the one of its name on the server of
    /// `DATABASE_URL`.
    pub fn share_out(&mut self, variables: &Variables, services: &[&str]) -> Result<(), ConfigError> {
        let common = self.common.take();
        for &service in services {
            let own = read(variables, &format!("{}_DATABASE_URL", service.to_uppercase()))?;
            let shared = || common.as_ref().map(|common| of_the_server(common, service)).transpose();
            let url = match own {
                Some(own) => Some(own),
                None => shared()?,
            };
            self.by_service.extend(url.map(|url| (service.to_owned(), url)));
        }
        Ok(())
    }

    /// The database of the service `name`, if the environment names one.
    pub fn of(&self, name: &str) -> Option<&DatabaseUrl> {
        self.by_service.get(name).or(self.common.as_ref())
    }
}

fn read(variables: &Variables, variable: &str) -> Result<Option<DatabaseUrl>, ConfigError> {
    let Some(url) = variables.text(variable) else { return Ok(None) };
    let postgres = url.starts_with("postgres://") || url.starts_with("postgresql://");
    // In memory, each connection would have a database of its own, and none would be there after a stop.
    if !postgres && (!url.starts_with("sqlite:") || url.contains(":memory:")) {
        // What stands behind the scheme may hold a password.
        let scheme = url.split(':').next().unwrap_or_default();
        return Err(refused(variable, &format!("{scheme}:…"), "sqlite:PATH or postgres://USER:PASSWORD@HOST/DATABASE"));
    }
    Ok(Some(DatabaseUrl { variable: variable.to_owned(), url: url.to_owned() }))
}

/// The database `name` on the server of `common`, with the same user and parameters.
fn of_the_server(common: &DatabaseUrl, name: &str) -> Result<DatabaseUrl, ConfigError> {
    let for_all = "postgres://USER:PASSWORD@HOST, where every service has the database of its name";
    let variable = &common.variable;
    let Some((scheme, rest)) = common.url.split_once("://").filter(|_| common.url.starts_with("postgres")) else {
        return Err(refused(variable, "sqlite:…", for_all));
    };
    let (rest, parameters) = rest.split_once('?').map_or((rest, String::new()), |(rest, p)| (rest, format!("?{p}")));
    let server = rest.split('/').next().unwrap_or(rest);
    Ok(DatabaseUrl { variable: variable.clone(), url: format!("{scheme}://{server}/{name}{parameters}") })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const SERVICES: [&str; 2] = ["product", "review"];

    #[test]
    fn a_server_has_a_database_for_each_service() {
        let variables = Variables::from([
            ("DATABASE_URL", "postgres://me:secret@host:5432/all?sslmode=disable"),
            ("REVIEW_DATABASE_URL", "sqlite:reviews.db"),
        ]);
        let mut databases = Databases::read(&variables).unwrap();
        databases.share_out(&variables, &SERVICES).unwrap();
        assert_eq!(databases.of("product").unwrap().url, "postgres://me:secret@host:5432/product?sslmode=disable");
        assert_eq!(databases.of("review").unwrap().url, "sqlite:reviews.db");
        assert!(databases.of("other").is_none());
        assert!(!format!("{databases:?}").contains("secret"));
    }

    #[test]
    fn a_file_belongs_to_one_service() {
        let variables = Variables::from([("DATABASE_URL", "sqlite:all.db")]);
        let mut databases = Databases::read(&variables).unwrap();
        assert_eq!(databases.of("product").unwrap().url, "sqlite:all.db");
        let error = databases.share_out(&variables, &SERVICES).unwrap_err().to_string();
        assert!(error.starts_with("DATABASE_URL is \"sqlite:…\": allowed is postgres://"), "{error}");
    }
}
