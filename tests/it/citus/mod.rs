//! The service on a Citus cluster of a coordinator and two workers, where the tables are distributed by `deploy/citus.sql`.
//! The tests run where the installed Postgres has the extension.
//!
//! Tests of other modules that run on this cluster, too, are named `citus::...` there; `cargo test citus` runs all of
//! them. Not covered: failover of the coordinator to a standby, networks and disks that fail, sustained
//! load.

mod commands;
mod distribution;
mod migrations;
mod moves;
mod node_loss;

use std::sync::Arc;

use crate::harness::citus::CitusCluster;
use crate::harness::{TestApp, sql};
use crate::outages::{SETTINGS, load::Load};

/// Two partners under load on their own cluster, the first on the first worker.
struct TwoPartners {
    cluster: CitusCluster,
    url: String,
    names: [String; 2],
    loads: [Load; 2],
}

impl TwoPartners {
    /// Starts them, if Citus is installed.
    async fn start() -> Option<Self> {
        let cluster = CitusCluster::start().await?;
        let url = cluster.url(&cluster.database().await);
        let names = partners(&cluster, &url).await;
        let app = Arc::new(TestApp::at(&url, &SETTINGS).await);
        let loads = names.each_ref().map(|name| Load::of(app.clone(), name));
        for load in &loads {
            load.rounds(5).await;
        }
        Some(Self { cluster, url, names, loads })
    }

    /// Ends the load and checks that nothing acknowledged is lost. Returns the number of 503s of each partner.
    async fn end(self) -> [usize; 2] {
        let [one, other] = self.loads;
        [one.end().await.0, other.end().await.0]
    }
}

/// A partner on each worker.
async fn partners(cluster: &CitusCluster, url: &str) -> [String; 2] {
    let mut found = [None, None];
    for number in 0.. {
        let partner = format!("bank-{number}");
        let port = port_of(url, &partner).await;
        let worker = cluster.workers.iter().position(|worker| worker.port() == port).expect("a worker has the shard");
        found[worker].get_or_insert(partner);
        if found.iter().all(Option::is_some) {
            break;
        }
    }
    found.map(|partner| partner.expect("one was found"))
}

/// The port of the worker that has the partner's rows.
async fn port_of(url: &str, partner: &str) -> u16 {
    let query = format!(
        "select nodeport::text from citus_shards
          where shardid = get_shard_id_for_distribution_column('person', '{partner}')"
    );
    sql::texts(url, &query).await[0].parse().expect("a port")
}
