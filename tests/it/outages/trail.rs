//! The trail against the tables: what happened is told once, what did not happen is not told, and the chain holds.

use device_management::service::AuditCheckpoints;

use crate::audit::verdicts;
use crate::harness::{TestApp, TestDatabase, books};

/// What must not be, as long as nothing is sealed.
const FAULTS: [(&str, &str); 6] = [
    (
        "a device was bound, and that is not told once",
        "select count(*) from device d
          where (select count(*) from audit_pending a
                  where a.object_id = d.device_id and a.action = 'binding.answered' and a.outcome = 'accepted') <> 1",
    ),
    (
        "a binding is told that never was",
        "select count(*) from audit_pending a
          where a.action = 'binding.answered' and a.outcome = 'accepted'
            and not exists (select 1 from device d where d.device_id = a.object_id)",
    ),
    (
        "a key was added, and that is not told once, or is told and was not",
        "select count(*) from (select key_id from device_key
                                union
                               select key_id from audit_pending
                                where action = 'key.added' and outcome = 'accepted') k
          where (select count(*) from device_key d where d.key_id = k.key_id) <> 1
             or (select count(*) from audit_pending a
                  where a.key_id = k.key_id and a.action in ('binding.answered', 'key.added')
                    and a.outcome = 'accepted') <> 1",
    ),
    (
        "a device was deleted, and that is not told once, or is told and was not",
        "select count(*) from device d
          where (select count(*) from audit_pending a
                  where a.object_id = d.device_id and a.action = 'device.deleted' and a.outcome = 'accepted')
             <> case when d.deleted_at is null then 0 else 1 end",
    ),
    (
        "a challenge is open, and that is not told once",
        "select count(*) from person p
          where p.binding_id is not null
            and (select count(*) from audit_pending a
                  where a.object_id = p.binding_id and a.action = 'binding.asked' and a.outcome = 'accepted') <> 1",
    ),
    (
        "a number came or went, and that is not told once, or is told and did not",
        "select count(*) from (select distinct person_id from audit_pending where action like 'number.%') p
          where (select count(*) from mobile_number n where n.person_id = p.person_id)
             <> (select coalesce(sum(case when a.action = 'number.deleted' then -1 else 1 end), 0)
                   from audit_pending a
                  where a.person_id = p.person_id and a.outcome = 'accepted'
                    and a.action in ('number.created', 'number.asserted', 'number.deleted'))",
    ),
];

/// Holds the events against what they tell of.
pub(crate) async fn assert_tells_all(database: &TestDatabase) {
    for (meaning, statement) in FAULTS {
        assert_eq!(books::count(database, statement).await, 0, "{meaning}");
    }
}

/// Seals everything, and walks the chain.
pub(super) async fn assert_holds(app: &TestApp) {
    let waiting = books::count(&app.database, "select count(*) from audit_pending").await;
    app.app.service.seal_audit_trail().await.unwrap();
    let verdicts = verdicts(app.store(), &AuditCheckpoints::default()).await;
    let [verdict] = &verdicts[..] else { panic!("the chain of one partner: {verdicts:#?}") };
    assert_eq!((&verdict.faults[..], verdict.events, verdict.waiting), (&[][..], waiting, 0));
}
