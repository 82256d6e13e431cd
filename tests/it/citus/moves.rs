//! A partner that has outgrown its worker is moved to another one, under load.

use super::{TwoPartners, port_of};
use crate::harness::citus::CitusCluster;
use crate::harness::{PostgresServer, sql};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partner_is_moved_to_another_worker_under_load() {
    let Some(partners) = TwoPartners::start().await else { return };
    let (url, partner) = (&partners.url, &partners.names[0]);
    let [from, to] = partners.cluster.workers.each_ref().map(PostgresServer::port);
    assert_eq!(port_of(url, partner).await, from);
    let isolate =
        format!("select isolate_tenant_to_new_shard('person', '{partner}', 'CASCADE', 'force_logical')::text");
    allow_output_plugin(&partners.cluster, url).await;
    partners.loads[0].rounds(5).await;
    // Online, as the move: writes are blocked only for the switch at the end.
    let shard = sql::texts(url, &isolate).await.remove(0);
    partners.loads[0].rounds(5).await;
    let transfer = format!(
        "select citus_move_shard_placement({shard}, '127.0.0.1', {from}, '127.0.0.1', {to}, 'force_logical')::text"
    );
    sql::texts(url, &transfer).await;
    assert_eq!(port_of(url, partner).await, to);
    for load in &partners.loads {
        load.rounds(10).await;
    }
    let refused = partners.end().await;
    // Each client of the load may have one statement that waits for the switch until its timeout.
    assert!(refused.iter().all(|refused| *refused <= 8), "{refused:?}");
}

/// Postgres releases that have this setting refuse the output plugin of Citus, which an online isolation uses.
async fn allow_output_plugin(cluster: &CitusCluster, url: &str) {
    let setting = "select name from pg_settings where name = 'output_plugin_libraries'";
    if !sql::texts(url, setting).await.is_empty() {
        cluster.on_each_node("postgres", "alter system set output_plugin_libraries = pgoutput, citus").await;
        cluster.on_each_node("postgres", "select pg_reload_conf()").await;
    }
}
