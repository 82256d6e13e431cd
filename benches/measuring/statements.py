"""The statements of one request as a pgbench script that does the same for person after person."""

import datetime
import re
import uuid

from . import people

# Tables that no request touches: whoever names one of them works in the background.
BACKGROUND = re.compile(r"\b(audit_event|audit_seal|audit_chain|housekeeping_lease|sms_conversion)\b")

# What a script says instead of a number that it has in `:n`.
NUMBER = ":n::bigint"


class Walk:
    """A person of whom everything is known: where it turns up in a parameter, a script says another person's."""

    def __init__(self, number):
        self.person = {
            people.person(number): people.person_sql(NUMBER),
            people.mobile_number(number): people.mobile_number_sql(NUMBER),
            people.device(number): people.uuid_sql(0, NUMBER),
        }
        self.known = self.person | {people.partner(number): people.partner_sql(NUMBER)}

    def about(self, heard):
        """Of what was heard, what is about the person; the rest is the service's own business."""
        heard = [(sql, values) for sql, values in heard if not BACKGROUND.search(sql)]
        mine = [(sql, values) for sql, values in heard if any(self._names_the_person(value) for _, value in values)]
        if not mine:
            raise SystemExit("error: the request came to no statement")
        for _, values in mine:
            for kind, value in values:
                if kind == "uuid" and value is not None and value not in self.known:
                    # An id that was made on the way: one more of its kind for each repetition.
                    self.person[value] = self.known[value] = people.made_sql(value, len(self.known), NUMBER)
        return mine

    def script(self, heard, number):
        """`number` is pgbench's expression for the number of the person whose turn it is."""
        lines = [r"\set i :i + 1", rf"\set n {number}"]
        for sql, values in heard:
            filled = re.sub(r"\$(\d+)", lambda match: self._sql(*values[int(match[1]) - 1]), sql)
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
            # A key or a fingerprint: of the same length, and not the same twice.
            return f"decode(lpad(to_hex({NUMBER}), {2 * len(value)}, '0'), 'hex')"
        if isinstance(value, datetime.datetime):
            value = value.isoformat()
        for known, expression in self.known.items():
            if isinstance(value, str) and isinstance(known, str) and known in value:
                before, after = value.split(known)
                return f"('{before}' || {expression} || '{after}')"
        return "'" + str(value).replace("'", "''") + f"'::{kind}"
