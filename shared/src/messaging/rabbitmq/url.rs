//! Where the broker is. What is shown of it never holds the password.

use anyhow::bail;
use lapin::uri::{AMQPScheme, AMQPUri};
use std::fmt;
use std::str::FromStr;

/// How often, in seconds, both sides show that they are there: a frozen owner's partition is free after about twice
/// that, and with 4 it took up to 11 seconds.
const HEARTBEAT: u16 = 2;
/// How long a TCP connection may take, in milliseconds.
const CONNECT: u64 = 3000;
/// The largest frame, which is what the broker takes too: headers come in one frame, and the client ends the connection
/// over one that is too large, as often as its message comes again. Asked for by number, it costs address space; left to
/// the broker, the client grows its rings of 32 frames to that and fills them, which was 16 MB of an idle service.
const FRAME: u32 = 131_072;

/// The value of `RABBITMQ_URL`: `amqp://USER:PASSWORD@HOST:PORT/VHOST`.
#[derive(Clone)]
pub struct RabbitUrl(AMQPUri);

impl RabbitUrl {
    pub(super) fn amqp(&self) -> AMQPUri {
        self.0.clone()
    }

    pub(super) fn host(&self) -> &str {
        &self.0.authority.host
    }

    pub(super) fn user(&self) -> (&str, &str) {
        let user = &self.0.authority.userinfo;
        (&user.username, &user.password)
    }

    pub(super) fn vhost(&self) -> &str {
        &self.0.vhost
    }
}

impl FromStr for RabbitUrl {
    type Err = anyhow::Error;

    fn from_str(url: &str) -> anyhow::Result<Self> {
        let uri = url.parse::<AMQPUri>().ok().filter(|uri| uri.scheme == AMQPScheme::AMQP);
        let Some(mut uri) = uri.filter(|uri| !uri.authority.host.is_empty()) else {
            bail!("amqp://USER:PASSWORD@HOST:PORT/VHOST, where %2f is the usual VHOST");
        };
        uri.query.heartbeat.get_or_insert(HEARTBEAT);
        uri.query.connection_timeout.get_or_insert(CONNECT);
        uri.query.frame_max.get_or_insert(FRAME);
        Ok(Self(uri))
    }
}

impl fmt::Display for RabbitUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let AMQPUri { authority, vhost, .. } = &self.0;
        let (host, port, user) = (&authority.host, authority.port, &authority.userinfo.username);
        write!(f, "{host}:{port}, vhost {vhost:?}, as {user:?}")
    }
}

impl fmt::Debug for RabbitUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RabbitUrl({self})")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_password_is_never_shown() {
        let url: RabbitUrl = "amqp://me:secret@broker:5673/%2f".parse().unwrap();
        assert_eq!(url.to_string(), "broker:5673, vhost \"/\", as \"me\"");
        assert!(!format!("{url:?}").contains("secret"));
        for wrong in ["http://me:secret@broker", "me:secret", "", "amqps://me:secret@broker"] {
            let error = wrong.parse::<RabbitUrl>().unwrap_err().to_string();
            assert!(error.starts_with("amqp://USER") && !error.contains("secret"), "{error}");
        }
    }
}
