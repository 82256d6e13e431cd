-- The migrated tables, still empty, partitioned by partner into eight parts, with their constraints and indexes.

create temporary table spread as
select c.oid, c.relname as name
  from pg_class c
  join pg_attribute a on a.attrelid = c.oid
 where c.relnamespace = 'public'::regnamespace
   and c.relkind = 'r'
   and a.attname = 'partner_id'
   and c.relname <> 'client'; -- replicated to each node, like `client_secret` and `housekeeping_lease`

-- Statements to run on the new tables: references to a primary key come after it.
create temporary table promise as
select format('alter table %I add constraint %I %s', s.name, k.conname, pg_get_constraintdef(k.oid)) as statement
     , k.contype = 'f' as refers
  from spread s
  join pg_constraint k on k.conrelid = s.oid
 where k.contype in ('p', 'u', 'f')
union all
select pg_get_indexdef(i.indexrelid), false
  from spread s
  join pg_index i on i.indrelid = s.oid
 where not exists (select from pg_constraint k where k.conindid = i.indexrelid and k.contype in ('p', 'u'));

do $$
declare
    it record;
begin
    for it in select name from spread loop
        execute format('alter table %1$I rename to %1$s_whole', it.name);
        execute format('create table %1$I (like %1$s_whole including defaults including constraints)
                            partition by hash (partner_id)', it.name);
        for remainder in 0..7 loop
            execute format('create table %1$s_%2$s partition of %1$I
                                for values with (modulus 8, remainder %2$s)', it.name, remainder);
        end loop;
        execute format('drop table %s_whole cascade', it.name);
    end loop;
    for it in select statement from promise order by refers loop
        execute it.statement;
    end loop;
    -- The error names the violated index. A partition's index has the parent's name as prefix, as in Citus.
    for it in
        select child.oid::regclass as name, parent.relname || right(part.relname, 2) as new_name
          from pg_inherits h
          join pg_class child on child.oid = h.inhrelid and child.relkind = 'i'
          join pg_class parent on parent.oid = h.inhparent
          join pg_index i on i.indexrelid = child.oid
          join pg_class part on part.oid = i.indrelid
    loop
        execute format('alter index %s rename to %I', it.name, it.new_name);
    end loop;
end $$;
