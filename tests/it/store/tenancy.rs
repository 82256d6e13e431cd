//! Every table has the partner in its keys or is listed here, and uniqueness in a partner's table is per partner. Read
//! from the database's catalog.

use super::TestStore;
use crate::harness::{Engine, Start, TestDatabase, on_both_databases, sql};

on_both_databases![every_key_of_a_partners_table_contains_the_partner, every_table_without_a_partner_is_listed,];

/// Tables without a partner: they belong to the installation, and each Citus node has a copy.
pub(crate) const OF_THE_INSTALLATION: [&str; 4] = ["_sqlx_migrations", "client", "client_secret", "housekeeping_lease"];

/// Tables and keys without the partner; a table without a primary key counts, too.
fn without_partner(engine: Engine) -> &'static str {
    match engine {
        Engine::Postgres | Engine::Distributed | Engine::Citus => {
            "with partner as (
                 select t.oid, t.relname, a.attnum
                   from pg_class t
                   left join pg_attribute a on a.attrelid = t.oid and a.attname = 'partner_id' and a.attnotnull
                  where t.relnamespace = 'public'::regnamespace
                    and t.relkind in ('r', 'p')
             ), faults (name) as (
                 select relname || ' has no partner' from partner where attnum is null
                 union all
                 select relname || ' has no primary key'
                   from partner
                  where not exists (select from pg_index i where i.indrelid = oid and i.indisprimary)
                 union all
                 select p.relname || ': ' || i.indexrelid::regclass
                   from partner p
                   join pg_index i on i.indrelid = p.oid and i.indisunique
                  where p.attnum is not null
                    and p.attnum <> all (i.indkey)
                 union all
                 select p.relname || ': foreign key to ' || other.relname
                   from partner p
                   join pg_constraint k on k.conrelid = p.oid and k.contype = 'f'
                   join partner other on other.oid = k.confrelid
                  where p.attnum is not null
                    and not exists (select from unnest(k.conkey, k.confkey) pair (own, others)
                                     where pair.own = p.attnum and pair.others = other.attnum)
             )
             select name::text from faults order by 1"
        }
        Engine::Sqlite => {
            "with own as (
                 select t.name, exists (select 1 from pragma_table_info(t.name) c
                                         where c.name = 'partner_id' and c.\"notnull\") as has_partner
                   from sqlite_schema t
                  where t.type = 'table'
                    and t.name not like 'sqlite_%'
             ), faults (name) as (
                 select name || ' has no partner' from own where not has_partner
                 union all
                 select name || ' has no primary key'
                   from own
                  where not exists (select 1 from pragma_table_info(own.name) where pk > 0)
                 union all
                 select own.name || ': ' || i.name
                   from own, pragma_index_list(own.name) i
                  where has_partner
                    and i.\"unique\"
                    and not exists (select 1 from pragma_index_info(i.name) c where c.name = 'partner_id')
                 union all
                 select own.name || ': foreign key to ' || f.\"table\"
                   from own, pragma_foreign_key_list(own.name) f
                  where has_partner
                  group by own.name, f.id, f.\"table\"
                 having sum(f.\"from\" = 'partner_id' and f.\"to\" = 'partner_id') = 0
             )
             select name from faults order by 1"
        }
    }
}

async fn every_key_of_a_partners_table_contains_the_partner(it: TestStore) {
    let found = |of: Vec<String>| {
        let is_a_partners =
            |fault: &String| !OF_THE_INSTALLATION.iter().any(|table| fault.starts_with(&format!("{table}:")));
        of.into_iter().filter(|fault| !fault.ends_with(" has no partner")).filter(is_a_partners).collect::<Vec<_>>()
    };
    let faults = async || found(sql::texts(it.database.url(), without_partner(it.database.engine())).await);
    assert_eq!(faults().await, Vec::<String>::new());

    // The check detects each kind of fault.
    for (statement, faulty) in [
        ("create table a (partner_id text not null, id text not null primary key)", 1),
        ("create table b (partner_id text not null, id text not null, primary key (partner_id, id), unique (id))", 1),
        ("create table c (partner_id text not null, id text not null)", 1),
        (
            "create table d (partner_id text not null, id text not null, primary key (partner_id, id)
                           , foreign key (id) references a (id))",
            1,
        ),
        (
            "create table e (partner_id text not null, id text not null, primary key (partner_id, id)
                           , foreign key (partner_id, id) references b (partner_id, id))",
            0,
        ),
    ] {
        let before = faults().await.len();
        sql::execute(it.database.url(), statement).await;
        assert_eq!(faults().await.len(), before + faulty, "{statement}");
    }
}

async fn every_table_without_a_partner_is_listed(it: TestStore) {
    let faults = sql::texts(it.database.url(), without_partner(it.database.engine())).await;
    let mut others: Vec<&str> = faults.iter().filter_map(|fault| fault.strip_suffix(" has no partner")).collect();
    // `client` maps a client to its partner; client ids are unique across partners.
    others.push("client");
    others.sort_unstable();
    assert_eq!(others, OF_THE_INSTALLATION);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_keeps_no_statistics_on_partners() {
    if !Engine::Postgres.is_there_for("store::tenancy::postgres_keeps_no_statistics_on_partners").await {
        return;
    }
    let database = TestDatabase::start(Engine::Postgres).await;
    let kept = "select c.relname::text
                  from pg_attribute a
                  join pg_class c on c.oid = a.attrelid
                 where c.relnamespace = 'public'::regnamespace
                   and c.relkind = 'r'
                   and a.attname = 'partner_id'
                   and a.attstattarget is distinct from 0
                 order by 1";
    assert_eq!(sql::texts(database.url(), kept).await, ["client"]);
}
