-- Distributes the tables over the workers of a Citus cluster, by partner: all rows of a partner are on one worker, so
-- that its requests use no other. For an empty database or one in use; docs/scaling.md says what that costs.
--
-- Run it on the coordinator, after `device-management migrate`, as the role that owns the tables. Stop the service for
-- the first run; later runs lock new tables and those that their foreign keys refer to:
--
--     psql --set ON_ERROR_STOP=1 --single-transaction --file deploy/citus.sql "$DATABASE_URL"
--
-- Before it, a superuser creates the extension and the roles on every node, registers the nodes with
-- `citus_set_coordinator_host` and `citus_add_node`, and lets them log in to each other (`pg_dist_authinfo`). After it,
-- run docker/grants.sql in a transaction that begins with the same `set local`, and start the service: it asks the
-- catalog of Citus once, at its start, which form of its writes to use.
--
-- Tables that are distributed already are left as they are, so the file can be run again after a migration that creates
-- a table. `citus.shard_count` (32 if it is not set) is the number of shards of each table; it cannot be changed cheaply.

-- Statements on several shards run one after the other, because these tables refer to one another.
set local citus.multi_shard_modify_mode = 'sequential';

do $$
declare
    name text;
begin
    -- A copy on each node: the clients, which are read for each token before the partner is known.
    foreach name in array array['client', 'client_secret'] loop
        if not exists (select from pg_dist_partition where logicalrelid = name::regclass and repmodel = 't') then
            perform create_reference_table(name);
        end if;
    end loop;

    -- By partner. The first gets a new colocation group and the others join it, so that a partner's rows of all tables
    -- stay on one node and move together.
    foreach name in array array[
        'person',
        'mobile_number',
        'challenge',
        'device',
        'device_count',
        'device_key',
        'device_challenge',
        'activation_code',
        'delivery_event',
        'fraud_assessment',
        'idempotent_request',
        'sms_sent',
        'sms_partner_rate',
        'sms_conversion',
        'sms_conversion_reset',
        'audit_pending',
        'audit_event',
        'approval_text',
        'audit_seal',
        'audit_chain',
        'person_erasure'
    ] loop
        if not exists (select from pg_dist_partition where logicalrelid = name::regclass) then
            perform create_distributed_table(name, 'partner_id'
                , colocate_with => case name when 'person' then 'none' else 'person' end);
        end if;
    end loop;

    -- On the coordinator alone: `_sqlx_migrations` and `housekeeping_lease`. As a reference table each renewal of a lease
    -- would be a two-phase commit on all nodes.
end $$;
