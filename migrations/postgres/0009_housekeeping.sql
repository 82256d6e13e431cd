-- Which replica does housekeeping now. A replica that finds a lease that is over takes it.
create table housekeeping_lease (
    task       text        not null primary key,
    holder     uuid        not null,
    held_until timestamptz not null
);
