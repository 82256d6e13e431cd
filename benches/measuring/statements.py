"""Turns the recorded statements of one request into a pgbench script that repeats them for other persons."""

import datetime
import re
import uuid

from . import people

# Tables that only background tasks use.
BACKGROUND = re.compile(r"\b(audit_event|audit_seal|audit_chain|housekeeping_lease|sms_conversion)\b")

# The number of the person, a variable of the script.
NUMBER = ":n::bigint"


class Walk:
    """The ids of one person, each with the SQL expression that replaces it in a parameter."""

    def __init__(self, number):
        self.person = {
            people.person(number): people.person_sql(NUMBER),
            people.mobile_number(number): people.mobile_number_sql(NUMBER),
            people.device(number): people.uuid_sql(0, NUMBER),
        }
        self.known = self.person | {people.partner(number): people.partner_sql(NUMBER)}

    def about(self, heard):
        """The recorded statements about the person, without those of background tasks."""
        heard = [(sql, values) for sql, values in heard if not BACKGROUND.search(sql)]
        mine = [(sql, values) for sql, values in heard if any(self._names_the_person(value) for _, value in values)]
        if not mine:
            raise SystemExit("error: no statement of the request was recorded")
        for _, values in mine:
            for kind, value in values:
                if kind == "uuid" and value is not None and value not in self.known:
                    # An id that the service generated: each repetition needs another one.
                    self.person[value] = self.known[value] = people.made_sql(value, len(self.known), NUMBER)
        return mine

    def script(self, heard, number):
        """The script; `number` is pgbench's expression for the number of the person."""
        lines = [r"\set i :i + 1", rf"\set n {number}"]
        for sql, values in heard:
            parameters = [self._sql(kind, value) for kind, value in values]
            filled = re.sub(r"\$(\d+)", lambda match, those=parameters: those[int(match[1]) - 1], sql)
            lines.append(" ".join(filled.split()) + ";")
        return "\n".join(lines) + "\n"

    def _names_the_person(self, value):
        if isinstance(value, str):
            return any(isinstance(known, str) and known in value for known in self.person)
        return isinstance(value, uuid.UUID) and value in self.person

    def _sql(self, kind, value):
        if value is None:
            return f"null::{kind}"
        if value in self.known:
            return f"({self.known[value]})::{kind}"
        if kind == "bytea":
            # A key or a fingerprint: another one of the same length for each person.
            return f"decode(lpad(to_hex({NUMBER}), {2 * len(value)}, '0'), 'hex')"
        if isinstance(value, datetime.datetime):
            value = value.isoformat()
        for known, expression in self.known.items():
            if isinstance(value, str) and isinstance(known, str) and known in value:
                before, after = value.split(known)
                return f"('{before}' || {expression} || '{after}')"
        return "'" + str(value).replace("'", "''") + f"'::{kind}"
