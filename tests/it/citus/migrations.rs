//! Migrations of a database with distributed tables: Citus sends the changes of the coordinator to every shard.

use device_management::store::{DatabaseSettings, DatabaseUrl, StoreError, migrate_with};

use crate::harness::citus::DISTRIBUTION;
use crate::harness::{Engine, Phone, TestApp, TestDatabase, on_citus, sql};
use crate::migrations::samples;

on_citus![every_allowed_change_applies_to_distributed_tables];

/// The sample that Citus refuses, as one migration for each action.
const ONE_ACTION_EACH: [&str; 2] = [
    "alter table device drop constraint device_colour;",
    "alter table device add constraint device_colours check (colour in ('red', 'blue', 'green')) not valid;",
];

const NEW_TABLE_WITH_FOREIGN_KEY: &str = "create table device_tag (
    partner_id text not null,
    device_id  uuid not null,
    primary key (partner_id, device_id),
    foreign key (partner_id, device_id) references device (partner_id, device_id)
);";

/// Applies the migrations of this build and these, of which the first ones may be applied already.
async fn apply(database: &TestDatabase, more: &[&'static str]) -> Result<(), StoreError> {
    let settings = DatabaseSettings::new(DatabaseUrl::parse(database.url()).unwrap());
    migrate_with(&samples::and_then(Engine::Citus, more), &settings).await
}

/// The number of shards of the table on which the query finds 1.
async fn shards(app: &TestApp, table: &str, query: &str) -> String {
    let each = format!("select count(*)::text from run_command_on_shards('{table}', $$ {query} $$) where result = '1'");
    sql::texts(app.database.url(), &each).await.remove(0)
}

async fn every_allowed_change_applies_to_distributed_tables(app: TestApp) {
    const COLUMN: &str = "select 1 from pg_attribute where attrelid = '%s'::regclass and attname = 'colour'";
    const INDEX: &str = "select 1 from pg_index
                          where indrelid = '%s'::regclass
                            and indisvalid
                            and indexrelid::regclass::text like 'device_by_colour%%'";
    const CHECK: &str = "select 1 from pg_constraint
                          where conrelid = '%s'::regclass
                            and convalidated
                            and conname like 'device_colours%%'";
    let acme = app.partner();
    acme.verified_person("ada").await;
    let ada = acme.bind("ada", &Phone::new(1)).await;
    let refused = apply(&app.database, samples::expanding(Engine::Citus)).await.unwrap_err();
    assert!(format!("{refused:?}").contains("cannot execute ADD CONSTRAINT command with other subcommands"));
    let mut migrations = samples::expanding(Engine::Citus).to_vec();
    let refused = migrations.iter().position(|sample| sample.contains("drop constraint")).unwrap();
    migrations.splice(refused..=refused, ONE_ACTION_EACH);
    migrations.push(NEW_TABLE_WITH_FOREIGN_KEY);
    apply(&app.database, &migrations).await.unwrap();
    for query in [COLUMN, INDEX, CHECK] {
        assert_eq!(shards(&app, "device", query).await, "8", "{query}");
    }

    // As an operator does after an upgrade that has added tables to the file.
    let with_new_tables = DISTRIBUTION.replace("'person_erasure'", "'person_erasure', 'device_note', 'device_tag'");
    sql::execute(app.database.url(), &with_new_tables).await;
    let distributed = "select logicalrelid::text from pg_dist_partition
                        where logicalrelid in ('device_note'::regclass, 'device_tag'::regclass)
                        order by 1";
    assert_eq!(sql::texts(app.database.url(), distributed).await, ["device_note", "device_tag"]);
    let foreign_keys = "select 1 from pg_constraint
                         where conrelid = '%s'::regclass and contype = 'f' and convalidated";
    assert_eq!(shards(&app, "device_tag", foreign_keys).await, "8");
    acme.get(&format!("/v1/mfa/devices/{}", ada.id)).await.assert_status(200);
    acme.verified_person("bob").await;
    acme.bind("bob", &Phone::new(2)).await;

    migrations.extend(samples::contracting(Engine::Citus));
    apply(&app.database, &migrations).await.unwrap();
    let dropped = "select (to_regclass('device_note') is null)::text";
    assert_eq!(sql::texts(app.database.url(), dropped).await, ["true"]);
    for query in [COLUMN, INDEX] {
        assert_eq!(shards(&app, "device", query).await, "0", "{query}");
    }
    acme.get(&format!("/v1/mfa/devices/{}", ada.id)).await.assert_status(200);
    acme.verified_person("cyd").await;
    acme.bind("cyd", &Phone::new(3)).await;
}
