//! Being in the registry: registered, renewed, registered again where it was forgotten, and gone when leaving.

use super::servers::{Servers, Unanswered};
use super::{Backoff, around, authority};
use crate::discovery::wire::read::now;
use crate::discovery::wire::{DataCenter, Instance, Lease, Port, Status};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::{debug, info, warn};

/// How long leaving may take: a registry that does not answer then learns of it from the lease.
const LEAVE: Duration = Duration::from_secs(2);

/// A service as it wants to be found.
#[derive(Debug, Clone)]
pub struct Presence {
    /// The name of the service: its application, in capitals, and what callers look for.
    pub name: String,
    /// What tells it from the others of its name, such as `host:product:7001`.
    pub id: String,
    /// The host that callers connect to.
    pub host_name: String,
    /// Its IP address.
    pub ip_addr: String,
    /// Its port.
    pub port: u16,
    /// The zone that it is in.
    pub zone: Option<String>,
    /// How often it renews.
    pub renewal: Duration,
    /// How long a renewal lasts.
    pub duration: Duration,
}

impl Presence {
    /// What is registered, field by field as Spring's clients do it; `now` in milliseconds of the Unix time.
    pub(super) fn instance(&self, now: i64) -> Instance {
        let Self { name, id, host_name, ip_addr, port, .. } = self;
        let url = |path: &str| Some(format!("http://{}{path}", authority(host_name, *port)));
        let secs = |time: Duration| i32::try_from(time.as_secs().max(1)).unwrap_or(i32::MAX);
        let zone = self.zone.as_ref().map(|zone| ("zone".to_owned(), zone.clone()));
        let management = ("management.port".to_owned(), port.to_string());
        Instance {
            instance_id: id.clone(),
            host_name: host_name.clone(),
            app: name.to_uppercase(),
            ip_addr: ip_addr.clone(),
            port: Port { number: (*port).into(), enabled: true },
            secure_port: Port { number: 443, enabled: false },
            data_center: Some(DataCenter::own()),
            lease: Lease {
                renewal_interval_s: secs(self.renewal),
                duration_s: secs(self.duration),
                ..Lease::default()
            },
            metadata: BTreeMap::from_iter([management].into_iter().chain(zone)),
            home_page_url: url("/"),
            status_page_url: url("/actuator/info"),
            health_check_url: url("/actuator/health"),
            vip_address: Some(name.clone()),
            secure_vip_address: Some(name.clone()),
            ..Instance::unsaid(now)
        }
    }
}

/// A service that is in the registry, or on its way there. Dropped, it is left to its lease.
#[derive(Debug)]
pub struct Registration {
    servers: Arc<Servers>,
    stop: CancellationToken,
    keeping: AbortOnDropHandle<Instance>,
}

impl Registration {
    pub(super) fn begin(servers: Arc<Servers>, presence: &Presence) -> Self {
        let stop = CancellationToken::new();
        let keeper = Keeper {
            servers: servers.clone(),
            instance: presence.instance(now()),
            renewal: presence.renewal,
            registered: false,
        };
        let keeping = AbortOnDropHandle::new(tokio::spawn(keeper.keep(stop.clone())));
        Self { servers, stop, keeping }
    }

    /// Leaves the registry: DOWN, then gone. Never takes longer than two seconds.
    pub async fn leave(self) {
        let Self { servers, stop, keeping } = self;
        let left = timeout(LEAVE, async {
            stop.cancel();
            // A registration under way would come after its own end.
            let Ok(mut instance) = keeping.await else { return Ok(()) };
            instance.status = Status::Down;
            changed(&mut instance);
            // A registry does not read the status of a renewal, so it is told in a registration.
            servers.register(&instance).await?;
            servers.cancel(&instance).await
        });
        match left.await {
            Ok(Ok(())) => debug!("left the registry"),
            Ok(Err(error)) => warn!(%error, "could not leave the registry: the lease runs out there"),
            Err(_) => warn!("no registry answered in {LEAVE:?}: the lease runs out there"),
        }
    }
}

/// Keeps an instance registered.
struct Keeper {
    servers: Arc<Servers>,
    instance: Instance,
    renewal: Duration,
    registered: bool,
}

