//! `deploy/citus.sql` names every table of the schema. These tests need no Citus.

use std::collections::BTreeSet;

use crate::harness::citus::DISTRIBUTION;
use crate::harness::{TestDatabase, on_both_databases, on_citus, sql};
use crate::store::tenancy::OF_THE_INSTALLATION;

on_both_databases![every_table_is_distributed_or_named_as_local];
on_citus![the_statements_can_be_repeated_and_distribute_every_table];

/// Tables that stay on the coordinator.
const LOCAL: [&str; 2] = ["_sqlx_migrations", "housekeeping_lease"];

/// The names in the list that follows this comment.
fn named_after(comment: &str) -> BTreeSet<String> {
    let (_, after) = DISTRIBUTION.split_once(comment).expect("the file has the comment");
    let (_, list) = after.split_once("array[").expect("the file has the list");
    let (list, _) = list.split_once(']').expect("the list ends");
    list.split(',').map(|name| name.trim().trim_matches('\'').to_owned()).collect()
}

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

async fn every_table_is_distributed_or_named_as_local(database: TestDatabase) {
    let (copied, by_partner) = (named_after("each node: the clients"), named_after("By partner."));
    let tables: BTreeSet<String> =
        sql::tables(&database).await.into_iter().filter(|table| !table.starts_with("sqlite_")).collect();
    assert!(by_partner.is_disjoint(&copied));
    assert_eq!(&by_partner | &(&copied | &names(&LOCAL)), tables);
    // The tables without a partner in their keys.
    assert_eq!(&copied | &names(&LOCAL), names(&OF_THE_INSTALLATION));
    for name in LOCAL {
        assert!(DISTRIBUTION.contains(&format!("`{name}`")), "the file says that {name} stays local");
    }
}

async fn the_statements_can_be_repeated_and_distribute_every_table(database: TestDatabase) {
    sql::execute(database.url(), DISTRIBUTION).await;
    let local = "select relname::text from pg_class
                  where relnamespace = 'public'::regnamespace
                    and relkind = 'r'
                    and oid not in (select logicalrelid from pg_dist_partition)
                  order by 1";
    assert_eq!(sql::texts(database.url(), local).await, LOCAL);
    let groups = "select count(distinct colocationid)::text from pg_dist_partition where partmethod = 'h'";
    assert_eq!(sql::texts(database.url(), groups).await, ["1"], "a partner's rows of all tables are on one worker");
}
