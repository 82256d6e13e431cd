//! A partner that has outgrown its worker is moved to another one, under load.

use super::{TwoPartners, port_of};
use crate::harness::{PostgresServer, sql};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partner_is_moved_to_another_worker_under_load() {
    let Some(partners) = TwoPartners::start().await else { return };
    let (url, partner) = (&partners.url, &partners.names[0]);
    let [from, to] = partners.cluster.workers.each_ref().map(PostgresServer::port);
    assert_eq!(port_of(url, partner).await, from);
    let isolate = format!("select isolate_tenant_to_new_shard('person', '{partner}', 'CASCADE', 'block_writes')::text");
    let shard = sql::texts(url, &isolate).await.remove(0);
    partners.loads[0].rounds(5).await;
    // Online: writes are blocked only for the switch at the end.
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