impl Keeper {
    /// Goes on until `stop`, and returns the instance as it was told last. A call under way is not cut off: nobody
    /// would know whether it was heard.
    async fn keep(mut self, stop: CancellationToken) -> Instance {
        let mut failing: Option<Backoff> = None;
        while !stop.is_cancelled() {
            let pause = match self.once().await {
                Ok(()) => {
                    if failing.take().is_some() {
                        info!(app = self.instance.app, "the registry knows this service again");
                    }
                    around(self.renewal)
                }
                Err(error) => failing
                    .get_or_insert_with(|| {
                        warn!(app = self.instance.app, %error, "not registered; this is tried until it works");
                        Backoff::new(self.renewal)
                    })
                    .pause(),
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
        self.instance
    }

    async fn once(&mut self) -> Result<(), Unanswered> {
        if self.registered {
            if self.servers.renew(&self.instance).await? {
                return Ok(());
            }
            // A registry that was restarted, or one that the others have not told yet.
            debug!(app = self.instance.app, "the registry does not know this service; registering again");
            self.registered = false;
            changed(&mut self.instance);
        }
        self.servers.register(&self.instance).await?;
        if !std::mem::replace(&mut self.registered, true) {
            info!(app = self.instance.app, instance = self.instance.instance_id, "registered");
        }
        Ok(())
    }
}

/// Registries take the younger of two registrations of an instance.
fn changed(instance: &mut Instance) {
    instance.last_dirty = now().max(instance.last_dirty + 1);
    instance.last_updated = instance.last_dirty;
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::discovery::wire::read::Rooted;
    use serde_json::Value;

    /// What Spring's client registered, as it stood on the wire.
    const SPRINGS: &str = r#"{"instance":{"instanceId":"192.0.2.2:recommendation:7022","app":"RECOMMENDATION",
        "appGroupName":null,"ipAddr":"127.0.0.1","sid":"na","homePageUrl":"http://127.0.0.1:7022/",
        "statusPageUrl":"http://127.0.0.1:7022/actuator/info","healthCheckUrl":"http://127.0.0.1:7022/actuator/health",
        "secureHealthCheckUrl":null,"vipAddress":"recommendation","secureVipAddress":"recommendation","countryId":1,
        "dataCenterInfo":{"@class":"com.netflix.appinfo.InstanceInfo$DefaultDataCenterInfo","name":"MyOwn"},
        "hostName":"127.0.0.1","status":"UP","overriddenStatus":"UNKNOWN","leaseInfo":{"renewalIntervalInSecs":5,
        "durationInSecs":5,"registrationTimestamp":0,"lastRenewalTimestamp":0,"evictionTimestamp":0,
        "serviceUpTimestamp":0},"isCoordinatingDiscoveryServer":false,"lastUpdatedTimestamp":1795418447441,
        "lastDirtyTimestamp":1795418447441,"actionType":null,"asgName":null,"port":{"$":7022,"@enabled":"true"},
        "securePort":{"$":443,"@enabled":"false"},"metadata":{"management.port":"7022"}}}"#;

    fn presence() -> Presence {
        Presence {
            name: "recommendation".to_owned(),
            id: "192.0.2.2:recommendation:7022".to_owned(),
            host_name: "127.0.0.1".to_owned(),
            ip_addr: "127.0.0.1".to_owned(),
            port: 7022,
            zone: None,
            renewal: Duration::from_secs(5),
            duration: Duration::from_secs(5),
        }
    }

    #[test]
    fn what_is_registered_is_what_spring_registers() {
        let springs: Rooted<Instance> = serde_json::from_str(SPRINGS).unwrap();
        let ours = presence().instance(1_795_418_447_441);
        assert_eq!(ours, springs.instance);
        // Spring's client refuses a field that it does not know, wherever that came from.
        let (ours, springs) = (serde_json::to_value(&ours).unwrap(), serde_json::from_str::<Value>(SPRINGS).unwrap());
        for (name, value) in ours.as_object().unwrap() {
            let spring = &springs["instance"][name];
            let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            assert_eq!(text(value), text(spring), "{name}");
        }
    }

    #[test]
    fn a_zone_is_metadata() {
        let instance = Presence { zone: Some("z1".to_owned()), ..presence() }.instance(0);
        assert_eq!(instance.metadata["zone"], "z1");
    }
}
