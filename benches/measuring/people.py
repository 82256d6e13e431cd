"""Persons and devices by their number, with the same ids as in benches/load/people.rs."""

import uuid

# The partners of one database. Each has its own row for the rate of its SMS.
PARTNERS = 50

# A bijection from numbers to ten digits: consecutive numbers are not neighbours in an index.
SPREAD, DIGITS_END = 2_654_435_761, 2**32


def partner(number):
    return f"partner-{number % PARTNERS:02}"


def person(number):
    return f"person-{number * SPREAD % DIGITS_END:010}"


def mobile_number(number):
    return f"+49151{number:08}"


def device(number):
    return uuid.UUID(int=0x01900000_0000_7000_8000_000000000000 | number)


def partner_sql(number="n"):
    return f"('partner-' || lpad(({number} % {PARTNERS})::text, 2, '0'))"


def person_sql(number="n"):
    return f"('person-' || lpad(({number} * {SPREAD} % {DIGITS_END})::text, 10, '0'))"


def mobile_number_sql(number="n"):
    return f"('+49151' || lpad({number}::text, 8, '0'))"


def uuid_sql(kind, number="n"):
    """The id for a number, as SQL; ids of different kinds differ."""
    return f"('019000{kind:02x}-0000-7000-8000-' || lpad(to_hex({number}), 12, '0'))::uuid"


def made_sql(heard, kind, number="n"):
    """An id with the timestamp of a recorded one, as SQL, so that housekeeping does not remove it as expired."""
    instant = heard.hex[:12]
    return f"('{instant[:8]}-{instant[8:]}-7{kind:03x}-8000-' || lpad(to_hex({number}), 12, '0'))::uuid"


def number_sql(first, last):
    return f"generate_series({first}::bigint, {last}::bigint) as number(n)"


def fill(postgres, devices, already=0):
    """Inserts persons with a verified number and one bound device each, up to this many."""
    # In the order of the largest index of each table, so that a million rows do not touch all of its pages.
    step = 1_000_000
    for first in range(already + 1, devices + 1, step):
        last = min(first + step - 1, devices)
        numbers(postgres, first, last)
        postgres.ask(
            f"""
            insert into person (partner_id, person_id, bound_devices)
            select {partner_sql()}, {person_sql()}, 1 from {number_sql(first, last)} order by 1, 2;
            insert into device
                   (device_id, partner_id, person_id, name, created_at, bound_at, binding_fingerprint, live_keys)
            select {uuid_sql(0)}, {partner_sql()}, {person_sql()}, 'A phone like any other'
                 , now() - interval '1 day', now() - interval '1 day', {random_bytes("n")}, 1
              from {number_sql(first, last)};
            insert into device_key (key_id, device_id, partner_id, public_key, purpose, created_at, used_at)
            select {uuid_sql(1)}, {uuid_sql(0)}, {partner_sql()}
                 , '\\x04'::bytea || {random_bytes("n")} || {random_bytes("-n")}
                 , 'unrestricted', now() - interval '1 day', now() - interval '1 day'
              from {number_sql(first, last)}
             order by 3, 4;
            """
        )
    postgres.ask("vacuum analyze; checkpoint;")


def challenges(postgres, count):
    """Inserts answered challenges, each of another device, as if they had been answered a moment ago."""
    postgres.ask(
        f"""
        insert into device_challenge (challenge_id, partner_id, device_id, turn, person_id, key_purpose
                                    , string_to_sign, expires_at, closed_at, decision, answered_by, fingerprint)
        select (lpad(to_hex((extract(epoch from now()) * 1000)::bigint), 12, '0') || '7000'
                || '8000' || lpad(to_hex(n), 12, '0'))::uuid
             , {partner_sql()}, {uuid_sql(3)}, 1, {person_sql()}, 'unrestricted'
             , repeat('x', 300), now() + interval '5 minutes', now(), 'approved', {uuid_sql(1)}, {random_bytes("n")}
          from {number_sql(1, count)};
        checkpoint;
        """
    )


def numbers(postgres, first, last):
    """Inserts persons who have a verified number and nothing else."""
    postgres.ask(
        f"""
        insert into mobile_number (partner_id, person_id, number_id, number, created_at, verified_at, asserted_by)
        select {partner_sql()}, {person_sql()}, {uuid_sql(2)}, {mobile_number_sql()}, now(), now(), 'bench'
          from {number_sql(first, last)}
         order by 1, 2;
        """
    )


def random_bytes(seed):
    """32 pseudo-random bytes, the same in each run."""
    return f"sha256(({seed})::text::bytea)"
